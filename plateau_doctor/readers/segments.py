"""Where a log starts again: a training that was resumed or run anew into the same folder rewrites its steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["segments_of"]

DEPTH = 8  # rows that may overtake another before we call it a restart


def segments_of(
    tags: np.ndarray, steps: np.ndarray, breaks: Sequence[int] = ()
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return each row's segment, whether it is live, and how many restarts came without a break.

    A restart is a tag whose step falls below one it had reached, and which then goes on from there. Equal
    steps are none (an evaluation logs every batch at one step), nor is a row that comes late among its
    neighbors, nor a single last row. At a break, where a new file or session begins, any fall counts. A row
    is not live where a later segment rewrites its tag from its step or an earlier one.

    Args:
        tags: Shape (n,), a whole number for each tag, in the order logged.
        steps: Shape (n,).
        breaks: Rows that a new file or session begins with.
    """
    n = len(steps)
    never_falls = bool((steps[1:] >= steps[:-1]).all())  # as in most logs: then no tag's does
    order = np.argsort(_small(tags), kind="stable") if not never_falls else tags[:0]
    if never_falls or not _any_fall(tags[order], steps[order]):
        return np.zeros(n, dtype=np.int64), np.ones(n, dtype=bool), 0
    bounds = np.flatnonzero(np.diff(tags[order], prepend=-1)) if n else np.empty(0, dtype=int)
    groups = np.split(order, bounds[1:])
    fresh = np.zeros(n + 1, dtype=np.int64)
    fresh[list(breaks)] = list(breaks)
    fresh = np.maximum.accumulate(fresh)  # the last break at or before each row
    found = [hit for rows in groups if len(rows) > 1 for hit in _restarts(rows, steps, fresh)]
    begins, unmarked = _boundaries(sorted(found))
    segment = np.searchsorted(np.array(begins, dtype=np.int64), np.arange(n), side="right")
    live = np.ones(n, dtype=bool)
    if begins:
        for rows in groups:
            live[rows] = _live(segment[rows], steps[rows])
    return segment, live, unmarked


def _small(tags: np.ndarray) -> np.ndarray:
    """Return numbers below 65,536 as two bytes each, which sort in linear time."""
    return tags.astype(np.uint16) if len(tags) and tags.min() >= 0 and tags.max() < 1 << 16 else tags


def _any_fall(tags: np.ndarray, steps: np.ndarray) -> bool:
    """Whether any tag's step falls, in rows that stand tag by tag."""
    falls = ~(steps[1:] >= steps[:-1]) & (tags[1:] == tags[:-1])
    return bool(falls.any())


def _restarts(rows: np.ndarray, steps: np.ndarray, fresh: np.ndarray) -> list[tuple[int, int, int]]:
    """Return (row, row before it, break before it or -1) for each restart that one tag shows."""
    # batches that were logged at one step count once
    changed = np.flatnonzero(np.diff(steps[rows], prepend=np.nan) != 0)
    own, firsts, befores = steps[rows][changed], rows[changed], rows[changed - 1]
    if (np.diff(own) >= 0).all():
        return []
    found: list[tuple[int, int, int]] = []
    seen, top, begin = {float(own[0])}, own[0], 0
    for i in range(1, len(own)):
        row, before = int(firsts[i]), int(befores[i])
        at_break = bool(fresh[row] > before)
        if own[i] < top and _goes_on(own, i, top, at_break, float(own[i]) in seen, i - begin):
            found.append((row, before, int(fresh[row]) if at_break else -1))
            seen, top, begin = set(), own[i], i
        seen.add(float(own[i]))
        top = max(top, own[i])
    return found


def _goes_on(own: np.ndarray, i: int, top: float, at_break: bool, known: bool, reached: int) -> bool:
    """Whether a tag whose step falls at its row i goes on from there, as a restarted training does.

    `known`: this step was logged before; `reached`: rows since the last restart.
    """
    if i + 1 == len(own) or own[i + 1] < own[i]:
        return False
    if at_break:
        return True
    overtakes_many = reached > DEPTH and bool((own[i - DEPTH - 1 : i] > own[i]).all())
    return bool(own[i + 1] <= top) and (known or overtakes_many)


def _boundaries(found: list[tuple[int, int, int]]) -> tuple[list[int], int]:
    """Join what the tags show: a tag with no row since the last boundary tells of that one again."""
    begins: list[int] = []
    unmarked = 0
    for row, before, at_break in found:
        if begins and before < begins[-1]:
            continue
        begins.append(at_break if at_break > (begins[-1] if begins else -1) else row)
        unmarked += at_break < 0
    return begins, unmarked


def _live(segment: np.ndarray, steps: np.ndarray) -> np.ndarray:
    live = np.ones(len(steps), dtype=bool)
    rewritten = np.inf  # the first step that any later segment writes
    starts = np.flatnonzero(np.diff(segment, prepend=-1))
    for start, end in zip(starts[::-1], np.append(starts[1:], len(steps))[::-1], strict=True):
        live[start:end] = steps[start:end] < rewritten
        rewritten = min(rewritten, float(steps[start]))
    return live

"""The `scalars` frames of runs that were read from event files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import pandas as pd

from plateau_doctor.readers.event_rows import end_to_end
from plateau_doctor.roles import roles_of

__all__ = ["Curves", "frames_of"]

OBJECTS = np.dtype(object)
EPOCH = "epoch"
_BY_EPOCH = re.compile(r"(?:^|/)epoch_(?!.*_vs_)")  # Keras' tags whose step is the epoch


@dataclass(frozen=True, eq=False)
class Curves:
    """Scalars of a run: `names`, and arrays of as many rows."""

    names: Sequence[str]
    codes: np.ndarray
    steps: np.ndarray
    times: np.ndarray
    values: np.ndarray
    segment: np.ndarray
    live: np.ndarray


def frames_of(runs: Sequence[Curves]) -> list[tuple[pd.DataFrame, dict[str, str]]]:
    """Return the `scalars` frame of each run, and the reasons for its roles.

    A frame costs as much to make as thousands of rows do. So one is made of all runs, and cut; of a single run, its
    columns are the arrays themselves.
    """
    if not runs:
        return []
    roles = [roles_of([run.names[code] for code in _in_order(run.codes, len(run.names))]) for run in runs]
    known = [
        [own[n][0] if n in own else None for n in run.names] for run, own in zip(runs, roles, strict=True)
    ]
    columns = {
        "tag": _each(runs, [run.names for run in runs]),
        "role": _each(runs, known),
        "step": end_to_end([run.steps for run in runs]),
        "epoch": end_to_end([_epochs(run) for run in runs]),
        "wall_time": end_to_end([run.times for run in runs]),
        "value": end_to_end([run.values for run in runs]),
        "segment": end_to_end([run.segment for run in runs]),
        "live": end_to_end([run.live for run in runs]),
    }
    whole = _frame(columns)
    reasons = [{name: why for name, (_, why) in own.items()} for own in roles]
    if len(runs) == 1:
        return [(whole, reasons[0])]
    bounds = pairwise(_bounds(runs))
    return [(_cut(whole, a, b), why) for (a, b), why in zip(bounds, reasons, strict=True)]


def _bounds(runs: Sequence[Curves]) -> list[int]:
    """Return where each run begins, if they stand one behind the other, and where the last one ends."""
    return list(accumulate((len(run.codes) for run in runs), initial=0))


def _cut(whole: pd.DataFrame, begin: int, end: int) -> pd.DataFrame:
    piece = whole.iloc[begin:end]
    piece.index = pd.RangeIndex(
        end - begin
    )  # at half the cost of `set_axis`, which copies the piece once more
    return piece


def _frame(columns: dict[str, np.ndarray]) -> pd.DataFrame:
    rows = pd.RangeIndex(len(columns["tag"]))
    texts = {name: pd.Series(columns[name], rows, OBJECTS, copy=False) for name in ("tag", "role")}
    return pd.DataFrame({**columns, **texts}, rows, copy=False)


def _each(runs: Sequence[Curves], told: Sequence[Sequence[str | None]]) -> np.ndarray:
    """Return what is told of the name of each row, run after run."""
    bounds = _bounds(runs)
    found = np.empty(bounds[-1], dtype=object)
    for run, own, (begin, end) in zip(runs, told, pairwise(bounds), strict=True):
        known = np.empty(len(own) + 1, dtype=object)
        known[:-1] = own
        known.take(run.codes, out=found[begin:end], mode="clip")  # straight to its place; no code is beyond
    return found


def _in_order(codes: np.ndarray, count: int) -> list[int]:
    """Return the codes that rows have, in the order in which they come first."""
    first = np.full(count, len(codes))
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    order = np.argsort(first, kind="stable")
    return [int(code) for code in order[: int((first < len(codes)).sum())]]


def _epochs(curves: Curves) -> np.ndarray:
    """Return `epoch` from the scalar of that name, by step; without one, Keras' `epoch_*` tags count epochs."""
    named = np.array([name.rpartition("/")[2] == EPOCH for name in curves.names], dtype=bool)
    usable = named[curves.codes] & np.isfinite(curves.values) if named.any() else named[:0]
    if not usable.any():
        by_epoch = np.array(["epoch_" in n and bool(_BY_EPOCH.search(n)) for n in curves.names], dtype=bool)
        if not by_epoch.any():
            return np.full(len(curves.codes), np.nan)
        return np.where(by_epoch[curves.codes], curves.steps, np.nan)
    axis = usable & (curves.codes == _most_frequent(curves.codes[usable]))
    epochs = np.full(len(curves.codes), np.nan)
    for segment in np.unique(curves.segment):
        rows = np.flatnonzero(curves.segment == segment)
        own = axis[rows].any()
        known = rows[axis[rows]] if own else np.flatnonzero(axis)
        steps, values = _last_by_step(curves.steps[known], curves.values[known])
        at = np.searchsorted(steps, curves.steps[rows], side="left")
        epochs[rows] = values[np.minimum(at, len(steps) - 1)]
    return epochs


def _most_frequent(codes: np.ndarray) -> int:
    """Return the code that most rows have; of several, the one that comes first."""
    counts = np.bincount(codes)
    return int(codes[np.argmax(counts[codes] == counts.max())])


def _last_by_step(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps, rising, and the last value at each."""
    order = np.argsort(steps, kind="stable")
    steps, values = steps[order], values[order]
    last = np.append(steps[1:] != steps[:-1], True)
    return steps[last], values[last]

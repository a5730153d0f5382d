"""Rows of an event file, scalars or histograms, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

__all__ = ["Collected", "Rows", "end_to_end", "no_rows"]


def _none() -> np.ndarray:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows in the order logged; each has a tag, a step and a time.

    Attributes:
        names: The tags.
        codes: Which of them each row has.
        steps: Whole numbers.
        times: Wall times.
    """

    names: tuple[str, ...] = ()
    codes: np.ndarray = field(default_factory=_none)
    steps: np.ndarray = field(default_factory=_none)
    times: np.ndarray = field(default_factory=lambda: np.empty(0))

    @staticmethod
    def of(tags: Sequence[str], steps: Sequence[int], times: Sequence[float]) -> Rows:
        """Make rows of lists."""
        names = {tag: i for i, tag in enumerate(dict.fromkeys(tags))}
        codes = np.array([names[tag] for tag in tags], dtype=np.int64)
        return Rows(tuple(names), codes, np.array(steps, dtype=np.int64), np.array(times, dtype=np.float64))

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def tags(self) -> list[str]:
        """The tag of each row."""
        return [self.names[code] for code in self.codes.tolist()]


@cache
def no_rows() -> Rows:
    """Return none: most files have no histograms, and there may be thousands of files."""
    return Rows()


class Collected:
    """Rows that come in pieces; the pieces of one batch of events may overlap, so each row knows its event."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._pieces: list[tuple[np.ndarray, ...]] = []

    def add(
        self,
        names: Sequence[str],
        codes: np.ndarray,
        events: np.ndarray,
        steps: np.ndarray,
        times: np.ndarray,
    ) -> None:
        """Add rows of which each has one of `names` by its code."""
        if not len(codes):
            return
        seen = np.bincount(codes, minlength=len(names)) > 0
        every = bool(seen.all())
        if every and not self._names and len(set(names)) == len(names):
            self._names = {name: code for code, name in enumerate(names)}
        else:
            known = np.zeros(len(names), dtype=np.int64)
            own = names if every else [names[code] for code in np.flatnonzero(seen).tolist()]
            known[seen] = [self._names.setdefault(name, len(self._names)) for name in own]
            codes = known[codes]
        self._pieces.append((events, codes, steps, times))

    def add_each(
        self,
        tags: Sequence[str],
        events: Sequence[int],
        steps: Sequence[int],
        times: Sequence[float],
        before: int,
    ) -> None:
        """Add rows from lists; `before` is added to the number of each event."""
        if tags:
            rows = Rows.of(tags, steps, times)
            self.add(rows.names, rows.codes, np.array(events) + before, rows.steps, rows.times)

    def rows(self) -> tuple[Rows, np.ndarray | None, np.ndarray]:
        """Return the rows by their events, the places they were added at, None where in order, and the events.

        From then on they count as added in that order.
        """
        if not self._pieces:
            return no_rows(), None, no_rows().codes
        events, codes, steps, times = self._pieces[0]
        order = None
        if len(self._pieces) > 1:
            columns = zip(*self._pieces, strict=True)
            events, codes, steps, times = (np.concatenate(column) for column in columns)
        if len(self._pieces) > 1 and (events[1:] < events[:-1]).any():
            order = np.argsort(events, kind="stable")
            events, codes, steps, times = (column[order] for column in (events, codes, steps, times))
        self._pieces = [(events, codes, steps, times)]
        return Rows(tuple(self._names), codes, steps, times), order, events


def end_to_end(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return arrays as one; a single one is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)

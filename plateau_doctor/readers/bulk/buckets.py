"""Bins of many histograms at once: the quick twin of `from_message` and `from_rows` in `histograms`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plateau_doctor.readers.bulk.cursors import Bytes, Cursors, Places
from plateau_doctor.readers.histograms import Histograms

__all__ = ["Messages", "firsts_of", "messages_in", "of_messages", "of_tables"]

HISTOGRAM = 0x2A
LOW, HIGH, COUNT, TOTAL, SQUARES, LIMITS, COUNTS = 0x09, 0x11, 0x19, 0x21, 0x29, 0x32, 0x3A


@dataclass(frozen=True, eq=False)
class Messages:
    """HistogramProtos of the usual shape: five numbers each, and where their limits and counts stand."""

    members: Places
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray
    total: np.ndarray
    squares: np.ndarray
    limits: Places
    counts: Places
    sizes: Places

    def take(self, chosen: np.ndarray) -> Messages:
        """Return those that a mask or an array of places chooses."""
        return Messages(*(values[chosen] for values in vars(self).values()))


def messages_in(raw: Bytes, at: Places, ends: Places) -> Messages:
    """Return the histograms that are all there is between `at` and `ends`; `members` says which."""
    cursors = Cursors(raw, at, ends, members=np.arange(len(at)))
    cursors.enter(HISTOGRAM, whole=True)
    for name, key in (("low", LOW), ("high", HIGH), ("count", COUNT), ("total", TOTAL), ("squares", SQUARES)):
        cursors.held[name] = cursors.double(key)
        cursors.keep(cursors.at <= cursors.ends)
    behind = cursors.enter(LIMITS)
    cursors.held["limits"], cursors.at = cursors.at, behind
    cursors.held["counts_end"] = behind
    behind = cursors.enter(COUNTS, whole=True)
    held = cursors.held
    sizes = held.pop("counts_end") - held["limits"]
    held["counts"], held["sizes"] = cursors.at, sizes // 8
    whole = (sizes > 0) & (sizes % 8 == 0) & (behind - cursors.at == sizes)
    found = Messages(**held)
    return found if whole.all() else found.take(whole)


def of_messages(data: bytes, found: Messages) -> Histograms:
    """Return the histograms of HistogramProtos, as `from_message` makes each."""
    limits, counts = (_gathered(data, at, found.sizes) for at in (found.limits, found.counts))
    firsts = firsts_of(found.sizes)
    columns = np.empty((3, len(limits)))  # each in one piece, which is quicker to fill and to read than rows
    columns[0, 1:], columns[1], columns[2] = limits[:-1], limits, counts
    columns[0, firsts] = np.where(limits[firsts] < found.low, limits[firsts], found.low)
    kept, sizes = _between_full(counts > 0, found.sizes)
    nothing = ~(found.count > 0) | (sizes == 0)
    if nothing.any():
        kept &= np.repeat(~nothing, found.sizes)
        sizes = np.where(nothing, 0, sizes)
    bins = (columns if kept.all() else columns[:, kept]).T
    bounded = found.low <= found.high
    _clip(bins, sizes, np.where(bounded, found.low, -np.inf), np.where(bounded, found.high, np.inf))
    total, squares = (np.where(nothing, 0.0, values) for values in (found.total, found.squares))
    return Histograms(bins, firsts_of(sizes), sizes, total, squares, np.ones(len(sizes), dtype=bool))


def _clip(bins: np.ndarray, sizes: Places, low: np.ndarray, high: np.ndarray) -> None:
    """Leave no edge of a histogram outside its smallest and largest value.

    Where edges rise and only the outermost two lie outside, which is how they are written, these alone are looked at.
    """
    some = np.flatnonzero(sizes)
    first = firsts_of(sizes)[some]
    last = first + sizes[some] - 1
    low, high = low[some], high[some]
    rising = bins[:, 1] >= bins[:, 0]
    rising[first] = True
    inside = (first == last) | ((bins[first, 1] >= low) & (bins[last, 0] <= high))
    if rising.all() and inside.all():
        bins[first, 0] = np.clip(bins[first, 0], low, high)
        bins[last, 1] = np.clip(bins[last, 1], low, high)
        return
    low, high = (np.repeat(bound, sizes[some])[:, None] for bound in (low, high))
    np.clip(bins[:, :2], low, high, out=bins[:, :2])


def of_tables(rows: np.ndarray) -> Histograms:
    """Return the histograms of tensors of left edge, right edge and count, (n, k, 3), as `from_rows` makes each."""
    count = len(rows)
    if np.isfinite(rows).all() and (rows[:, :, 2] >= 0).all():
        sizes, bins = np.full(count, rows.shape[1]), rows.reshape(-1, 3).copy()
    else:
        usable = np.isfinite(rows).all(axis=2) & (rows[:, :, 2] >= 0)
        sizes, bins = usable.sum(axis=1), rows[usable]
    alone = firsts_of(sizes)[sizes == 1]
    alone = alone[
        bins[alone, 1] - bins[alone, 0] == 1.0
    ]  # one value alone: TensorFlow writes +-0.5 around it
    bins[alone, :2] = bins[alone, :2].mean(axis=1, keepdims=True)
    kept, sizes = _between_full(bins[:, 2] > 0, sizes)
    unknown = np.full(count, np.nan)
    bins = bins if kept.all() else bins[kept]
    return Histograms(bins, firsts_of(sizes), sizes, unknown, unknown, np.zeros(count, dtype=bool))


def firsts_of(sizes: Places) -> Places:
    """Return where each stretch begins, if stretches of these sizes follow one another."""
    firsts: Places = np.cumsum(sizes) - sizes
    return firsts


def _between_full(full: np.ndarray, sizes: Places) -> tuple[np.ndarray, Places]:
    """Return which bins lie between the first full one of their histogram and the last, and how many each keeps."""
    begins = firsts_of(sizes)
    if sizes.all() and full[begins].all() and full[begins + sizes - 1].all():  # as they are mostly written
        return np.ones(len(full), dtype=bool), sizes
    places = np.flatnonzero(full)
    first, behind = places.searchsorted(begins), places.searchsorted(begins + sizes)
    some = behind > first
    kept = np.zeros(len(sizes), dtype=np.int64)
    marks = np.zeros(len(full) + 1, dtype=np.int8)
    if some.any():
        low, high = places[first[some]], places[behind[some] - 1]
        kept[some] = high - low + 1
        np.add.at(marks, low, 1)
        np.add.at(marks, high + 1, -1)
    return np.cumsum(marks[:-1], dtype=np.int8) > 0, kept


def _gathered(data: bytes, at: Places, sizes: Places) -> np.ndarray:
    parts = [data[a:b] for a, b in zip(at.tolist(), (at + 8 * sizes).tolist(), strict=True)]
    return np.frombuffer(b"".join(parts), dtype="<f8")

"""Summaries of many histograms at once: the quick twin of `histograms.summary`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plateau_doctor.readers.bulk.buckets import firsts_of
from plateau_doctor.readers.bulk.cursors import Places
from plateau_doctor.readers.histograms import EDGE, TINY, TINY_SHARE, Histograms

__all__ = ["summaries"]

AT_ONCE = 1 << 16  # bins worked on together: so many stay in the processor's cache


@dataclass(frozen=True, eq=False)
class _Bins:
    """The bins of histograms that have some, one after another."""

    left: np.ndarray
    right: np.ndarray
    counts: np.ndarray
    firsts: Places
    sizes: Places

    @property
    def lasts(self) -> Places:
        return self.firsts + self.sizes - 1

    def sums(self, values: np.ndarray) -> np.ndarray:
        summed: np.ndarray = np.add.reduceat(values, self.firsts)
        return summed

    def each(self, values: np.ndarray) -> np.ndarray:
        """Return one number a bin from one number a histogram."""
        return np.repeat(values, self.sizes)


def summaries(of: Histograms) -> dict[str, np.ndarray]:
    """Return the summary columns of `Run.histograms`, each (n,), as `histograms.summary` gives them one by one."""
    count = len(of.sizes)
    names = ("mean", "std", "low", "high", "zeros", "edge")
    columns = {"count": np.zeros(count), "norm": np.zeros(count)} | {n: np.full(count, np.nan) for n in names}
    some = np.flatnonzero(of.sizes > 0)
    cuts = np.flatnonzero(np.diff(np.cumsum(of.sizes[some]) // AT_ONCE)) + 1
    for part in np.split(some, cuts):
        if len(part):
            _fill(columns, of, part)
    return columns


def _fill(columns: dict[str, np.ndarray], of: Histograms, some: Places) -> None:
    """Put what `some` of the histograms give into the columns."""
    sizes, firsts = of.sizes[some], of.firsts[some]
    if (firsts[1:] == firsts[:-1] + sizes[:-1]).all():
        rows = of.bins[firsts[0] : firsts[0] + int(sizes.sum())]
    else:
        rows = of.bins[np.repeat(firsts - firsts_of(sizes), sizes) + np.arange(int(sizes.sum()))]
    left, right, counts = (np.ascontiguousarray(column) for column in rows.T)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = _of(_Bins(left, right, counts, firsts_of(sizes), sizes), of, some)
    full = found["count"] > 0
    for name, values in found.items():
        columns[name][some[full]] = values[full]


def _of(bins: _Bins, of: Histograms, some: Places) -> dict[str, np.ndarray]:
    n = bins.sums(bins.counts)
    known, squares, total = of.summed[some], of.squares[some], of.totals[some]
    zeros, at = _zeros(bins, n, known, squares)
    if not known.all():
        own_total, own_squares = _sums(bins, n, zeros, at)
        total, squares = np.where(known, total, own_total), np.where(known, squares, own_squares)
    mean = total / n
    return {
        "count": n,
        "mean": mean,
        "std": np.sqrt(np.maximum(squares / n - mean * mean, 0.0)),
        "norm": np.sqrt(np.maximum(squares, 0.0)),
        "low": bins.left[bins.firsts],
        "high": bins.right[bins.lasts],
        "zeros": zeros,
        "edge": _edge(bins, n),
    }


def _zeros(bins: _Bins, n: np.ndarray, known: np.ndarray, squares: np.ndarray) -> tuple[np.ndarray, Places]:
    """Return the share of exact zeros, and the bin of each histogram that they lie in, -1 where none is near 0."""
    places = np.flatnonzero((bins.left <= 0) & (bins.right >= 0) & (bins.counts > 0))
    begin, behind = places.searchsorted(bins.firsts), places.searchsorted(bins.firsts + bins.sizes)
    at = np.where(behind > begin, places[behind - 1] if len(places) else -1, -1)
    owner = np.repeat(np.arange(len(n)), behind - begin)
    span = bins.right[bins.lasts] - bins.left[bins.firsts]
    reach = np.maximum(np.abs(bins.left[places]), np.abs(bins.right[places]))
    tiny = (reach <= TINY) | (reach <= TINY_SHARE * span[owner])
    mass = np.bincount(owner[tiny], bins.counts[places[tiny]], minlength=len(n))
    widest = np.zeros(len(n))
    np.maximum.at(widest, owner[tiny], reach[tiny])
    unclear = (mass == n) & (~known | (squares > 0)) & (widest > 0)
    share = np.where(unclear, np.nan, mass / n)
    has_tiny = np.bincount(owner[tiny], minlength=len(n)) > 0
    share = np.where(has_tiny, share, _above_neighbors(bins, n, np.maximum(at, 0)))
    return np.where(at >= 0, share, 0.0), at


def _above_neighbors(bins: _Bins, n: np.ndarray, at: Places) -> np.ndarray:
    """Return the share of a wide bin at 0 that it has above its neighbors."""
    before, after = at > bins.firsts, at < bins.lasts
    beside = np.where(before, bins.counts[at - 1], 0.0)
    beside += np.where(after, bins.counts[np.minimum(at + 1, len(bins.counts) - 1)], 0.0)
    above = bins.counts[at] - beside / (before.astype(float) + after)
    pointed = ((bins.left[at] == 0) & (bins.right[at] == 0)).astype(float)
    share: np.ndarray = np.where(before | after, np.where(above > 0, above, 0.0) / n, pointed)
    return share


def _sums(bins: _Bins, n: np.ndarray, zeros: np.ndarray, at: Places) -> tuple[np.ndarray, np.ndarray]:
    """Return sums and sums of squares, with each bin's mass spread evenly over it and the zeros at 0."""
    spread = bins.counts.copy()
    some = np.flatnonzero(zeros > 0)
    spread[at[some]] -= zeros[some] * n[some]
    middle, width = bins.left / 2 + bins.right / 2, bins.right - bins.left
    return bins.sums(spread * middle), bins.sums(spread * (middle**2 + width**2 / 12))


def _edge(bins: _Bins, n: np.ndarray) -> np.ndarray:
    """Return the share within 5 % of the range from either end; a bin's mass is spread evenly over it."""
    low, high = bins.left[bins.firsts], bins.right[bins.lasts]
    reach = EDGE * (high - low)
    inner_low, inner_high = bins.each(low + reach), bins.each(high - reach)
    between = (bins.left > inner_low) & (
        bins.right < inner_high
    )  # of these, which are most, nothing lies there
    at = np.flatnonzero(~between)
    left, right, inner_low, inner_high = bins.left[at], bins.right[at], inner_low[at], inner_high[at]
    width = right - left
    inside = np.minimum(right, inner_low) - np.minimum(left, inner_low)
    inside += np.maximum(right, inner_high) - np.maximum(left, inner_high)
    pointed = (left <= inner_low) | (right >= inner_high)
    share = np.zeros(len(between))
    share[at] = np.where(width > 0, inside / np.where(width > 0, width, 1.0), pointed)
    found = bins.sums(bins.counts * share) / n
    share_there: np.ndarray = np.where((reach > 0) & np.isfinite(reach), found, np.nan)
    return share_there

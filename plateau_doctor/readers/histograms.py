"""Histograms of event files: their bins, what the bins tell, and which layer they belong to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from plateau_doctor.readers.wire import BYTES, FIXED64, WireError, doubles, fields

__all__ = [
    "Histogram",
    "Histograms",
    "from_message",
    "from_rows",
    "layer_and_kind",
    "no_histograms",
    "summary",
]

TINY = 1e-11  # writers with exponential buckets put exact zeros between -1e-12 and 1e-12
TINY_SHARE = 1e-6  # ... or a bucket that is this small a share of the range holds zeros for our purpose
EDGE = 0.05  # share of the range that counts as its edge, at either end

GRADIENT = frozenset({"grad", "grads", "gradient", "gradients"})
WEIGHT = frozenset({"weight", "weights", "param", "params", "parameter", "parameters", "variables"})
ACTIVATION = frozenset({"activation", "activations", "act", "acts", "output", "outputs", "preactivation"})
TENSOR_NAMES = WEIGHT | frozenset("w b kernel bias biases gamma beta embedding embeddings".split())
FILLERS = frozenset(
    {"hist", "hists", "histogram", "histograms", "distribution", "distributions", "norm", "summary"}
)
_KIND_WORDS = GRADIENT | WEIGHT | ACTIVATION | FILLERS
_TRAILING = re.compile(r"[./_-](grads?|gradients?|hists?|histograms?|histogram_summary)$", re.IGNORECASE)
_LEADING = re.compile(r"^(grads?|gradients?|weights?|activations?)[._-](?=[A-Za-z0-9_.]{3})", re.IGNORECASE)
_COPY = re.compile(r"(?<=kernel)_\d+$|(?<=gamma)_\d+$|(?<=bias)_\d+$|(?<=beta)_\d+$|:\d+$")  # Keras: kernel_0


@dataclass(frozen=True, eq=False)
class Histogram:
    """One logged histogram.

    Attributes:
        bins: Shape (n, 3): left edge, right edge, count; edges rise and end at the smallest and largest value.
        total: Sum of all elements, None where only the bins tell.
        squares: Sum of their squares, likewise.
    """

    bins: np.ndarray
    total: float | None = None
    squares: float | None = None


@dataclass(frozen=True, eq=False)
class Histograms:
    """Many histograms; histogram i has the bins from `firsts[i]` on, `sizes[i]` of them.

    Attributes:
        bins: Shape (m, 3), as in `Histogram`.
        firsts, sizes: Shape (n,), whole numbers.
        totals, squares: Shape (n,), NaN where only the bins tell.
        summed: Shape (n,), whether totals and squares are known.
    """

    bins: np.ndarray
    firsts: np.ndarray
    sizes: np.ndarray
    totals: np.ndarray
    squares: np.ndarray
    summed: np.ndarray

    @staticmethod
    def of(single: Sequence[Histogram]) -> Histograms:
        """Put single histograms together."""
        bins = [one.bins for one in single]
        sizes = np.array([len(part) for part in bins], dtype=np.int64)
        known = np.array([one.squares is not None for one in single], dtype=bool)
        sums = [(one.total, one.squares) if one.squares is not None else (np.nan, np.nan) for one in single]
        totals, squares = np.array(sums, dtype=np.float64).reshape(-1, 2).T
        joined = np.concatenate(bins) if bins else np.empty((0, 3))
        return Histograms(joined, np.cumsum(sizes) - sizes, sizes, totals, squares, known)

    @staticmethod
    def joined(parts: Sequence[Histograms]) -> Histograms:
        """Put several together, one behind the other."""
        parts = [part for part in parts if len(part)]
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return no_histograms()
        before = np.cumsum([0, *(len(part.bins) for part in parts[:-1])])
        firsts = [part.firsts + begin for part, begin in zip(parts, before.tolist(), strict=True)]
        others = ((p.sizes, p.totals, p.squares, p.summed) for p in parts)
        columns = [np.concatenate(column) for column in zip(*others, strict=True)]
        return Histograms(np.concatenate([p.bins for p in parts]), np.concatenate(firsts), *columns)

    def take(self, chosen: np.ndarray | slice) -> Histograms:
        """Return the histograms that a mask, an array of places or a slice chooses; the bins stay where they are."""
        columns = (self.firsts, self.sizes, self.totals, self.squares, self.summed)
        return Histograms(self.bins, *(column[chosen] for column in columns))

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, i: int) -> Histogram:
        bins = self.bins[self.firsts[i] : self.firsts[i] + self.sizes[i]]
        if not self.summed[i]:
            return Histogram(bins)
        return Histogram(bins, float(self.totals[i]), float(self.squares[i]))


@cache
def no_histograms() -> Histograms:
    """Return none, which most files hold."""
    return Histograms.of([])


def from_message(data: bytes, start: int, end: int) -> Histogram:
    """Decode the HistogramProto in `data[start:end]`.

    Raises:
        WireError: The bytes are no HistogramProto.
    """
    single = dict.fromkeys(range(1, 6), 0.0)  # min, max, num, sum, sum_squares
    parts: dict[int, list[np.ndarray]] = {6: [], 7: []}
    for number, kind, a, b in fields(data, start, end):
        if number in single and kind == FIXED64:
            single[number] = float(doubles(data, kind, a, b)[0])
        elif number in parts and kind in (BYTES, FIXED64):
            parts[number].append(doubles(data, kind, a, b))
    limits, counts = (np.concatenate(part) if part else np.empty(0) for part in parts.values())
    if len(limits) != len(counts):
        raise WireError(f"a histogram has {len(limits)} limits and {len(counts)} counts")
    low, high, number_of, total, squares = single.values()
    if not number_of > 0 or not (counts > 0).any():
        return Histogram(np.empty((0, 3)), 0.0, 0.0)
    return Histogram(_bins_between(limits, counts, low, high), total, squares)


def from_rows(rows: np.ndarray) -> Histogram:
    """Make a histogram of a TF2 histogram tensor: rows of left edge, right edge and count, shape (k, 3)."""
    kept = rows[np.isfinite(rows).all(axis=1) & (rows[:, 2] >= 0)]
    if (
        len(kept) == 1 and kept[0, 1] - kept[0, 0] == 1.0
    ):  # how TensorFlow writes one value alone: +-0.5 around it
        kept = np.array([[kept[0, :2].mean(), kept[0, :2].mean(), kept[0, 2]]])
    full = np.flatnonzero(kept[:, 2] > 0)
    return Histogram(kept[full[0] : full[-1] + 1] if len(full) else np.empty((0, 3)))


def summary(histogram: Histogram) -> dict[str, float]:
    """Return the summary columns of `Run.histograms`, NaN for what an empty histogram does not have."""
    with np.errstate(over="ignore", invalid="ignore"):
        return _summary(histogram)


def _summary(histogram: Histogram) -> dict[str, float]:
    left, right, counts = histogram.bins.T
    n = float(counts.sum())
    if not n > 0:
        nothing = dict.fromkeys(("mean", "std", "low", "high", "zeros", "edge"), float("nan"))
        return {"count": 0.0, "norm": 0.0, **nothing}
    squares = histogram.squares
    zeros = _zeros(left, right, counts, squares)
    total, squares = (histogram.total, squares) if squares is not None else _sums(left, right, counts, zeros)
    mean = total / n if total is not None else float("nan")
    return {
        "count": n,
        "mean": mean,
        "std": float(np.sqrt(np.maximum(squares / n - mean * mean, 0.0))),  # both keep NaN
        "norm": float(np.sqrt(np.maximum(squares, 0.0))),
        "low": float(left[0]),
        "high": float(right[-1]),
        "zeros": zeros,
        "edge": _edge(left, right, counts),
    }


def _sums(left: np.ndarray, right: np.ndarray, counts: np.ndarray, zeros: float) -> tuple[float, float]:
    """Return sum and sum of squares, with each bin's mass spread evenly over it and the zeros at 0."""
    spread = counts.copy()
    if zeros > 0:
        spread[_zero_bin(left, right, counts)] -= zeros * counts.sum()
    middle, width = left / 2 + right / 2, right - left
    return float(spread @ middle), float(spread @ (middle**2 + width**2 / 12))


def _zero_bin(left: np.ndarray, right: np.ndarray, counts: np.ndarray) -> int:
    """Return the bin that zeros lie in; bins are closed on the left, so it is the last that touches 0."""
    return int(np.flatnonzero((left <= 0) & (right >= 0) & (counts > 0))[-1])


def layer_and_kind(tag: str) -> tuple[str, str]:
    """Return the layer of a histogram's tag, and `gradient`, `weight`, `activation` or `other`.

    `gradients/conv1.weight`, `conv1.weight_grad` and `weights/conv1.weight` have the layer `conv1.weight`.
    """
    parts = [part for part in tag.split("/") if part]
    leading = 0
    while leading < len(parts) - 1 and _words(parts[leading]) <= _KIND_WORDS:
        leading += 1
    named = parts[leading:]
    kept = [part for part in named if not _words(part) <= GRADIENT] or named
    layer = _LEADING.sub("", "/".join(kept))
    while (shorter := _TRAILING.sub("", layer)) and shorter != layer:
        layer = shorter
    layer = _COPY.sub("", layer)
    first = frozenset[str]().union(*(_words(part) for part in parts[:leading]))
    if lead := _LEADING.match("/".join(kept)):
        first |= {lead[1].lower()}
    return layer or tag, _kind(first, _words(tag), layer)


def _kind(first: frozenset[str], words: frozenset[str], layer: str) -> str:
    if words & GRADIENT:
        return "gradient"
    if first & ACTIVATION:
        return "activation"
    last = re.split(r"[^A-Za-z0-9]+", layer.lower())[-1].rstrip("0123456789")
    if first & WEIGHT or last in TENSOR_NAMES:
        return "weight"
    if words & ACTIVATION:
        return "activation"
    return "weight" if words & WEIGHT else "other"


def _words(name: str) -> frozenset[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return frozenset(w for w in re.split(r"[^a-z0-9]+", spaced.lower()) if w)


def _bins_between(limits: np.ndarray, counts: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return bins with the outer edges at the smallest and largest value, as TensorBoard draws them."""
    left = np.concatenate([[min(low, limits[0])], limits[:-1]])
    full = np.flatnonzero(counts > 0)
    kept = slice(full[0], full[-1] + 1)
    left, right, counts = left[kept].copy(), limits[kept].copy(), counts[kept]
    if low <= high:
        left, right = np.clip(left, low, high), np.clip(right, low, high)
    return np.stack([left, right, counts], axis=1)


def _zeros(left: np.ndarray, right: np.ndarray, counts: np.ndarray, squares: float | None) -> float:
    """Return the share of exact zeros: all of a tiny bin at 0; of a wide one what it has above its neighbors."""
    n, span = counts.sum(), right[-1] - left[0]
    near = (left <= 0) & (right >= 0) & (counts > 0)
    if not near.any():
        return 0.0
    reach = np.maximum(np.abs(left), np.abs(right))
    tiny = near & ((reach <= TINY) | (reach <= TINY_SHARE * span))
    if tiny.any():
        if counts[tiny].sum() == n and (squares is None or squares > 0) and reach[tiny].max() > 0:
            return float("nan")  # all values lie in there, and they are not all 0
        return float(counts[tiny].sum() / n)
    at = _zero_bin(left, right, counts)
    beside = [counts[i] for i in (at - 1, at + 1) if 0 <= i < len(counts)]
    if not beside:
        return float(left[at] == 0 == right[at])
    return float(max(0.0, counts[at] - float(np.mean(beside))) / n)


def _edge(left: np.ndarray, right: np.ndarray, counts: np.ndarray) -> float:
    """Return the share within 5 % of the range from either end; a bin's mass is spread evenly over it."""
    low, high = left[0], right[-1]
    reach = EDGE * (high - low)
    if not reach > 0 or not np.isfinite(reach):
        return float("nan")
    width = right - left
    inside = np.minimum(right, low + reach) - np.minimum(left, low + reach)
    inside += np.maximum(right, high - reach) - np.maximum(left, high - reach)
    pointed = (left <= low + reach) | (right >= high - reach)
    share = np.where(width > 0, inside / np.where(width > 0, width, 1.0), pointed)
    return float(counts @ share / counts.sum())

"""The curve that stands for a role in one run, made comparable between ways of logging it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
import pandas as pd

from plateau_doctor.roles import higher_is_better, rank_of
from plateau_doctor.run import Run

__all__ = [
    "FEWEST_POINTS",
    "MOST_BINS",
    "Array",
    "Curve",
    "curve_from",
    "curve_of",
    "finest_curve",
    "first_level",
    "median",
    "noise_of",
    "primary_curve",
    "share_of",
    "smooth",
    "windows",
]

Array = np.ndarray
Rows = Mapping[str, Array]  # columns of a Run's scalars, (n,) each
AXES = ("step", "value", "epoch")

MOST_BINS = 60
FEWEST_POINTS = 6
FEWEST_EPOCHS = 6
SHORT = 500  # values that are sorted sooner than numpy's median has begun


@dataclass(frozen=True, eq=False)
class Curve:
    """One series made comparable: its points, and the same in at most 60 bins.

    Attributes:
        role: Its role.
        tag: Its tag.
        steps: Shape (n,), rising, one entry a distinct step.
        values: Shape (n,), finite; the median where a step was logged more than once.
        epochs: Shape (n,), NaN where unknown.
        bin_steps: Shape (m,), the first step of each bin; the last of each epoch.
        bins: Shape (m,), the mean of each epoch, else of each bin without its outer tenths; smaller is better
            (metrics are negated).
        sign: -1 for a series that improves by rising, else 1.
        lost: Points that were NaN or Inf, and the number of those after the last finite one.
    """

    role: str
    tag: str
    steps: Array
    values: Array
    epochs: Array
    bin_steps: Array
    bins: Array
    sign: int
    lost: tuple[int, int]

    @cached_property
    def calm(self) -> Array:
        """The running median of three bins, shape (m,)."""
        return smooth(self.bins)

    def evenly(self, values: Array) -> Array:
        """Read values (m,) that stand at the bins at 60 even places of the run, however many bins there are."""
        if len(self.bins) == MOST_BINS:
            return values
        return np.asarray(np.interp(self._places, self.bin_steps, values))

    @cached_property
    def _places(self) -> Array:
        return np.linspace(self.bin_steps[0], self.bin_steps[-1], MOST_BINS)

    @cached_property
    def first_level(self) -> float:
        """The level of the first 5 % of bins, at least one."""
        return first_level(self.bins)

    @cached_property
    def last_level(self) -> float:
        """The level of the last eighth of bins, at least two."""
        return median(self.bins[-max(2, len(self.bins) // 8) :])

    @cached_property
    def noise(self) -> float:
        """Standard deviation of one bin around its neighbors, from successive differences (von Neumann 1941)."""
        return noise_of(self.bins)

    @property
    def long_enough(self) -> bool:
        """Whether there is enough to judge: six points, or four that span six epochs."""
        n = len(self.values)
        if n >= FEWEST_POINTS or n < FEWEST_POINTS - 2:
            return n >= FEWEST_POINTS
        return bool(self.epochs[-1] - self.epochs[0] >= FEWEST_EPOCHS - 1)


def smooth(values: Array, width: int = 3) -> Array:
    """Return the running median of `values` (n,), edges repeated; widths are odd."""
    if len(values) < width:
        return values
    half = width // 2
    padded = np.concatenate([np.repeat(values[:1], half), values, np.repeat(values[-1:], half)])
    return np.asarray(np.sort(windows(padded, width), axis=1)[:, half])


def windows(values: Array, width: int) -> Array:
    """Return every stretch of so many `values` (n,), shape (n - width + 1, width)."""
    if len(values) > SHORT:
        return np.lib.stride_tricks.sliding_window_view(values, width)
    return np.asarray(values[_places(len(values), width)])  # a third of the cost of a view of so few


@lru_cache(maxsize=64)
def _places(n: int, width: int) -> Array:
    return np.add.outer(np.arange(n - width + 1), np.arange(width))


def noise_of(values: Array, lag: int = 1) -> float:
    """Return a robust standard deviation of `values` around a smooth trend; 0 where there are too few."""
    if len(values) < 2 * lag + 1:
        return 0.0
    bends = values[2 * lag :] - 2 * values[lag:-lag] + values[: -2 * lag]  # a straight trend cancels
    return 1.4826 * median(np.abs(bends)) / math.sqrt(6)


def curve_of(run: Run, role: str) -> Curve | None:
    """Return the curve that stands for a role, None where the role was not logged.

    Of several tags of one role the total comes before its parts, the epoch's mean before single steps,
    and the first logged before the rest; a tag with fewer than three points stands back. Of three and more
    learning rates it is that of the middle.
    """
    rows = run.scalars[(run.scalars["role"] == role) & run.scalars["live"]]
    parts = rows.groupby("tag", sort=False)
    return curve_from(role, {str(tag): {n: part[n].to_numpy() for n in AXES} for tag, part in parts})


def curve_from(role: str, tags: Mapping[str, Rows]) -> Curve | None:
    """Return the curve that stands for a role, made of the live rows of its tags in order; None without rows."""
    if len(tags) == 1:
        return _curve(role, *next(iter(tags.items())))
    if role == "learning_rate" and len(tags) > 2:
        middle = _of_the_middle(tags)
        return _curve(role, middle, tags[middle])
    sizes = {tag: _points(rows) for tag, rows in tags.items()}
    best = min(tags, key=lambda tag: (sizes[tag] < 3, _rank(tag, sizes)), default=None)
    return None if best is None else _curve(role, best, tags[best])


def _of_the_middle(tags: Mapping[str, Rows]) -> str:
    """Return the tag of the group of parameters whose peak rate is the median one.

    One group may have a rate of its own: biases that warm up from above (Ultralytics), a head that learns faster.
    """
    finite = {tag: rows["value"][np.isfinite(rows["value"])] for tag, rows in tags.items()}
    peaks = {tag: float(values.max()) for tag, values in finite.items() if len(values)}
    middle = sorted(peaks.values())[len(peaks) // 2] if peaks else None
    return next((tag for tag, peak in peaks.items() if peak == middle), next(iter(tags)))


def finest_curve(chosen: Curve, tags: Mapping[str, Rows]) -> Curve:
    """Return the curve with the most points among the live rows of one role: of single steps where they were logged.

    Only tags that stand as near to the role as the chosen one count: no part of a total, no copy.
    """
    if len(tags) == 1:
        return chosen
    near = {tag: _points(rows) for tag, rows in tags.items() if rank_of(tag)[0] <= rank_of(chosen.tag)[0]}
    finest = max(near, key=lambda tag: near[tag])
    if finest == chosen.tag or near[finest] <= len(chosen.values):
        return chosen
    return _curve(chosen.role, finest, tags[finest])


def _points(rows: Rows) -> int:
    """Return the number of distinct steps."""
    steps = rows["step"]
    return len(steps) if (np.diff(steps) > 0).all() else len(np.unique(steps))


def primary_curve(run: Run, of: Callable[[str], Curve | None] | None = None) -> Curve | None:
    """Return the series that the run's state is judged by.

    An agent's reward where there is one (the loss of an agent does not tell how well it does); else the
    training loss, the validation loss, a validation metric, a training metric. `of` gives the curve of a role
    to a caller who keeps them.
    """
    of = of or (lambda role: curve_of(run, role))
    for role in ("reward", "train_loss", "val_loss", "val_metric", "train_metric"):
        curve = of(role)
        if curve is not None and (curve.long_enough or role == "train_metric"):
            return curve
    return next((c for r in ("train_loss", "val_loss", "val_metric") if (c := of(r))), None)


def median(values: Array) -> float:
    """Return the median of `values` (n,), NaN where any is; several times as fast as numpy's for short ones."""
    n = len(values)
    if not 0 < n <= SHORT:
        return float(np.median(values))
    ranked = np.array(values)
    ranked.sort()
    if ranked[-1] != ranked[-1]:
        return math.nan
    return float(ranked[n // 2]) if n % 2 else float(ranked[n // 2 - 1] + ranked[n // 2]) / 2


def share_of(flags: Array) -> float:
    """Return the share of flags (n,) that are set."""
    return int(np.count_nonzero(flags)) / len(flags)


def first_level(bins: Array) -> float:
    """Return the level of the first 5 % of bins (m,), at least one."""
    return median(bins[: max(1, round(len(bins) * 0.05))])


def _rank(tag: str, sizes: Mapping[str, int]) -> tuple[int, int, bool]:
    extra, fine = rank_of(tag)
    return extra, fine, sizes[tag] < FEWEST_POINTS


@np.errstate(over="ignore", invalid="ignore")  # steps and values up to the largest there are
def _curve(role: str, tag: str, rows: Rows) -> Curve:
    steps, values, epochs = (rows[name] for name in AXES)
    finite = np.isfinite(values)
    tail = int(np.argmax(finite[::-1])) if finite.any() else len(finite)
    if not finite.all():
        steps, values, epochs = steps[finite], values[finite], epochs[finite]
    if len(steps) > 1 and not (np.diff(steps) > 0).all():
        kept = pd.DataFrame({"step": steps, "value": values, "epoch": epochs}).groupby("step", sort=True)
        values, epochs = kept["value"].median().to_numpy(), kept["epoch"].last().to_numpy()
        steps = np.unique(steps)
    rising = role == "reward" or (role.endswith("_metric") and higher_is_better(tag))
    sign = -1 if rising else 1
    bin_steps, bins = _binned(steps, sign * values, epochs)
    lost = (int((~finite).sum()), tail)
    return Curve(role, tag, steps, values, epochs, bin_steps, bins, sign, lost)


def _binned(steps: Array, values: Array, epochs: Array) -> tuple[Array, Array]:
    """Return the steps and levels of at most 60 bins: epochs where several values were logged in each of a few.

    The mean of an epoch stands at its end, as in a log of epochs.
    """
    which = _whole_epochs(epochs)
    if which is not None:
        ends = np.flatnonzero(np.diff(which, append=which[-1] + 1))
        if FEWEST_EPOCHS <= len(ends) <= MOST_BINS and len(values) >= 2 * len(ends):
            starts = np.r_[0, ends[:-1] + 1]
            return steps[ends], np.add.reduceat(values, starts) / (ends - starts + 1)
    if len(values) <= MOST_BINS:
        return steps, values
    edges = np.linspace(steps[0], steps[-1], MOST_BINS + 1)[1:-1]
    starts = np.unique([0, *np.searchsorted(steps, edges)])  # of the bins that have any points
    cuts = [*starts.tolist(), len(values)]
    return steps[starts], np.array([_trimmed(values[a:b]) for a, b in pairwise(cuts)])


def _whole_epochs(epochs: Array) -> Array | None:
    """Return the epoch that each point belongs to, 1 for 0.1; None where the log does not tell."""
    if not len(epochs) or not np.isfinite(epochs).all() or (np.diff(epochs) < 0).any():
        return None
    return np.ceil(epochs - 1e-6)


def _trimmed(values: Array) -> float:
    if len(values) < 5:
        return float(np.mean(values))
    ranked, outer = np.array(values), -(-(len(values) - 1) // 10)
    ranked.sort()
    return float(np.add.reduce(ranked[outer : len(ranked) - outer])) / (len(ranked) - 2 * outer)

"""Facts about the training loss of single batches: what repeats every epoch, and how noise behaves."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from plateau_doctor.facts.logged import Logged, remembered
from plateau_doctor.facts.registry import Value, fact
from plateau_doctor.series import median, share_of

FEWEST_EPOCHS, FEWEST_A_EPOCH = 4, 3
MOST_PLACES = 24


@dataclass(frozen=True, eq=False)
class Epochs:
    """The loss of single batches by epoch; all of shape (n,).

    Attributes:
        values: The loss.
        number: Index of the epoch, from 0.
        phase: Place in the epoch, 0..1.
    """

    values: np.ndarray
    number: np.ndarray
    phase: np.ndarray

    def means(self, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """Return each epoch's mean loss between two phases, shape (epochs,); NaN where it has no point there."""
        inside = (self.phase >= low) & (self.phase < high)
        size = int(self.number[-1]) + 1
        counts = np.bincount(self.number[inside], minlength=size)
        sums = np.bincount(self.number[inside], weights=self.values[inside], minlength=size)
        return np.asarray(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))


@remembered
def epochs_of(logged: Logged) -> Epochs | None:
    """Return the batch loss by epoch, None with fewer than four epochs or three points in each."""
    fine, length = logged.finest, logged.epoch_length
    if fine is None or length is None or length <= 0:
        return None
    # a batch's loss is logged at the number of batches done: the last of an epoch stands at a multiple
    at = (fine.steps - (1 if fine.steps[0] >= 1 and length >= 2 else 0)) / length
    number = np.floor(at + 1e-9).astype(int)
    if number[-1] - number[0] + 1 < FEWEST_EPOCHS or len(at) < FEWEST_A_EPOCH * (number[-1] - number[0] + 1):
        return None
    return Epochs(fine.values, number - number[0], at - number)


@fact("batches.per_epoch", "points", "batch_loss")
def per_epoch(logged: Logged, _: str) -> Value:
    """How many values of the training loss were logged in an epoch; 1 for a log of epochs."""
    fine, length = logged.finest, logged.epoch_length
    if fine is None or length is None or len(fine.steps) < 2:
        return None
    return float((len(fine.steps) - 1) / max((fine.steps[-1] - fine.steps[0]) / length, 1e-12))


@fact("train_loss.per_epoch", "points", "train_loss")
def judged_per_epoch(logged: Logged, _: str) -> Value:
    """How many points an epoch has in the curve that facts about the training loss judge.

    1 for means over epochs, logged or taken here, and for fewer: their band is the net's own wavering. Single
    batches differ by what is in them.
    """
    curve, length = logged.curve("train_loss"), logged.epoch_length
    if curve is None or length is None or len(curve.steps) < 2:
        return None
    judged, points = (
        (len(steps) - 1) * length / max(steps[-1] - steps[0], 1e-12)
        for steps in (curve.bin_steps, curve.steps)
    )
    return 1.0 if abs(judged - 1) < 0.05 else max(1.0, float(points))


@fact("batches.saw", "share of the variance", "batch_loss")
def saw(logged: Logged, _: str) -> Value:
    """How much of the batch loss's scatter repeats at the same place of every epoch; 0 for shuffled data.

    Scatter is of logarithms around the epochs' means; the share explained by the place in the epoch (at most 24) is
    adjusted for the number of places, as R squared is.
    """
    folded = _folded(logged)
    if folded is None:
        return None
    scatter, place, places = folded
    total = float(np.sum((scatter - scatter.mean()) ** 2))
    if total <= 0 or len(scatter) <= places:
        return 0.0
    means = np.bincount(place, scatter, places) / np.maximum(np.bincount(place, minlength=places), 1)
    explained = float(np.sum((means[place] - scatter.mean()) ** 2)) / total
    return max(0.0, 1 - (1 - explained) * (len(scatter) - 1) / (len(scatter) - places))


@fact("batches.saw_height", "log ratio", "batch_loss")
def saw_height(logged: Logged, _: str) -> Value:
    """Height of what repeats every epoch: highest over lowest place in the mean epoch, natural logarithm."""
    folded = _folded(logged)
    if folded is None:
        return None
    scatter, place, places = folded
    counts = np.bincount(place, minlength=places)
    means = np.bincount(place, scatter, places)[counts > 0] / counts[counts > 0]
    return float(np.ptp(means))


@fact("batches.saw_smooth", "correlation", "batch_loss")
def saw_smooth(logged: Logged, _: str) -> Value:
    """Correlation of neighboring places in the mean epoch; near 0 where batches were mixed once and for all.

    Data mixed once repeat every epoch too (Keras under a fixed seed does that), but their neighbors have
    nothing in common; those of sorted data do. None with fewer than six places.
    """
    folded = _folded(logged)
    if folded is None or folded[2] < 6:
        return None
    scatter, place, places = folded
    counts = np.bincount(place, minlength=places)
    profile = np.bincount(place, scatter, places)[counts > 0] / counts[counts > 0]
    profile = profile - profile.mean()
    total = float(profile @ profile)
    return float(profile[1:] @ profile[:-1]) / total if total > 0 and len(profile) >= 6 else None


@remembered
def _folded(logged: Logged) -> tuple[np.ndarray, np.ndarray, int] | None:
    """Return scatter around the epochs' means (n,), place in the epoch (n,), and the number of places.

    Scatter is in logarithms, which near 0 are shares of the level; of a loss that is not positive, in shares.
    """
    epochs = epochs_of(logged)
    if epochs is None:
        return None
    positive = bool(np.all(epochs.values > 0))
    values = np.log(epochs.values) if positive else epochs.values  # losses scatter by factors
    middles = Epochs(values, epochs.number, epochs.phase).means()
    known = np.isfinite(middles)
    centers = np.flatnonzero(known) + 0.5
    scatter = values - np.interp(epochs.number + epochs.phase, centers, middles[known])
    if not positive:
        scatter = scatter / max(median(np.abs(values)), 1e-12)
    kept = epochs.number >= (1 if epochs.number[-1] >= 5 else 0)  # the first epoch falls by itself
    spread = 1.4826 * median(np.abs(scatter[kept]))
    scatter = np.clip(scatter, -6 * spread, 6 * spread) if spread > 0 else scatter
    places = int(min(MOST_PLACES, max(2, kept.sum() // 8), max(2, math.ceil(len(kept) / len(middles)) * 2)))
    place = np.minimum((epochs.phase * places).astype(int), places - 1)
    return scatter[kept], place[kept], places


@fact("batches.rise_inside", "share of the level", "batch_loss")
def rise_inside(logged: Logged, _: str) -> Value:
    """Last third of an epoch above its first third, median over epochs; negative where the loss falls."""
    epochs = epochs_of(logged)
    if epochs is None:
        return None
    change = (epochs.means(2 / 3) - epochs.means(0, 1 / 3)) / np.maximum(np.abs(epochs.means()), 1e-12)
    return float(np.nanmedian(change)) if np.isfinite(change).any() else None


@fact("batches.drop_between", "share of the level", "batch_loss")
def drop_between(logged: Logged, _: str) -> Value:
    """Last third of an epoch above the first third of the next one, median over epochs.

    A drop where the epoch turns and none inside is what memorizing looks like over few epochs; with a rise
    inside it is data in a fixed order, or a mean that begins anew.
    """
    epochs = epochs_of(logged)
    if epochs is None:
        return None
    change = epochs.means(2 / 3)[:-1] - epochs.means(0, 1 / 3)[1:]
    change = change / np.maximum(np.abs(epochs.means()[:-1]), 1e-12)
    return float(np.nanmedian(change)) if np.isfinite(change).any() else None


@fact("batches.periodic", "correlation", "train_loss")
def periodic(logged: Logged, _: str) -> Value:
    """Highest autocorrelation of the loss around its trend at a lag of five points or more; needs 60 points.

    The lag must be a peak: the correlation at half of it is taken off. For logs that do not tell the epoch.
    """
    fine = logged.finest
    if fine is None or len(fine.values) < 60:
        return None
    rough = _detrended(fine.values)
    n = len(rough)
    power = np.abs(np.fft.rfft(rough, 2 * n)) ** 2
    lags = np.fft.irfft(power)[: n // 4 + 1]
    if lags[0] <= 0:
        return 0.0
    lags = lags / lags[0] * n / (n - np.arange(len(lags)))
    half = np.arange(5, len(lags)) // 2
    peaks = lags[5:] - np.maximum(0.0, np.maximum(lags[half], lags[half + 1]))
    return float(np.max(peaks)) if len(peaks) else 0.0


def _detrended(values: np.ndarray) -> np.ndarray:
    """Return `values` less their moving mean over an eighth of the run, clipped at six robust deviations.

    The ends, where no whole window fits, are left off.
    """
    width = len(values) // 8 | 1
    sums = np.cumsum(np.concatenate([[0.0], values - values.mean()]))
    trend = (sums[width:] - sums[:-width]) / width + values.mean()
    rough = values[width // 2 : len(values) - width // 2] - trend
    rough = rough - median(rough)
    spread = 1.4826 * median(np.abs(rough))
    return np.asarray(np.clip(rough, -6 * spread, 6 * spread)) if spread > 0 else rough


@fact("batches.noise", "share of the level", "batch_loss")
def noise(logged: Logged, _: str) -> Value:
    """Standard deviation of single batches around their neighbors in the last half, over the level."""
    fine, often = logged.finest, per_epoch(logged, "")
    if fine is None or not isinstance(often, float) or often < 2 or len(fine.values) < 12:
        return None
    half = fine.values[len(fine.values) // 2 :]
    level = abs(median(half))
    return 1.4826 * median(np.abs(np.diff(half))) / math.sqrt(2) / level if level > 0 else None


@fact("batches.memory", "correlation", "train_loss")
def memory(logged: Logged, _: str) -> Value:
    """Correlation of successive changes of the loss in the last half: -0.5 for raw noise around a level.

    Near 0 for a running mean or another average over many points, near 1 for a curve without noise.
    """
    fine = logged.finest
    if fine is None or len(fine.values) < 24:
        return None
    changes = np.diff(fine.values[len(fine.values) // 2 :])
    changes = changes - changes.mean()
    total = float(changes @ changes)
    return float(changes[1:] @ changes[:-1]) / total if total > 0 else None


@fact("batches.calming", "exponent", "train_loss")
def calming(logged: Logged, _: str) -> Value:
    """How fast noise fades with the number of points, as a power of it: 0 for raw values, 1 for a running mean.

    The n-th value of a mean since the start differs from the one before by 1/n of a point's noise. A mean
    that begins anew each epoch fades inside the epoch: the larger of the two exponents is given. None for
    curves without noise, and with fewer than 40 points.
    """
    fine, epochs = logged.finest, epochs_of(logged)
    if fine is None or len(fine.values) < 40:
        return None
    whole = _fading(fine.values, np.arange(1, len(fine.values) + 1))
    if epochs is None or len(epochs.values) < 10 * (epochs.number[-1] + 1):
        return whole
    starts = np.flatnonzero(np.diff(epochs.number, prepend=-1))
    place = (
        np.arange(len(epochs.number))
        - starts[np.searchsorted(starts, np.arange(len(epochs.number)), "right") - 1]
    )
    inside = _fading(epochs.values, place + 1)
    return max((v for v in (whole, inside) if v is not None), default=None)


def _fading(values: np.ndarray, place: np.ndarray) -> float | None:
    """Return minus the slope of log roughness over log place; `values` and `place` of shape (n,)."""
    bends = values[2:] - 2 * values[1:-1] + values[:-2]
    turns = share_of(bends[1:] * bends[:-1] < 0) if len(bends) > 1 else 0.0
    level = np.maximum(np.abs(values[1:-1]), 1e-12)
    inside = (place[2:] > place[1:-1]) & (place[1:-1] > place[:-2]) & (place[:-2] > 1)
    rough, at = np.abs(bends / level)[inside], place[1:-1][inside].astype(float)
    if turns < 0.4 or len(rough) < 24 or median(rough) < 1e-7 or np.ptp(np.log(at)) < 1:
        return None
    edges = np.exp(np.linspace(np.log(at.min()), np.log(at.max() + 1), 7))
    groups = [(np.log((a * b) ** 0.5), rough[(at >= a) & (at < b)]) for a, b in itertools.pairwise(edges)]
    points = [(x, math.log(m)) for x, g in groups if len(g) >= 3 and (m := median(g)) > 0]
    if len(points) < 3:
        return None
    return -float(np.polyfit([x for x, _ in points], [y for _, y in points], 1)[0])


@fact("batches.last_short", "ratio", "batch_loss")
def last_short(logged: Logged, _: str) -> Value:
    """Loss of the last batch of an epoch over the median of that epoch, median over epochs.

    Well below 1 every time where the loss is a sum over the batch and the last batch is short.
    """
    epochs = epochs_of(logged)
    if epochs is None or len(epochs.values) < 5 * (epochs.number[-1] + 1):
        return None
    ends = np.flatnonzero(np.diff(epochs.number, append=epochs.number[-1] + 1))[:-1]
    middles = [median(epochs.values[epochs.number == epochs.number[end]]) for end in ends]
    ratios = [epochs.values[end] / middle for end, middle in zip(ends, middles, strict=True) if middle > 0]
    return median(np.array(ratios)) if ratios else None

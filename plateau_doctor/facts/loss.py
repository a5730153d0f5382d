"""Facts about the shape of a loss curve."""

from __future__ import annotations

import math

import numpy as np

from plateau_doctor.facts.logged import Logged, remembered
from plateau_doctor.facts.registry import Value, fact
from plateau_doctor.plateau import CONVERGED_DROP, State, state_of
from plateau_doctor.roles import words_of
from plateau_doctor.series import Curve, median, noise_of, share_of, smooth

LOSSES = ("train_loss", "val_loss")
OF_REGIONS = frozenset({"iou", "miou", "jaccard", "dice", "ap", "map", "map50", "bbox", "segm"})


def first_level(curve: Curve) -> float:
    """Return the level of the first 5 % of a curve, at least one bin."""
    return curve.first_level


def last_level(curve: Curve) -> float:
    """Return the level of the last eighth of a curve, at least two bins."""
    return curve.last_level


def late(curve: Curve) -> np.ndarray:
    """Return the bins of the last half of a curve."""
    return curve.bins[len(curve.bins) // 2 :]


@fact("state.name", "text", "train_loss")
def state_name(logged: Logged, _: str) -> Value:
    """State of the run by its primary series: improving, plateaued, converged, diverged, too_short ..."""
    return _state(logged)


@remembered
def _state(logged: Logged) -> State:
    lost = nonfinite(logged, "train_loss")
    if isinstance(lost, float) and lost >= 0.5:
        return "diverged"
    curve = logged.primary
    plateaus = logged.plateaus(curve.role) if curve is not None else ()
    rate = logged.curve("learning_rate")
    left = float(rate.values[-1] / rate.values.max()) if rate is not None and rate.values.max() > 0 else None
    state = state_of(curve, plateaus, left, guess_of(logged))
    lost_share = drop(logged, "train_loss")
    if state == "converged" and isinstance(lost_share, float) and lost_share < CONVERGED_DROP / 2:
        return "plateaued"  # it only came down from a blow-up
    return state


@fact("level", "loss", "{series}", *LOSSES)
def level(logged: Logged, series: str) -> Value:
    """Median of the last eighth of the run."""
    curve = logged.curve(series)
    return None if curve is None else last_level(curve)


@fact("first", "loss", "{series}", *LOSSES)
def first(logged: Logged, series: str) -> Value:
    """Median of the first 5 % of the run."""
    curve = logged.curve(series)
    return None if curve is None else first_level(curve)


@fact("drop", "share of the first level", "{series}", *LOSSES)
def drop(logged: Logged, series: str) -> Value:
    """How much of its first level the loss has lost by the end; negative where it ended higher.

    Where the number of classes is known, a first level above the loss of guessing, ln C, counts as that; where
    accuracy is low and never moved, nothing was learned, and the first bin counts as a blow-up.
    """
    curve, guess = logged.curve(series), guess_of(logged)
    if curve is None or first_level(curve) == 0:
        return None
    start = first_level(curve) if guess is None else min(first_level(curve), 1.05 * guess)
    if _unlearned(logged) and len(curve.bins) > 2:
        start = min(start, float(curve.bins[1]))
    return (start - last_level(curve)) / abs(start)


def _unlearned(logged: Logged) -> bool:
    """Whether a rising metric was logged that stayed below a half and within 8 points all along."""
    curve = logged.curve("train_metric") or logged.curve("val_metric")
    if curve is None or curve.sign > 0:
        return False
    values = -curve.bins / (100 if np.max(-curve.bins) > 1.5 else 1)
    return bool(np.max(values) < 0.5 and np.ptp(values) < 0.08)


@fact("zigzag", "share of points", "{series}", *LOSSES)
def zigzag(logged: Logged, series: str) -> Value:
    """Share of bins in the last half at which the curve turns around; 2/3 is pure noise, 0 a smooth fall."""
    curve = logged.curve(series)
    if curve is None or len(late(curve)) < 5:
        return None
    steps = np.sign(np.diff(late(curve)))
    return share_of(steps[1:] * steps[:-1] < 0)


@fact("swing", "share of the level", "{series}", *LOSSES)
def swing(logged: Logged, series: str) -> Value:
    """Width of the band in the last half: standard deviation of a bin around its neighbors over the level."""
    curve = logged.curve(series)
    if curve is None or len(curve.bins) < 6 or last_level(curve) == 0:
        return None
    rough = median(np.abs(np.diff(late(curve)))) * 1.4826 / math.sqrt(2)
    return rough / abs(last_level(curve))


@fact("band", "share of the first level", "{series}", *LOSSES)
def band(logged: Logged, series: str) -> Value:
    """Width of the band in the last half, as `swing`, but over the first level: small near a loss of 0."""
    relative, curve = swing(logged, series), logged.curve(series)
    if not isinstance(relative, float) or curve is None or first_level(curve) == 0:
        return None
    return relative * abs(last_level(curve) / first_level(curve))


@fact("jump", "share of the first level", "{series}", *LOSSES)
def jump(logged: Logged, series: str) -> Value:
    """Largest rise above the lowest level before it, after smoothing over three bins."""
    curve = logged.curve(series)
    if curve is None or len(curve.bins) < 4 or first_level(curve) == 0:
        return None
    bins = curve.calm
    return float(np.max(bins - np.minimum.accumulate(bins))) / abs(first_level(curve))


@fact("peak", "times the first value", "{series}", *LOSSES)
def peak(logged: Logged, series: str) -> Value:
    """Highest single value over the very first one."""
    curve = logged.curve(series)
    if curve is None or curve.values[0] == 0:
        return None
    return float(np.max(curve.values) / abs(curve.values[0]))


@fact("spikes", "share of bins", "{series}", *LOSSES)
def spikes(logged: Logged, series: str) -> Value:
    """Share of bins that stand more than six noise widths and a tenth of the level above their neighbors."""
    curve = logged.curve(series)
    if curve is None or len(curve.bins) < 8:
        return None
    calm = smooth(curve.bins, 5)
    return share_of(curve.bins - calm > np.maximum(6 * curve.noise, 0.1 * np.abs(calm)))


@fact("flat", "share of the run", "{series}", *LOSSES)
def flat(logged: Logged, series: str) -> Value:
    """Length of the plateau that the run ends in; 0 where it ends in none."""
    curve, plateaus = logged.curve(series), logged.plateaus(series)
    if curve is None:
        return None
    if not plateaus or plateaus[-1].end_step < curve.bin_steps[-1]:
        return 0.0
    return float((curve.steps[-1] - plateaus[-1].start_step) / max(curve.steps[-1] - curve.steps[0], 1e-12))


@fact("steadiness", "ratio", "{series}", *LOSSES)
def steadiness(logged: Logged, series: str) -> Value:
    """Gain of the second half over the gain of the first; near 1 for a loss that falls in a straight line."""
    curve = logged.curve(series)
    if curve is None or len(curve.bins) < 6:
        return None
    n = len(curve.bins)
    middle = median(curve.bins[n // 2 - max(1, n // 16) : n // 2 + max(1, n // 16)])
    early, later = first_level(curve) - middle, middle - last_level(curve)
    return later / early if early > 4 * curve.noise / math.sqrt(max(1, n // 8)) and early > 0 else None


@fact("end_gain", "share of the first level", "{series}", *LOSSES)
def end_gain(logged: Logged, series: str) -> Value:
    """How much the loss still fell from the third to the fourth quarter of the run."""
    curve = logged.curve(series)
    if curve is None or len(curve.bins) < 8 or first_level(curve) == 0:
        return None
    n = len(curve.bins)
    gain = median(curve.bins[n // 2 : 3 * n // 4]) - median(curve.bins[3 * n // 4 :])
    return gain / abs(first_level(curve))


@fact("trend", "noise widths", "{series}", *LOSSES)
def trend(logged: Logged, series: str) -> Value:
    """How much the loss still fell from the third to the fourth quarter, in widths of its band there.

    Below 1 in size where the mean is lost in the band, whichever way it goes.
    """
    curve = logged.curve(series)
    if curve is None or len(curve.bins) < 12:
        return None
    n = len(curve.bins)
    gain = median(curve.bins[n // 2 : 3 * n // 4]) - median(curve.bins[3 * n // 4 :])
    return gain / max(noise_of(late(curve)), 1e-4 * abs(last_level(curve)), 1e-12)


@fact("nonfinite", "share of points", "{series}", *LOSSES)
def nonfinite(logged: Logged, series: str) -> Value:
    """Share of logged points that were NaN or Inf."""
    curve = logged.curve(series)
    if curve is None:
        values = logged.column("value", logged.tags_of(series))
        return share_of(~np.isfinite(values)) if len(values) else None
    return curve.lost[0] / max(1, curve.lost[0] + len(curve.values))


@fact("chance", "ratio", "{series}", *LOSSES)
def chance(logged: Logged, series: str) -> Value:
    """Final level over the loss of guessing all classes alike, ln C; needs the number of classes."""
    curve, guess = logged.curve(series), guess_of(logged)
    return None if curve is None or guess is None else last_level(curve) / guess


@remembered
def guess_of(logged: Logged) -> float | None:
    """Return the loss of guessing all classes alike, ln C, where the task is known to be a classification.

    None where an overlap of regions or an average precision was logged: the loss of pixels and boxes begins far
    below ln C, for most of them are background, and is often no cross-entropy (Dice).
    """
    classes = classes_of(logged)
    metrics = (tag for role in ("val_metric", "train_metric", "class_metric") for tag in logged.tags_of(role))
    if classes is None or classes < 2 or any(OF_REGIONS.intersection(words_of(tag)) for tag in metrics):
        return None
    return math.log(classes)


def classes_of(logged: Logged) -> float | None:
    """Return the number of classes: logged as a setting, or counted from per-class metrics."""
    logged_count = logged.setting("classes", "num_classes", "n_classes", "num_labels")
    if logged_count is not None:
        return logged_count
    names = set(logged.tags_of("class_metric"))
    groups = {name.rpartition("/")[0] for name in names}
    return float(len(names) // len(groups)) if len(names) >= 2 else None

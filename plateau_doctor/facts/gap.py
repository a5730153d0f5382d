"""Facts about the distance between training and validation."""

from __future__ import annotations

import numpy as np

from plateau_doctor.facts.logged import Logged, remembered
from plateau_doctor.facts.loss import first_level, last_level
from plateau_doctor.facts.registry import Value, fact
from plateau_doctor.roles import same_metric
from plateau_doctor.series import MOST_BINS, Curve, median, smooth

METRICS = ("train_metric", "val_metric")


@remembered
def pair(logged: Logged) -> tuple[np.ndarray, np.ndarray] | None:
    """Return smoothed training and validation loss at 60 even places of the validation's steps, both of shape (60,)."""
    train, val = logged.curve("train_loss"), logged.curve("val_loss")
    if train is None or val is None or len(val.bins) < 4:
        return None
    at = np.interp(val.bin_steps, train.bin_steps, train.calm)
    return val.evenly(at), val.evenly(val.calm)


def shares(curve: Curve) -> np.ndarray:
    """Return a metric's bins, larger is better, on 0..1 where it was logged in percent."""
    values = -curve.bins if curve.sign < 0 else curve.bins
    return values / 100 if np.max(np.abs(values)) > 1.5 else values


def same_metrics(logged: Logged) -> bool:
    """Return whether training and validation logged the same metric; True where one of them logged none."""
    train, val = logged.curve("train_metric"), logged.curve("val_metric")
    return train is None or val is None or same_metric(train.tag, val.tag)


@fact("val_loss.rise", "share of its lowest level", "val_loss")
def rise(logged: Logged, _: str) -> Value:
    """How far validation loss ends above its smoothed minimum."""
    both = pair(logged)
    if both is None:
        return None
    val = both[1]
    end = median(val[-max(2, len(val) // 8) :])
    return (end - float(val.min())) / max(abs(float(val.min())), 1e-12)


@fact("val_loss.rise_noise", "noise widths", "val_loss")
def rise_noise(logged: Logged, _: str) -> Value:
    """How far validation loss ends above its smoothed minimum, in standard deviations of one point."""
    both, curve = pair(logged), logged.curve("val_loss")
    if both is None or curve is None:
        return None
    val = both[1]
    end = median(val[-max(2, len(val) // 8) :])
    return (end - float(val.min())) / max(curve.noise, 1e-6 * abs(float(val.min())), 1e-12)


@fact("val_loss.rise_of_drop", "share of its drop", "val_loss")
def rise_of_drop(logged: Logged, _: str) -> Value:
    """How much of what validation loss had gained by its minimum it has lost again by the end."""
    both = pair(logged)
    if both is None:
        return None
    val = both[1]
    end, best = median(val[-max(2, len(val) // 8) :]), float(val.min())
    return (end - best) / max(float(val[0]) - best, 0.05 * abs(best), 1e-12)


@fact("val_loss.best_at", "share of the run", "val_loss")
def best_at(logged: Logged, _: str) -> Value:
    """Where in the run validation loss had its smoothed minimum."""
    both = pair(logged)
    return None if both is None else float(np.argmin(both[1]) / max(1, len(both[1]) - 1))


@fact("val_loss.floor", "share of its first level", "val_loss")
def floor(logged: Logged, _: str) -> Value:
    """Smoothed minimum of validation loss over its first value."""
    both = pair(logged)
    return None if both is None or both[1][0] == 0 else float(both[1].min() / abs(both[1][0]))


@fact("gap.ratio", "ratio", "val_loss")
def ratio(logged: Logged, _: str) -> Value:
    """Validation loss over training loss at the end of the run."""
    train, val = logged.curve("train_loss"), logged.curve("val_loss")
    if train is None or val is None or last_level(train) <= 0:
        return None
    return last_level(val) / last_level(train)


@fact("gap.early", "ratio", "val_loss")
def early(logged: Logged, _: str) -> Value:
    """Validation loss over training loss in the first fifth of the run."""
    both = pair(logged)
    if both is None:
        return None
    train, val = (median(one[: len(one) // 5]) for one in both)
    return val / train if train > 0 else None


@fact("gap.opened", "share of the first training level", "val_loss")
def opened(logged: Logged, _: str) -> Value:
    """Growth of the gap between validation and training loss since validation was at its best."""
    both, train = pair(logged), logged.curve("train_loss")
    if both is None or train is None or first_level(train) == 0:
        return None
    gap = both[1] - both[0]
    n = max(2, len(gap) // 8)
    return float(median(gap[-n:]) - gap[int(np.argmin(both[1]))]) / abs(first_level(train))


@fact("gap.grew", "share of the first training level", "val_loss")
def grew(logged: Logged, _: str) -> Value:
    """Growth of the gap between validation and training loss since validation came near its best."""
    both, train, start = pair(logged), logged.curve("train_loss"), settled_at(logged, "")
    if both is None or train is None or not isinstance(start, float) or first_level(train) == 0:
        return None
    gap = both[1] - both[0]
    n = max(2, len(gap) // 8)
    return float(median(gap[-n:]) - gap[round(start * (len(gap) - 1))]) / abs(first_level(train))


@fact("gap.width", "share of the first training level", "val_loss")
def width(logged: Logged, _: str) -> Value:
    """Validation loss minus training loss at the end."""
    train, val = logged.curve("train_loss"), logged.curve("val_loss")
    if train is None or val is None or first_level(train) == 0:
        return None
    return (last_level(val) - last_level(train)) / abs(first_level(train))


@fact("gap.train_gain", "share of its level", "val_loss")
def train_gain(logged: Logged, _: str) -> Value:
    """How much training loss still fell after validation loss had come within 3 % of its best."""
    both = pair(logged)
    if both is None:
        return None
    train, val = both
    near = val <= val.min() + 0.03 * max(float(val[0] - val.min()), 0.0)
    start = int(np.argmax(near))
    end = median(train[-max(2, len(train) // 8) :])
    return (float(train[start]) - end) / max(abs(float(train[start])), 1e-12)


@fact("val_loss.settled_at", "share of the run", "val_loss")
def settled_at(logged: Logged, _: str) -> Value:
    """Where validation loss first came within 3 % of its best (of the distance it fell)."""
    both = pair(logged)
    if both is None:
        return None
    val = both[1]
    near = val <= val.min() + 0.03 * max(float(val[0] - val.min()), 0.0)
    return float(np.argmax(near) / max(1, len(val) - 1))


@fact("level", "share", "{series}", *METRICS)
def metric_level(logged: Logged, series: str) -> Value:
    """Median of the metric in the last eighth of the run, on 0..1; None for an error measure."""
    curve = logged.curve(series)
    if curve is None or curve.sign > 0:
        return None
    values = shares(curve)
    return median(values[-max(2, len(values) // 8) :])


@fact("best", "share", "{series}", *METRICS)
def metric_best(logged: Logged, series: str) -> Value:
    """Highest smoothed value of the metric, on 0..1; None for an error measure."""
    curve = logged.curve(series)
    return None if curve is None or curve.sign > 0 else float(np.max(smooth(shares(curve))))


@fact("fall", "points", "{series}", *METRICS)
def metric_fall(logged: Logged, series: str) -> Value:
    """How far the metric ends below its smoothed best, on 0..1."""
    top, end = metric_best(logged, series), metric_level(logged, series)
    return None if top is None or end is None else max(0.0, float(top) - float(end))


@fact("best_at", "share of the run", "{series}", *METRICS)
def metric_best_at(logged: Logged, series: str) -> Value:
    """Where in the run the smoothed metric was last within a hundredth of its range from its best."""
    curve = logged.curve(series)
    if curve is None or curve.sign > 0 or len(curve.bins) < 4:
        return None
    values = curve.evenly(smooth(shares(curve)))
    near = values >= values.max() - 0.01 * float(np.ptp(values))
    return float(np.flatnonzero(near)[-1] / (len(values) - 1))


@fact("settled_at", "share of the run", "{series}", *METRICS)
def metric_settled_at(logged: Logged, series: str) -> Value:
    """Where the smoothed metric first came within a tenth of its range from its best."""
    curve = logged.curve(series)
    if curve is None or curve.sign > 0 or len(curve.bins) < 4:
        return None
    values = curve.evenly(smooth(shares(curve)))
    return float(np.argmax(values >= values.max() - 0.1 * float(np.ptp(values))) / (len(values) - 1))


@fact("moved", "points", "{series}", *METRICS)
def metric_moved(logged: Logged, series: str) -> Value:
    """Range of the metric over the whole run, first point and all, on 0..1; None for an error measure."""
    curve = logged.curve(series)
    return None if curve is None or curve.sign > 0 else float(np.ptp(shares(curve)))


@fact("spread", "points", "{series}", *METRICS)
def metric_spread(logged: Logged, series: str) -> Value:
    """Range of the metric over the last three quarters of the run, on 0..1."""
    curve = logged.curve(series)
    if curve is None or curve.sign > 0:
        return None
    values = shares(curve)[len(curve.bins) // 4 :]
    return float(np.max(values) - np.min(values))


@fact("gap.metric", "points", "val_metric")
def metric_gap(logged: Logged, _: str) -> Value:
    """Training metric minus validation metric at the end, on 0..1; None where they are not the same metric."""
    train, val = metric_level(logged, "train_metric"), metric_level(logged, "val_metric")
    if train is None or val is None or not same_metrics(logged):
        return None
    return float(train) - float(val)


@fact("gap.lead", "points", "val_metric")
def lead(logged: Logged, _: str) -> Value:
    """Validation metric minus training metric at the end, on 0..1: above 0 where held-out data fit better."""
    gap = metric_gap(logged, "")
    return -gap if isinstance(gap, float) else None


@fact("gap.lead_early", "points", "val_metric")
def lead_early(logged: Logged, _: str) -> Value:
    """Validation metric minus training metric in the first quarter of the run, on 0..1.

    None where they are not the same metric.
    """
    train, val = logged.curve("train_metric"), logged.curve("val_metric")
    if train is None or val is None or train.sign > 0 or val.sign > 0 or not same_metrics(logged):
        return None
    begin = [curve.evenly(shares(curve))[: MOST_BINS // 4] for curve in (val, train)]
    return median(begin[0]) - median(begin[1])

"""Facts about validation that does not go with training at all: other data, another mode, another measure."""

from __future__ import annotations

import numpy as np

from plateau_doctor.facts.gap import METRICS, pair, shares
from plateau_doctor.facts.logged import Logged, remembered
from plateau_doctor.facts.loss import drop, first_level
from plateau_doctor.facts.registry import Value, fact
from plateau_doctor.roles import TEST, TRAIN, VALIDATION, words_of
from plateau_doctor.series import median, noise_of, share_of


@remembered
def ratios(logged: Logged) -> np.ndarray | None:
    """Return validation loss over the training loss around it at each evaluation, shape (m,); both above 0."""
    train, val = logged.curve("train_loss"), logged.curve("val_loss")
    if train is None or val is None:
        return None
    at = np.interp(val.bin_steps, train.bin_steps, train.bins)
    kept = (at > 0) & (val.bins > 0)
    return np.asarray(val.bins[kept] / at[kept]) if kept.sum() >= 3 else None


@fact("gap.first", "ratio", "val_loss")
def first(logged: Logged, _: str) -> Value:
    """Validation loss over training loss at the first evaluation; a net that starts has nothing to overfit with."""
    found = ratios(logged)
    return None if found is None else float(found[0])


@fact("gap.always", "ratio", "val_loss")
def always(logged: Logged, _: str) -> Value:
    """Ratio of validation to training loss that nine of ten evaluations exceed."""
    found = ratios(logged)
    return None if found is None else float(np.quantile(found, 0.1))


@fact("gap.peak", "ratio", "val_loss")
def peak(logged: Logged, _: str) -> Value:
    """Highest ratio of validation to training loss at any evaluation."""
    found = ratios(logged)
    return None if found is None else float(np.max(found))


@fact("gap.leaps", "log ratio", "val_loss")
def leaps(logged: Logged, _: str) -> Value:
    """How far the ratio of validation to training loss leaps between evaluations: 90 % quantile, natural log.

    Batch statistics that do not fit make it leap by factors while training is calm.
    """
    found = ratios(logged)
    return (
        None if found is None or len(found) < 5 else float(np.quantile(np.abs(np.diff(np.log(found))), 0.9))
    )


@fact("gap.noise", "ratio", "val_loss")
def noise(logged: Logged, _: str) -> Value:
    """Noise of the validation loss over that of the training loss, each over its own level, in at most 60 bins."""
    train, val = logged.curve("train_loss"), logged.curve("val_loss")
    if train is None or val is None or len(val.bins) < 6 or len(train.bins) < 6:
        return None
    levels = [abs(median(curve.bins)) for curve in (train, val)]
    if min(levels) <= 0:
        return None
    calm, rough = noise_of(train.bins) / levels[0], noise_of(val.bins) / levels[1]
    return rough / max(calm, 1e-4)


@fact("gap.shared", "ratio", "val_loss")
def shared(logged: Logged, _: str) -> Value:
    """Share of its first value that validation lost at its best, over the share that training lost in all.

    Near 0 where training falls and validation never does; None where training did not fall by a fifth.
    """
    both, lost = pair(logged), drop(logged, "train_loss")
    train, val = logged.curve("train_loss"), logged.curve("val_loss")
    if both is None or train is None or val is None or not isinstance(lost, float) or lost < 0.2:
        return None
    start = max(float(val.bins[0]), first_level(train))
    return (start - float(both[1].min())) / abs(start) / lost if start else None


@fact("gap.same", "share of points", "val_loss")
def same(logged: Logged, _: str) -> Value:
    """Share of evaluations whose loss equals the training loss of the same step to the last digit."""
    train, val = logged.curve("train_loss"), logged.curve("val_loss")
    if train is None or val is None:
        return None
    at = np.minimum(np.searchsorted(train.steps, val.steps), len(train.steps) - 1)
    both = train.steps[at] == val.steps
    return share_of(train.values[at][both] == val.values[both]) if both.sum() >= 3 else None


@fact("gap.metric_always", "points", "val_metric")
def metric_always(logged: Logged, _: str) -> Value:
    """Training metric less validation metric that nine of ten evaluations exceed, on 0..1.

    None where the two are not the same metric.
    """
    train, val = logged.curve("train_metric"), logged.curve("val_metric")
    if train is None or val is None or train.sign > 0 or val.sign > 0 or len(val.bins) < 4:
        return None
    if _measure(train.tag) != _measure(val.tag):
        return None
    gaps = np.interp(val.bin_steps, train.bin_steps, shares(train)) - shares(val)
    return float(np.quantile(gaps, 0.1))


def _measure(tag: str) -> set[str]:
    return set(words_of(tag)) - TRAIN - VALIDATION - TEST - {"epoch", "step"}


@fact("jitter", "points", "{series}", *METRICS)
def jitter(logged: Logged, series: str) -> Value:
    """Standard deviation of the metric around its neighbors in the last half, on 0..1."""
    curve = logged.curve(series)
    if curve is None or curve.sign > 0 or len(curve.bins) < 8:
        return None
    return noise_of(shares(curve)[len(curve.bins) // 2 :])

"""On which scale arms can be compared: the held-out loss, or a metric where a change touches the loss itself.

Label smoothing, class weights and penalties change what a logged val_loss measures; a metric does not move with them.
Class weights trade common classes for rare ones: they are judged by macro recall.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plateau_doctor.fix import Change
from plateau_doctor.roles import RISING_METRIC, higher_is_better, words_of
from plateau_doctor.series import curve_of
from plateau_doctor.trials.trial import Trial, knobs_of
from plateau_doctor.verdict import LOSS, POINTS, Measure, Pair

__all__ = ["MACRO", "Scores", "comparable"]

MACRO = "macro_recall"
OF_LOSS = frozenset({"label_smoothing", "class_weights", "weight_decay", "weight_decay_scale"})
FIRST = ("accuracy", "acc")  # metrics that are asked before others


@dataclass(frozen=True)
class Scores:
    """Scores of control and treated arms, seed by seed, on one scale."""

    pairs: tuple[Pair, ...]
    measure: Measure
    name: str


def comparable(change: Change, control: Sequence[Trial], treated: Sequence[Trial]) -> Scores | str:
    """Return the scores of arms of the same seeds on a scale that the change does not touch, or why there is none.

    An arm that went to NaN is worth an untrained net.
    """
    arms = [*control, *treated]
    touched = bool(OF_LOSS & set(knobs_of(change))) and not all(one.original for one in arms)
    if "class_weights" in knobs_of(change):
        scores = _by_metric(control, treated, _macro(arms))
        return scores or "class weights are judged by macro recall on held-out data, and none was logged"
    metric = _by_metric(control, treated, _metric(arms))
    if touched and metric is not None:
        return metric
    losses = [one.loss for one in arms]
    if all(loss is not None and not loss <= 0 for loss in losses):
        return _by_loss(control, treated)
    if metric is not None:
        return metric
    if any(loss is not None for loss in losses):
        return "the held-out loss is not above 0, and no metric on 0..1 was logged beside it"
    return "no held-out score: the arms have neither a validation loss nor a validation metric"


def _by_loss(control: Sequence[Trial], treated: Sequence[Trial]) -> Scores | str:
    lost = _untrained((*control, *treated))
    if lost is None:
        return "every arm went to NaN"

    def of(one: Trial) -> float:
        return one.loss if one.loss is not None and math.isfinite(one.loss) else lost

    return Scores(
        tuple(Pair(of(a), of(b)) for a, b in zip(control, treated, strict=True)), LOSS, "held-out loss"
    )


def _untrained(arms: Sequence[Trial]) -> float | None:
    """Return the loss of a net that has not learned: the worst that an arm ended with, or the usual first loss.

    Not the highest that was logged: a loss on its way to NaN has no bounds, and one such arm would drown the others.
    """
    ends = [one.loss for one in arms if one.loss is not None and math.isfinite(one.loss)]
    curves = [curve_of(one.run, "val_loss") for one in arms if one.run is not None]
    first = [float(curve.values[0]) for curve in curves if curve is not None and len(curve.values)]
    levels = [*ends, *([statistics.median(first)] if first else [])]
    return max(levels, default=None)


def _macro(arms: Sequence[Trial]) -> Mapping[str, float] | None:
    """Return which tag is macro recall in these arms, as tag -> factor to points."""
    for tag in arms[0].metrics:
        words = set(words_of(tag))
        if {"macro", "recall"} <= words or {"balanced", "accuracy"} <= words or {"balanced", "acc"} <= words:
            return _scale(arms, tag)
    return None


def _metric(arms: Sequence[Trial]) -> Mapping[str, float] | None:
    """Return the metric that arms are compared by, as tag -> factor to points; accuracy before others."""
    shared = [tag for tag in arms[0].metrics if all(tag in one.metrics for one in arms)]
    rising = [tag for tag in shared if set(words_of(tag)) & RISING_METRIC and higher_is_better(tag)]
    ranked = sorted(rising, key=lambda tag: (not set(words_of(tag)) & set(FIRST), shared.index(tag)))
    return next((scale for tag in ranked if (scale := _scale(arms, tag)) is not None), None)


def _scale(arms: Sequence[Trial], tag: str) -> dict[str, float] | None:
    values = [one.metrics.get(tag, math.nan) for one in arms]
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < len(values) or min(finite) < 0 or max(finite) > 100:
        return None
    return {tag: 100.0 if max(finite) <= 1 else 1.0}


def _by_metric(
    control: Sequence[Trial], treated: Sequence[Trial], scale: Mapping[str, float] | None
) -> Scores | None:
    if not scale:
        return None
    ((tag, factor),) = scale.items()
    pairs = [
        Pair(factor * a.metrics[tag], factor * b.metrics[tag]) for a, b in zip(control, treated, strict=True)
    ]
    return Scores(tuple(pairs), POINTS, tag)

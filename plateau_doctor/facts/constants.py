"""Facts about losses that stand at telling numbers, or that their accuracy contradicts."""

from __future__ import annotations

import math

import numpy as np

from plateau_doctor.facts.gap import METRICS, shares
from plateau_doctor.facts.logged import Logged
from plateau_doctor.facts.loss import LOSSES, classes_of, guess_of, last_level
from plateau_doctor.facts.registry import Value, fact
from plateau_doctor.roles import words_of
from plateau_doctor.series import Curve, median, share_of

CLIPS = {
    "-ln of the smallest float32 (Caffe)": 87.3365,
    "-ln 1e-7 (Keras)": -math.log(1e-7),
    "-ln 2^-23 (TensorFlow)": 23 * math.log(2),
    "-ln 1e-8": -math.log(1e-8),
    "-ln 1e-12": -math.log(1e-12),
    "-ln 1e-15": -math.log(1e-15),
    "the bound of PyTorch's BCELoss": 100.0,
}


def accuracy_of(logged: Logged, series: str) -> tuple[Curve, np.ndarray] | None:
    """Return the accuracy that goes with a loss, as shares (n,); None where the metric is not an accuracy."""
    curve = logged.curve("train_metric" if series == "train_loss" else "val_metric")
    if curve is None or curve.sign > 0:
        return None
    words = set(words_of(curve.tag))
    named = words & {"acc", "accuracy", "top1"} or curve.tag in ("train_metric", "val_metric")
    return (curve, shares(curve)) if named and "balanced" not in words else None


@fact("lift", "share", "{series}", *METRICS)
def lift(logged: Logged, series: str) -> Value:
    """Best of the accuracy above chance, 1 / classes: 0 for guessing, 1 for all right; needs the classes.

    None for a metric that is no accuracy.
    """
    accuracy, classes = accuracy_of(logged, series.replace("metric", "loss")), classes_of(logged)
    if accuracy is None or classes is None or classes < 2:
        return None
    return (float(np.quantile(accuracy[1], 0.9)) - 1 / classes) / (1 - 1 / classes)


@fact("per_error", "loss", "{series}", *LOSSES)
def per_error(logged: Logged, series: str) -> Value:
    """Loss over the share of wrong answers at the end; no cross-entropy is below ln 2 = 0.69.

    A wrong answer has a probability of a half at most. A clipped softmax that is sure of everything stands at
    16.1 (-ln 1e-7). None above 98 % accuracy.
    """
    curve, accuracy = logged.curve(series), accuracy_of(logged, series)
    if curve is None or accuracy is None:
        return None
    wrong = 1 - median(accuracy[1][-max(2, len(accuracy[1]) // 8) :])
    return last_level(curve) / wrong if wrong > 0.02 else None


@fact("from_clip", "relative distance", "{series}", *LOSSES)
def from_clip(logged: Logged, series: str) -> Value:
    """How far the loss for each wrong answer, or the loss itself, ends from a constant that libraries clip at.

    87.3365, 16.118, 15.942, 18.42, 27.63, 34.54 and 100: -ln of the smallest probability that a loss admits.
    """
    curve, each = logged.curve(series), per_error(logged, series)
    if curve is None:
        return None
    levels = [last_level(curve), *([each] if isinstance(each, float) else [])]
    return min(abs(level / clip - 1) for level in levels for clip in CLIPS.values())


@fact("from_guess", "relative distance", "{series}", *LOSSES)
def from_guess(logged: Logged, series: str) -> Value:
    """How far the loss ends from guessing: ln C, or ln 2 = 0.693 where the classes were not logged."""
    curve, guess = logged.curve(series), guess_of(logged)
    return None if curve is None else abs(last_level(curve) / (guess or math.log(2)) - 1)


@fact("from_squashed", "relative distance", "{series}", *LOSSES)
def from_squashed(logged: Logged, series: str) -> Value:
    """How far the loss ends from that of a softmax taken twice, given its accuracy and the classes.

    Probabilities taken for logits give ln(e + C - 1) - 1 for a right answer (1.4612 for ten classes), and 1
    more for a wrong one.
    """
    curve, accuracy, classes = logged.curve(series), accuracy_of(logged, series), classes_of(logged)
    if curve is None or accuracy is None or classes is None or classes < 2:
        return None
    wrong = 1 - median(accuracy[1][-max(2, len(accuracy[1]) // 8) :])
    return abs(last_level(curve) / (math.log(math.e + classes - 1) - 1 + wrong) - 1)


@fact("negative", "share of points", "{series}", *LOSSES)
def negative(logged: Logged, series: str) -> Value:
    """Share of points below 0, which no cross-entropy or squared error can be."""
    curve = logged.curve(series)
    return None if curve is None else share_of(curve.values < 0)


@fact("net.loss", "text", "loss_name")
def loss_name(logged: Logged, _: str) -> Value:
    """Kind of the loss by its logged name: `categorical`, `binary`, `squared` or `other`."""
    name = logged.text("loss", "loss_function", "criterion", "loss_fn")
    if name is None:
        return None
    if "binary" in name or "bce" in name:
        return "binary"
    if "squared" in name or "mse" in name:
        return "squared"
    return "categorical" if "cross" in name or "nll" in name else "other"

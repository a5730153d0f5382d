"""What each fact says of a run, in words with its value; for the evidence that no rule puts into words."""

from __future__ import annotations

import re
from collections.abc import Mapping

from plateau_doctor.facts.registry import Value

__all__ = ["phrase"]

# `{}` is the value, `{%}` the value as a percentage, `{curve}` the series; a second phrase is for values below 0,
# which it shows without their sign.
_LOSS: Mapping[str, tuple[str, ...]] = {
    "band": ("{curve} moves in a band {%} of its first level wide",),
    "best_at": ("{curve} had its minimum {%} into the run",),
    "chance": ("{curve} ends at {} times the loss of guessing",),
    "crowded": ("{%} of the steps have several different values of {curve}",),
    "drop": ("{curve} fell by {%} of its first level", "{curve} ended {%} above its first level"),
    "end_gain": (
        "{curve} fell by {%} of its first level from the third quarter of the run to the last",
        "{curve} rose by {%} of its first level from the third quarter of the run to the last",
    ),
    "first": ("{curve} began at {}",),
    "flat": ("{curve} is flat for the last {%} of the run",),
    "floor": ("the lowest {curve} is {%} of its first value",),
    "from_clip": ("{curve} ends {%} off a constant that libraries clip at",),
    "from_guess": (
        "{curve} ends {%} off the loss of guessing (of two classes, where their number was not logged)",
    ),
    "from_squashed": ("{curve} ends {%} off what a softmax taken twice would give",),
    "grain": ("the last digit of {curve} is {%} of its late range",),
    "jump": ("{curve} jumped up by {%} of its first level",),
    "kink": ("the sharpest bend of {curve}, from a steady fall to flat, is {} of 1",),
    "kink_at": ("the sharpest bend of {curve} is {%} into the run",),
    "level": ("{curve} ends at {}",),
    "negative": ("{%} of the points of {curve} are below 0",),
    "nonfinite": ("{%} of the points of {curve} are NaN or Inf",),
    "peak": ("{curve} peaked at {} times its first value",),
    "per_epoch": ("points of {curve} in an epoch: {}",),
    "per_error": ("{curve} ends at {} for each wrong answer",),
    "repeats": ("{%} of the points of {curve} repeat the one before",),
    "rise": ("{curve} ends {%} above its lowest",),
    "rise_noise": ("{curve} ends {} times its noise above its lowest",),
    "rise_of_drop": ("{curve} has lost {%} of what it had gained at its best",),
    "settled_at": ("{curve} came near its best {%} into the run",),
    "spikes": ("{%} of {curve} stands out in spikes",),
    "steadiness": (
        "the second half of the run lowered {curve} by {} times what the first half did",
        "the second half of the run raised {curve} by {} times what the first half lowered it",
    ),
    "swing": ("{curve} moves in a band {%} of its level wide",),
    "trend": (
        "{curve} fell by {} times its noise from the third quarter of the run to the last",
        "{curve} rose by {} times its noise from the third quarter of the run to the last",
    ),
    "zeros": ("{%} of the points of {curve} are exactly 0",),
    "zigzag": ("{curve} turned around at {%} of its late points",),
}
_METRIC: Mapping[str, tuple[str, ...]] = {
    "best": ("{curve} was at best {}",),
    "best_at": ("{curve} was best {%} into the run",),
    "fall": ("{curve} ends {} below its best",),
    "jitter": ("{curve} wavers by {} from point to point",),
    "level": ("{curve} ends at {}",),
    "lift": (
        "{curve} at its best is {%} of the way from guessing to all right",
        "{curve} at its best is worse than guessing, by {%} of the way to all right",
    ),
    "moved": ("{curve} moved by {} over the whole run",),
    "settled_at": ("{curve} came near its best {%} into the run",),
    "spread": ("{curve} moved by {} over the last three quarters of the run",),
}
_PHRASES: Mapping[str, tuple[str, ...]] = {
    "activations.edge": ("{%} of a layer's outputs are near the ends of their range",),
    "activations.saturated": ("a bounded layer has lost {%} of its slope in its flat ends",),
    "activations.saturated_layers": ("{%} of the bounded hidden layers are saturated",),
    "activations.saturated_start": ("at the first write a bounded layer had lost {%} of its slope",),
    "activations.zeros": ("{%} of a layer's outputs are exactly zero",),
    "batches.calming": (
        "the noise of training loss fades as the number of points to the power -{}",
        "the noise of training loss grows as the number of points to the power {}",
    ),
    "batches.drop_between": (
        "the batch loss falls by {%} where an epoch turns",
        "the batch loss rises by {%} where an epoch turns",
    ),
    "batches.last_short": ("the last batch of an epoch has {} times the loss of the others",),
    "batches.memory": ("successive changes of training loss correlate by {}",),
    "batches.noise": ("single batches scatter by {%} of the level",),
    "batches.per_epoch": ("values of training loss in an epoch: {}",),
    "batches.periodic": ("training loss repeats itself, with a correlation of {}",),
    "batches.rise_inside": (
        "the batch loss rises by {%} inside an epoch",
        "the batch loss falls by {%} inside an epoch",
    ),
    "batches.saw": ("{%} of the scatter of the batch loss repeats at the same place of every epoch",),
    "batches.saw_height": ("what repeats every epoch is {} high, as a log ratio",),
    "batches.saw_smooth": ("neighboring places of an epoch have losses that correlate by {}",),
    "classes.above_majority": (
        "accuracy is {} above always naming the largest class",
        "accuracy is {} below always naming the largest class",
    ),
    "classes.best": ("the class found most often is found {%} of the time",),
    "classes.count": ("there are {} classes",),
    "classes.imbalance": ("the largest class is {} times as large as an even share",),
    "classes.majority": ("the largest class holds {%} of the data",),
    "classes.missed": ("{%} of the classes are hardly ever found",),
    "classes.uneven": (
        "accuracy is {} above the mean over classes",
        "accuracy is {} below the mean over classes",
    ),
    "classes.worst": ("the class found least often is found {%} of the time",),
    "data.decay_pull": ("weight decay alone would shrink the weights by a factor of exp({})",),
    "data.dropout": ("the dropout rate is {}",),
    "data.per_class": ("there are {} training samples a class",),
    "data.samples": ("there are {} training samples",),
    "data.weight_decay": ("the weight decay is {}",),
    "gap.always": ("validation loss is nearly always above {} times training loss",),
    "gap.early": ("early on, validation loss was {} times training loss",),
    "gap.first": ("validation loss began at {} times training loss",),
    "gap.grew": (
        "the gap between validation and training loss grew by {%} of the first level since validation settled",
        "the gap between validation and training loss closed by {%} of the first level since validation settled",
    ),
    "gap.lead": (
        "the validation metric ends {} above the training metric",
        "the validation metric ends {} below the training metric",
    ),
    "gap.lead_early": (
        "early on, the validation metric was {} above the training metric",
        "early on, the validation metric was {} below the training metric",
    ),
    "gap.leaps": ("the ratio of validation to training loss leaps by {}, as a log ratio",),
    "gap.metric": (
        "the training metric ends {} above the validation metric",
        "the training metric ends {} below the validation metric",
    ),
    "gap.metric_always": (
        "the training metric is nearly always more than {} above the validation metric",
        "the training metric is at times {} below the validation metric",
    ),
    "gap.noise": ("validation loss is {} times as noisy as training loss",),
    "gap.opened": (
        "the gap between validation and training loss grew by {%} of the first level since the best epoch",
        "the gap between validation and training loss closed by {%} of the first level since the best epoch",
    ),
    "gap.peak": ("validation loss was up to {} times training loss",),
    "gap.ratio": ("validation loss ends at {} times training loss",),
    "gap.same": ("{%} of the evaluations equal training loss to the last digit",),
    "gap.shared": ("validation loss gained {} times the share that training loss did",),
    "gap.train_gain": (
        "training loss fell by another {%} after validation came near its best",
        "training loss rose by {%} after validation came near its best",
    ),
    "gap.width": (
        "validation loss ends above training loss, by {%} of the first level",
        "validation loss ends below training loss, by {%} of the first level",
    ),
    "gradients.early": ("the gradient norm was {} early in the run",),
    "gradients.first_last": ("the first layer's gradient is {} times the last one's",),
    "gradients.growth_back": ("each layer's gradient norm is {} times that of the layer after it",),
    "gradients.kept": ("the gradient norm ends at {} times what it was early on",),
    "gradients.late": ("the gradient norm ends at {}",),
    "gradients.nonfinite": ("{} gradients were NaN or Inf",),
    "gradients.peak": ("the largest gradient norm was {}",),
    "gradients.silent": ("{%} of the layers get no gradient at all",),
    "gradients.spike": ("the largest gradient norm was {} times the median",),
    "gradients.start": ("the first gradient norm was {}",),
    "gradients.zeros": ("{%} of a hidden layer's gradients are exactly zero",),
    "log.restarts": ("the log went back to an earlier step {} times",),
    "log.rewound": ("{%} of training loss was written again later",),
    "net.loss": ("the loss is of the kind `{}`",),
    "net.narrowest": ("the smallest layer has {} weights",),
    "net.parameters": ("the net has {} trainable parameters",),
    "net.per_sample": ("there are {} trainable parameters a training sample",),
    "rate.adaptive": ("whether the optimizer scales its own steps: {}",),
    "rate.budget": ("all steps together could have gained {} times the first loss",),
    "rate.gain_after": (
        "after the cut of the rate the loss fell by {%} in each tenth of the run",
        "after the cut of the rate the loss rose by {%} in each tenth of the run",
    ),
    "rate.gain_before": (
        "before the cut of the rate the loss fell by {%} in a tenth of the run",
        "before the cut of the rate the loss rose by {%} in a tenth of the run",
    ),
    "rate.half_at": ("the rate stayed above half of its peak for {%} of the run",),
    "rate.last": ("the learning rate ends at {}",),
    "rate.left": ("the learning rate ends at {%} of its peak",),
    "rate.low_at": ("the rate stayed above a tenth of its peak for {%} of the run",),
    "rate.mean": ("the learning rate was {%} of its peak on average",),
    "rate.payoff": (
        "{%} of what the steps could have gained became a lower loss",
        "of what the steps could have gained nothing became a lower loss",
    ),
    "rate.peak": ("the highest learning rate was {}",),
    "rate.response": (
        "after the cut of the rate the loss fell {} times as fast as before",
        "after the cut of the rate the loss rose {} times as fast as it fell before",
    ),
    "rate.shortfall": (
        "after the cut of the rate the loss gained {%} less than its slope had promised",
        "after the cut of the rate the loss gained {%} more than its slope had promised",
    ),
    "rate.turns": ("the learning rate rose again {} times",),
    "rate.update_ratio": ("a step changed a layer by {%} of its weights (median)",),
    "rate.update_ratio_high": ("the largest step changed a layer by {%} of its weights",),
    "rate.walk": ("the optimizer could have moved a weight by {} in all",),
    "siblings.at_higher_rate": (
        "the best sibling with a higher learning rate ended {%} lower",
        "the best sibling with a higher learning rate ended {%} higher",
    ),
    "siblings.at_lower_rate": (
        "the best sibling with a lower learning rate ended {%} lower",
        "the best sibling with a lower learning rate ended {%} higher",
    ),
    "siblings.count": ("siblings analyzed with it: {}",),
    "siblings.escaped": ("the best sibling ended {%} lower", "the best sibling ended {%} higher"),
    "siblings.escaped_by": ("what separates the siblings that escaped: {}",),
    "siblings.seeds": ("siblings that differ in the seed alone: {}",),
    "siblings.seeds_escaped": ("{%} of the other seeds ended lower and are not stuck",),
    "siblings.seeds_spread": ("the other seeds end within {%} of one level",),
    "siblings.shared_floor": ("whether all seeds end flat at one level: {}",),
    "siblings.stuck": ("{%} of the siblings are stuck too",),
    "start.activations": ("the first layer's outputs began at a scale of {} (root mean square)",),
    "start.activations_growth": ("at the start outputs grow {}-fold from layer to layer",),
    "start.activations_high": ("the largest outputs of a layer began at a scale of {} (root mean square)",),
    "start.activations_low": ("the smallest outputs of a layer began at a scale of {} (root mean square)",),
    "start.chance": ("the first training loss is {} times the loss of guessing",),
    "start.cliff": ("{%} of the whole drop came within a tenth of the run",),
    "start.first_layer": ("the first layer's gradient began at {} times the median of the others",),
    "start.from_zero": ("training loss began at {} times its early maximum",),
    "start.input_rms": ("the inputs have {} times unit scale",),
    "start.loss": ("training loss began at {}",),
    "start.per_batch": ("the first training loss is {} times that of guessing a whole batch",),
    "start.plunge": (
        "training loss lost {%} of its first value at once",
        "training loss rose by {%} of its first value at once",
    ),
    "start.shelf": ("training loss stayed near its start for {%} of the run",),
    "start.weights_alike": ("{%} of the layers began with all weights alike",),
    "start.weights_gain": ("initial weights have {} times the variance of unit gain",),
    "start.weights_uneven": ("the initial gain of one layer is {} times that of another",),
    "state.name": ("the run is called {}",),
    "weights.first_moved": ("the first layer's weights moved {} times as far as the last one's",),
    "weights.frozen": ("{%} of the layers never changed their weights",),
    "weights.growth": ("the weights ended at {} times their norm at the start",),
    "weights.update_ratio_spread": ("for its weights, the first layer's steps are {} times the last one's",),
}
_CURVES = {
    "train_loss": "training loss",
    "val_loss": "validation loss",
    "train_metric": "the training metric",
    "val_metric": "the validation metric",
}
_NEAR = ("from_clip", "from_guess", "from_squashed")  # of a distance only the nearness tells
FAR = 0.2
_HOLE = re.compile(r"\{%?\}")


def phrase(name: str, value: Value) -> str:
    """Return what a fact of this value says, such as `the smallest layer has 9 weights`."""
    series, _, quality = name.partition(".")
    table = _PHRASES.get(name) or (_LOSS if series.endswith("loss") else _METRIC)[quality]
    text = table[0]
    if len(table) > 1 and isinstance(value, float) and value < 0:
        text, value = table[1], -value
    if quality in _NEAR and isinstance(value, float) and value > FAR:
        text = text.replace("{%} off", "far off")
    said = _HOLE.sub(lambda hole: _shown(value, hole[0] == "{%}"), text)
    return said.replace("{curve}", _CURVES.get(series, ""))


def _shown(value: Value, percent: bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return "not logged" if value is None else value
    if not percent:
        whole = value.is_integer() or abs(value) >= 1000
        return f"{value:,.0f}" if whole and abs(value) < 1e15 else f"{value:.3g}"
    digits = 0 if abs(value) >= 0.1 or value == 0 else 1
    return f"{value:.{digits}%}" if value == 0 or abs(value) >= 0.001 else f"{100 * value:.2g}%"

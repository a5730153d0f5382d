"""Facts about the data and the net's size, from the settings."""

from __future__ import annotations

import numpy as np

from plateau_doctor.facts.logged import Logged
from plateau_doctor.facts.loss import classes_of
from plateau_doctor.facts.rate import peak_rate
from plateau_doctor.facts.registry import Value, fact


@fact("data.samples", "samples", "samples")
def samples(logged: Logged, _: str) -> Value:
    """Number of training samples, where logged."""
    return logged.setting("samples", "train_samples", "num_train", "n_train", "num_samples", "train_size")


@fact("data.per_class", "samples", "samples")
def per_class(logged: Logged, _: str) -> Value:
    """Training samples for each class, where both counts were logged."""
    number, classes = samples(logged, ""), classes_of(logged)
    return None if number is None or not classes else float(number) / classes


@fact("net.parameters", "parameters", "parameters")
def parameters(logged: Logged, _: str) -> Value:
    """Number of trainable parameters, where logged; else of all weights that histograms were written of."""
    number = logged.setting("parameters", "num_parameters", "n_params", "num_params")
    sizes = logged.histogram_shares("weight", "count") if number is None else None
    return number if sizes is None else float(np.nansum(np.nanmax(sizes.to_numpy(dtype=float), axis=0)))


@fact("net.narrowest", "weights", "layer_weights")
def narrowest(logged: Logged, _: str) -> Value:
    """Number of weights of the smallest layer, from its histograms; a layer of one or two units shows here."""
    sizes = logged.histogram_shares("weight", "count")
    return None if sizes is None else float(np.nanmin(np.nanmax(sizes.to_numpy(dtype=float), axis=0)))


@fact("net.per_sample", "parameters a sample", "parameters")
def parameters_per_sample(logged: Logged, _: str) -> Value:
    """Trainable parameters over training samples, where both were logged."""
    number, size = samples(logged, ""), parameters(logged, "")
    return None if not number or size is None else float(size) / float(number)


@fact("data.dropout", "rate", "regularization")
def dropout(logged: Logged, _: str) -> Value:
    """Highest dropout rate, where logged."""
    return logged.setting("dropout", "dropout_rate", "drop_rate", "p_dropout")


@fact("data.weight_decay", "coefficient", "regularization")
def weight_decay(logged: Logged, _: str) -> Value:
    """Weight decay or L2 coefficient, the larger, where logged."""
    values = [logged.setting("weight_decay", "wd"), logged.setting("l2", "l2_reg", "kernel_l2")]
    known = [value for value in values if value is not None]
    return max(known) if known else None


@fact("data.decay_pull", "natural logarithm", "regularization")
def decay_pull(logged: Logged, _: str) -> Value:
    """By how much weight decay alone would have shrunk the weights by the end: rate x coefficient x steps.

    Weights that nothing pulls up are smaller by exp of it; above 3 little but the data's pull is left of them.
    Needs an axis in optimizer steps.
    """
    decay, rate, curve = weight_decay(logged, ""), mean_rate(logged), logged.curve("train_loss")
    if (
        not isinstance(decay, float)
        or rate is None
        or curve is None
        or np.array_equal(curve.steps, curve.epochs)
    ):
        return None
    return decay * rate * float(curve.steps[-1])


def mean_rate(logged: Logged) -> float | None:
    """Return the learning rate, mean over the run."""
    curve = logged.curve("learning_rate")
    return float(np.mean(curve.values)) if curve is not None else peak_rate(logged)

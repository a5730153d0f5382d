"""Facts about the data and the net's size, from the settings."""

from __future__ import annotations

from plateau_doctor.facts.logged import Logged
from plateau_doctor.facts.loss import classes_of
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


@fact("net.per_sample", "parameters a sample", "parameters")
def parameters_per_sample(logged: Logged, _: str) -> Value:
    """Trainable parameters over training samples, where both were logged."""
    number, parameters = (
        samples(logged, ""),
        logged.setting("parameters", "num_parameters", "n_params", "num_params"),
    )
    return None if not number or parameters is None else parameters / float(number)


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

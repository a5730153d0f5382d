"""Facts about the learning rate and the size of the steps taken."""

from __future__ import annotations

import numpy as np

from plateau_doctor.facts.logged import Logged
from plateau_doctor.facts.loss import first_level
from plateau_doctor.facts.registry import Value, fact
from plateau_doctor.series import median

ADAPTIVE = ("adam", "rmsprop", "adagrad", "lamb", "lion", "adafactor", "nadam")


def peak_rate(logged: Logged) -> float | None:
    """Return the highest learning rate: from its curve, a single logged value, or the settings."""
    chosen = logged.any_curve("learning_rate")
    tags = logged.tags_of("learning_rate")
    values = logged.column("value", tags if chosen is None else [chosen.tag])
    finite = values[np.isfinite(values)]
    if len(finite):
        return float(finite.max())
    return logged.setting("learning_rate", "lr", "optimizer_learning_rate", "lr0", "base_lr")


@fact("rate.peak", "learning rate", "learning_rate")
def peak(logged: Logged, _: str) -> Value:
    """Highest learning rate of the run; from the settings where no curve was logged."""
    return peak_rate(logged)


@fact("rate.last", "learning rate", "learning_rate")
def last(logged: Logged, _: str) -> Value:
    """Learning rate at the end of the run; from the settings where no curve was logged."""
    curve = logged.curve("learning_rate")
    return float(curve.values[-1]) if curve is not None else peak_rate(logged)


@fact("rate.left", "share of the peak", "learning_rate")
def left(logged: Logged, _: str) -> Value:
    """Last learning rate as a share of its peak; 1 for a constant rate."""
    curve = logged.curve("learning_rate")
    if curve is None or curve.values.max() <= 0:
        return None
    return float(curve.values[-1] / curve.values.max())


@fact("rate.adaptive", "flag", "optimizer")
def adaptive(logged: Logged, _: str) -> Value:
    """Whether the optimizer scales its own steps (Adam and its kin)."""
    name = logged.text("optimizer", "optimizer_name", "optim")
    return None if name is None else any(word in name for word in ADAPTIVE)


@fact("rate.response", "ratio", "learning_rate")
def response(logged: Logged, _: str) -> Value:
    """Gain per step of the training loss after the largest cut of the rate, over the gain per step before it.

    A curve that was only bouncing falls sharply after a cut: well above 1. None without a cut by half.
    """
    rate, train = logged.curve("learning_rate"), logged.curve("train_loss")
    if rate is None or train is None or len(train.bins) < 12 or rate.values.min() <= 0:
        return None
    at = np.interp(train.bin_steps, rate.steps, rate.values)
    falls = at[1:] / at[:-1]
    cut = int(np.argmin(falls)) + 1
    n = max(2, len(train.bins) // 8)
    if falls[cut - 1] > 0.5 or cut <= n or cut > len(train.bins) - n:
        return None
    before = median(train.bins[max(0, cut - 2 * n) : cut - n]) - median(train.bins[cut - n : cut])
    after = median(train.bins[cut - n : cut]) - median(train.bins[cut : cut + n])
    return after / max(before, 0.002 * abs(first_level(train)), train.noise / 2)


@fact("rate.budget", "times the first loss", "grad_norm")
def budget(logged: Logged, _: str) -> Value:
    """Sum of rate x squared gradient norm over all steps, over the first loss: what SGD could have gained.

    First-order bound of plain gradient descent; a healthy run spends 26 times its first loss, a rate that is
    too low 0.01 times (measured on small nets). Needs an axis in optimizer steps, or of epochs and how many steps
    one has; None for Adam and its kin.
    """
    norm, train = logged.curve("grad_norm"), logged.curve("train_loss")
    each = logged.setting("steps_per_epoch") if logged.counts_epochs else 1.0
    if norm is None or train is None or each is None or adaptive(logged, "") is True:
        return None
    if train.steps[-1] * each < 100:
        return None
    rate = logged.curve("learning_rate")
    constant = peak_rate(logged)
    if (rate is None and constant is None) or first_level(train) == 0:
        return None
    at = (
        np.interp(norm.steps, rate.steps, rate.values)
        if rate is not None
        else np.full(len(norm.steps), constant)
    )
    spent = np.trapezoid(at * norm.values**2, norm.steps * each)
    return float(spent / abs(first_level(train)))


@fact("rate.walk", "sum of rates", "learning_rate")
def walk(logged: Logged, _: str) -> Value:
    """Sum of the rates of all steps under Adam and its kin: about how far it could have moved a single weight.

    Such an optimizer moves a weight by about the rate, however small its gradient. Of 393 small trainings, 40 stayed
    below 0.02; 21 of them ended better at a higher rate, one was sound, whose median is 0.95
    (`benchmarks/corpus.py`). Needs an axis in optimizer steps, or of epochs and how many steps one has; None for
    other optimizers.
    """
    rate, train = logged.curve("learning_rate"), logged.curve("train_loss")
    each = logged.setting("steps_per_epoch") if logged.counts_epochs else 1.0
    if train is None or each is None or adaptive(logged, "") is not True:
        return None
    steps = train.steps * each
    if steps[-1] < 100:
        return None
    constant = peak_rate(logged)
    if rate is None:
        return None if constant is None else float(constant * steps[-1])
    return float(
        np.trapezoid(np.interp(train.steps, rate.steps, rate.values), steps) + rate.values[0] * steps[0]
    )


@fact("rate.update_ratio", "ratio", "layer_update_ratio")
def update_ratio(logged: Logged, _: str) -> Value:
    """Size of one step over the size of the weights, median over layers and time; 1e-4 to 1e-2 is usual."""
    wide = update_ratios(logged)
    return None if wide is None else float(np.nanmedian(wide))


@fact("rate.update_ratio_high", "ratio", "layer_update_ratio")
def update_ratio_high(logged: Logged, _: str) -> Value:
    """Largest update ratio that two writes of any one layer reached."""
    wide = update_ratios(logged)
    if wide is None:
        return None
    second = np.sort(np.where(np.isfinite(wide), wide, 0.0), axis=0)[-min(2, len(wide))]
    return float(second.max())


def update_ratios(logged: Logged) -> np.ndarray | None:
    """Return update ratios of shape (steps, layers): logged, or rate x gradient / weight for plain SGD."""
    wide = logged.layers("update_ratio")
    if wide is not None:
        return wide.to_numpy(dtype=float)
    gradient, weight, rate = logged.layers("gradient"), logged.layers("weight"), peak_rate(logged)
    if gradient is None or weight is None or rate is None or adaptive(logged, "") is not False:
        return None
    common = [layer for layer in gradient.columns if layer in weight.columns]
    if not common:
        return None
    weights = weight[common].reindex(gradient.index, method="nearest")
    ratios = rate * gradient[common].to_numpy(dtype=float) / np.maximum(weights.to_numpy(dtype=float), 1e-12)
    return ratios if np.isfinite(ratios).any() else None

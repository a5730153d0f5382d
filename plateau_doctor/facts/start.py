"""Facts about how a run starts: its first loss, its first shelf, and the scale of its first signals."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from plateau_doctor.facts.logged import Logged, remembered
from plateau_doctor.facts.loss import first_level, guess_of
from plateau_doctor.facts.registry import Value, fact
from plateau_doctor.series import Curve, median, smooth

LEFT = 0.1  # a shelf ends where the loss has lost this share of all it will lose


@fact("start.loss", "loss", "train_loss")
def first_loss(logged: Logged, _: str) -> Value:
    """The very first training loss that was logged, of one batch where batches were."""
    return None if logged.finest is None else float(logged.finest.values[0])


@fact("start.chance", "ratio", "train_loss")
def chance(logged: Logged, _: str) -> Value:
    """The very first training loss over ln C, the loss of guessing; about 1 for a sound start.

    Far above 1 where weights or inputs are too large, far below where the loss is no cross-entropy of C
    classes, or its mean is taken over more than the samples. Karpathy 2019: verify the loss at init.
    """
    first, guess = first_loss(logged, ""), guess_of(logged)
    return None if not isinstance(first, float) or guess is None else first / guess


@fact("start.per_batch", "ratio", "batch_size")
def per_batch(logged: Logged, _: str) -> Value:
    """The very first training loss over ln C times the batch size; about 1 where the loss is a sum."""
    ratio, size = chance(logged, ""), logged.setting("batch_size", "train_batch_size", "batch")
    return None if not isinstance(ratio, float) or not size or size < 4 else ratio / size


@fact("start.plunge", "share of the first value", "train_loss")
def plunge(logged: Logged, _: str) -> Value:
    """How much of its very first value the training loss has lost in the second bin of at most 60."""
    first, curve = first_loss(logged, ""), logged.curve("train_loss")
    if not isinstance(first, float) or curve is None or first == 0:
        return None
    return float(first - curve.bins[1]) / abs(first)


@fact("start.from_zero", "ratio", "train_loss")
def from_zero(logged: Logged, _: str) -> Value:
    """First point of the training loss over its highest in the first third; near 0 where it rises from 0.

    A moving average that starts at 0 without correction does that (Kingma and Ba 2015, section 3).
    """
    fine = logged.finest
    if fine is None or len(fine.values) < 9:
        return None
    high = float(np.max(smooth(fine.values[: len(fine.values) // 3])))
    return float(fine.values[0]) / high if high > 0 else None


@fact("start.shelf", "share of the run", "train_loss")
def shelf(logged: Logged, _: str) -> Value:
    """How long the loss stayed near its start before it lost a tenth of all it would lose.

    1 for a loss that never fell (by 5 % of its first level).
    """
    curve = logged.curve("train_loss")
    if curve is None or len(curve.bins) < 8 or first_level(curve) == 0:
        return None
    bins, start = _from_guess(logged, curve)
    fall = start - float(bins.min())
    if fall < 0.05 * abs(start):
        return 1.0
    below = start - bins > max(LEFT * fall, 3 * min(curve.noise, fall / 6))
    return float(np.argmax(below) / (len(bins) - 1))


@fact("start.cliff", "share of the drop", "train_loss")
def cliff(logged: Logged, _: str) -> Value:
    """Largest share of its whole drop that the loss lost within a tenth of the run, after its first shelf."""
    at, curve = shelf(logged, ""), logged.curve("train_loss")
    if not isinstance(at, float) or at == 1 or curve is None:
        return None
    bins, start = _from_guess(logged, curve)
    width = max(1, len(bins) // 10)
    begin = min(max(0, round(at * (len(bins) - 1)) - width), len(bins) - width - 1)
    return float(np.max(bins[begin:-width] - bins[begin + width :])) / (start - float(bins.min()))


def _from_guess(logged: Logged, curve: Curve) -> tuple[np.ndarray, float]:
    """Return the smoothed loss at even places (n,) and the level it starts from: that of guessing, after a blow-up."""
    guess = guess_of(logged)
    first = first_level(curve)
    return curve.evenly(curve.calm), first if guess is None else min(first, 1.05 * guess)


@fact("start.first_layer", "ratio", "layer_gradients")
def first_layer(logged: Logged, _: str) -> Value:
    """Gradient norm of the first layer over the median of the others, at the first write.

    Inputs of a large scale make it large where something behind the first layer holds the signal down.
    """
    wide = logged.layers("gradient")
    if wide is None or wide.shape[1] < 3:
        return None
    norms = at_first(wide)
    rest = float(np.nanmedian(norms[1:])) if np.isfinite(norms[1:]).any() else 0.0
    return float(norms[0] / rest) if rest > 0 else None


@fact("start.input_rms", "times unit scale", "gradient_histograms")
def input_rms(logged: Logged, _: str) -> Value:
    """Scale of the inputs: logged as `input_rms`, or the first layer's weight gradient over its bias gradient.

    The gradient of a weight is that of its unit times the input, that of the bias is the unit's alone; each
    is taken a weight. About 1 for standardized inputs, 0.1 to 0.7 for 0..1, 50 to 200 for 0..255.
    """
    scale = logged.setting("input_rms", "input_scale")
    if scale is not None:
        return scale
    kernels = logged.histogram_shares("gradient", "norm")
    if kernels is None:
        return None
    rows = logged.run.histograms[logged.run.histograms["kind"] == "gradient"]
    kernel = str(kernels.columns[0])
    bias = re.sub(r"kernel|weight", "bias", kernel)
    found = [rows[rows["layer"] == name] for name in (kernel, bias)]
    if bias == kernel or any(one.empty for one in found):
        return None
    each = [float(one["norm"].iloc[0]) / float(one["count"].iloc[0]) ** 0.5 for one in found]
    return each[0] / each[1] if each[1] > 0 else None


@fact("start.activations", "root mean square", "activation_histograms")
def first_activations(logged: Logged, _: str) -> Value:
    """Root mean square of the first layer's outputs at the first write: the inputs' scale, if weights are sound."""
    rms = activations_at_start(logged)
    return None if rms is None else float(rms[0])


@fact("start.activations_high", "root mean square", "activation_histograms")
def activations_high(logged: Logged, _: str) -> Value:
    """Root mean square of the outputs of the layer where it is largest, at the first write."""
    rms = activations_at_start(logged)
    return None if rms is None else float(np.nanmax(rms))


@fact("start.activations_low", "root mean square", "activation_histograms")
def activations_low(logged: Logged, _: str) -> Value:
    """Root mean square of the outputs of the layer where it is smallest, at the first write."""
    rms = activations_at_start(logged)
    return None if rms is None else float(np.nanmin(rms))


@fact("start.activations_growth", "ratio per layer", "activation_histograms")
def activations_growth(logged: Logged, _: str) -> Value:
    """Factor by which the outputs' root mean square grows from one layer to the next, at the first write.

    About 1 where weights are drawn by the activation (Glorot and Bengio 2010; He et al. 2015).
    """
    rms = activations_at_start(logged)
    if rms is None or len(rms) < 2 or not rms[0] > 0:
        return None
    return float((rms[-1] / rms[0]) ** (1 / (len(rms) - 1)))


@remembered
def activations_at_start(logged: Logged) -> np.ndarray | None:
    """Return the root mean square of each hidden layer's outputs at the first write, shape (layers,)."""
    mean, std = (logged.histogram_shares("activation", column) for column in ("mean", "std"))
    if std is None:
        return None
    squares = at_first(std) ** 2
    if mean is not None:
        squares = squares + np.nan_to_num(at_first(mean)) ** 2
    rms = np.sqrt(squares[:-1] if len(squares) > 2 else squares)  # the last of many is the output layer
    return rms if np.isfinite(rms).any() else None


@fact("start.weights_gain", "ratio", "weight_histograms")
def weights_gain(logged: Logged, _: str) -> Value:
    """Variance of a layer's weights times the square root of their number, median over layers at the first write.

    He's and Glorot's draws give 0.1 to 4 for most shapes (the variance is 2 or 1 over the inputs of a unit).
    """
    gains = _gains(logged)
    return None if gains is None else median(gains)


@fact("start.weights_uneven", "ratio", "weight_histograms")
def weights_uneven(logged: Logged, _: str) -> Value:
    """Largest such gain of any layer over the smallest, at the first write."""
    gains = _gains(logged)
    return None if gains is None or gains.min() <= 0 else float(gains.max() / gains.min())


@fact("start.weights_alike", "share of layers", "weight_histograms")
def weights_alike(logged: Logged, _: str) -> Value:
    """Share of layers whose weights all had one value at the first write: their units cannot come apart."""
    std, norm = (logged.histogram_shares("weight", column) for column in ("std", "norm"))
    count = logged.histogram_shares("weight", "count")
    if std is None or norm is None or count is None:
        return None
    scale = at_first(norm) / np.sqrt(np.maximum(at_first(count), 1))
    return float(np.mean(at_first(std) <= 1e-4 * np.maximum(scale, 1e-12)))


def _gains(logged: Logged) -> np.ndarray | None:
    std, count = (logged.histogram_shares("weight", column) for column in ("std", "count"))
    if std is None or count is None:
        return None
    gains = at_first(std) ** 2 * np.sqrt(at_first(count))
    gains = gains[np.isfinite(gains)]
    return gains if len(gains) else None


def at_first(wide: pd.DataFrame) -> np.ndarray:
    """Return each layer's first finite value, shape (layers,); NaN for a layer without one."""
    finite = wide.replace([np.inf, -np.inf], np.nan).bfill()
    return np.asarray(finite.iloc[0].to_numpy(dtype=float))

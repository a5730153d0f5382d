"""Facts about gradients, per layer and as a whole."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from plateau_doctor.facts.logged import Logged, remembered
from plateau_doctor.facts.registry import Value, fact
from plateau_doctor.series import MOST_BINS, median

TINY = 1e-30


def typical(wide: pd.DataFrame) -> np.ndarray:
    """Return each layer's median over time, shape (layers,); NaN for a layer without finite values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an all-NaN layer is a NaN, not news
        return np.asarray(np.nanmedian(wide.replace([np.inf, -np.inf], np.nan).to_numpy(dtype=float), axis=0))


def worst(layers: np.ndarray) -> float | None:
    """Return the largest of one value a layer, shape (layers,); None where none is finite."""
    finite = layers[np.isfinite(layers)]
    return float(finite.max()) if len(finite) else None


@fact("gradients.first_last", "ratio", "layer_gradients")
def first_last(logged: Logged, _: str) -> Value:
    """Gradient norm of the first layer over that of the last, medians over time; below 1e-3 is vanishing.

    Bar: AutoTrainer (ICSE 2021). Needs at least three layers with kernels.
    """
    wide = logged.layers("gradient")
    if wide is None or wide.shape[1] < 3:
        return None
    norms = typical(wide)
    return float(norms[0] / norms[-1]) if norms[-1] > TINY else None


@fact("gradients.growth_back", "ratio per layer", "layer_gradients")
def growth_back(logged: Logged, _: str) -> Value:
    """Factor by which the gradient norm grows from one layer to the one before it, geometric mean."""
    ratio = first_last(logged, "")
    wide = logged.layers("gradient")
    if not isinstance(ratio, float) or wide is None or ratio <= 0:
        return None
    return float(ratio ** (1 / (wide.shape[1] - 1)))


@fact("gradients.start", "norm", "grad_norm")
def start(logged: Logged, _: str) -> Value:
    """The first global gradient norm that was logged, before steps could spoil the weights."""
    norms = global_norms(logged)
    return None if norms is None else float(norms[0])


@fact("gradients.early", "norm", "grad_norm")
def early(logged: Logged, _: str) -> Value:
    """Global gradient norm early in the run, past its first steps: median from a twentieth to a fifth of it."""
    norms = _evenly(logged)
    return None if norms is None else median(norms[len(norms) // 20 : len(norms) // 5])


@fact("gradients.late", "norm", "grad_norm")
def late(logged: Logged, _: str) -> Value:
    """Global gradient norm, median of the last quarter of the run."""
    norms = _evenly(logged)
    return None if norms is None else median(norms[-(len(norms) // 4) :])


@fact("gradients.kept", "ratio", "grad_norm")
def kept(logged: Logged, _: str) -> Value:
    """Global gradient norm at the end over that early in the run; near 1 where nothing settles."""
    begin, end = early(logged, ""), late(logged, "")
    return (
        float(end) / float(begin) if begin is not None and end is not None and float(begin) > TINY else None
    )


@fact("gradients.peak", "norm", "grad_norm")
def peak(logged: Logged, _: str) -> Value:
    """Largest global gradient norm that was logged."""
    norms = global_norms(logged)
    return None if norms is None else float(np.max(norms))


@fact("gradients.spike", "ratio", "grad_norm")
def spike(logged: Logged, _: str) -> Value:
    """Largest global gradient norm over the median one."""
    norms = global_norms(logged)
    return None if norms is None or median(norms) <= TINY else float(np.max(norms) / median(norms))


@fact("gradients.nonfinite", "count", "layer_gradients")
def nonfinite(logged: Logged, _: str) -> Value:
    """Logged gradient norms that were NaN or Inf, and non-finite gradient elements that a recorder counted."""
    counters = [tag for tag in logged.tags if tag.startswith("nonfinite/gradient")]
    norms = [tag for role in ("grad_norm", "layer_grad_norm") for tag in logged.tags_of(role)]
    if not norms and logged.layers("gradient") is None:
        return None
    lost = sum(float((~np.isfinite(logged.columns(tag)["value"])).sum()) for tag in norms)
    return lost + sum(float(np.nansum(logged.columns(tag)["value"])) for tag in counters)


@fact("gradients.zeros", "share", "gradient_histograms")
def zeros(logged: Logged, _: str) -> Value:
    """Share of exactly zero gradients in the worst hidden layer, median of the last half of the run.

    The last layer is left out: its gradient is sparse by nature with many classes. Bar: 0.7, AutoTrainer.
    """
    wide = logged.histogram_shares("gradient", "zeros")
    if wide is None or wide.shape[1] < 2:
        return None
    return worst(typical(wide.iloc[len(wide) // 2 :, :-1]))


@fact("gradients.silent", "share of layers", "layer_gradients")
def silent(logged: Logged, _: str) -> Value:
    """Share of layers whose gradient norm is below 1e-10 over the last half of the run."""
    wide = logged.layers("gradient")
    return None if wide is None else float(np.mean(typical(wide.iloc[len(wide) // 2 :]) < 1e-10))


@fact("activations.zeros", "share", "activation_histograms")
def dead_units(logged: Logged, _: str) -> Value:
    """Share of exactly zero outputs in the worst layer, median of the last half; half is usual behind a ReLU."""
    wide = logged.histogram_shares("activation", "zeros")
    if wide is None:
        return None
    inner = wide.iloc[len(wide) // 2 :, :-1] if wide.shape[1] > 1 else wide.iloc[len(wide) // 2 :]
    return worst(typical(inner))


def _evenly(logged: Logged) -> np.ndarray | None:
    """Return the global gradient norm at 60 even places of the run, shape (60,)."""
    curve, norms = logged.curve("grad_norm"), global_norms(logged)
    if curve is not None or norms is None:
        return None if curve is None else curve.evenly(curve.bins)
    return np.asarray(np.interp(np.linspace(0, len(norms) - 1, MOST_BINS), np.arange(len(norms)), norms))


@remembered
def global_norms(logged: Logged) -> np.ndarray | None:
    """Return the global gradient norm over time: logged, else from the layers' norms."""
    curve = logged.curve("grad_norm")
    if curve is not None:
        return curve.values
    wide = logged.layers("gradient")
    if wide is None:
        return None
    norms = np.sqrt(np.nansum(wide.to_numpy(dtype=float) ** 2, axis=1))
    finite = norms[np.isfinite(norms)]
    return finite if len(finite) else None

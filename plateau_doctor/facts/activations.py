"""Facts about the outputs of bounded activations (tanh, sigmoid): how far they sit in their flat ends."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from plateau_doctor.facts.gradients import typical, worst
from plateau_doctor.facts.logged import Logged
from plateau_doctor.facts.registry import Value, fact
from plateau_doctor.facts.start import at_first

_SOFTMAX = re.compile(r"softmax|attn|attention|prob", re.IGNORECASE)
REACH = 0.5  # a bounded activation that never leaves this share of its range is as good as linear


@fact("activations.saturated", "share", "activation_histograms")
def saturated(logged: Logged, _: str) -> Value:
    """Share of a bounded layer's slope that is lost in its flat ends, in the worst hidden layer of the last half.

    1 less the mean slope over the steepest: the mean of a² for tanh, of 1 - 4a(1 - a) for a sigmoid, from mean
    and deviation of the outputs. 0.4 for tanh and 0.2 for a sigmoid on inputs of unit scale; 0.85 on inputs
    five times that. None where no layer is bounded (Glorot and Bengio 2010, section 3).
    """
    lost = lost_slopes(logged)
    return None if lost is None else worst(typical(lost.iloc[len(lost) // 2 :]))


@fact("activations.saturated_start", "share", "activation_histograms")
def saturated_start(logged: Logged, _: str) -> Value:
    """The same at the first write: high where weights or inputs were too large, low where training did it."""
    lost = lost_slopes(logged)
    return None if lost is None else worst(at_first(lost))


@fact("activations.saturated_layers", "share of layers", "activation_histograms")
def saturated_layers(logged: Logged, _: str) -> Value:
    """Share of the bounded hidden layers that have lost more than 0.8 of their slope, in the last half."""
    lost = lost_slopes(logged)
    return None if lost is None else float(np.mean(typical(lost.iloc[len(lost) // 2 :]) > 0.8))


@fact("activations.edge", "share", "activation_histograms")
def edge(logged: Logged, _: str) -> Value:
    """Share of outputs in the outer 5 % of the range at either end, exact zeros left out; worst hidden layer.

    A quarter for even outputs of 0 to 1; more than 0.8 is saturation. Coarse bins blur it: see `saturated`.
    """
    edges, zeros = (logged.histogram_shares("activation", column) for column in ("edge", "zeros"))
    if edges is None or zeros is None:
        return None
    inner = (edges - zeros.reindex_like(edges).fillna(0.0)).iloc[len(edges) // 2 :]
    inner = inner.iloc[:, :-1] if inner.shape[1] > 2 else inner
    return worst(typical(inner))


def lost_slopes(logged: Logged) -> pd.DataFrame | None:
    """Return the share of slope lost, steps x bounded hidden layers; None where there is none."""
    columns = ("mean", "std", "low", "high", "zeros")
    found = {column: logged.histogram_shares("activation", column) for column in columns}
    mean, std, low, high = (found[column] for column in columns[:4])
    if mean is None or std is None or low is None or high is None:
        return None
    hidden = mean.columns[:-1] if mean.shape[1] > 2 else mean.columns
    lost = {}
    for layer in hidden:
        bottom, top = float(low[layer].min()), float(high[layer].max())
        if _SOFTMAX.search(str(layer)) or not (bottom >= -1.0001 and top <= 1.0001):
            continue
        squares = std[layer] ** 2 + mean[layer] ** 2
        zeros = found["zeros"]
        sparse = zeros is not None and layer in zeros and float(zeros[layer].median()) > 0.05
        if bottom < -REACH:
            lost[layer] = squares
        elif bottom >= 0 and top > REACH and not sparse:
            lost[layer] = 1 - 4 * (mean[layer] - squares)
    return pd.DataFrame(lost) if lost else None

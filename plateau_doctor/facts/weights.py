"""Facts about weights over time."""

from __future__ import annotations

import numpy as np

from plateau_doctor.facts.gradients import typical
from plateau_doctor.facts.logged import Logged
from plateau_doctor.facts.registry import Value, fact


@fact("weights.frozen", "share of layers", "layer_weights")
def frozen(logged: Logged, _: str) -> Value:
    """Share of layers whose weight norm did not change at all (1e-7 relative) between first and last write."""
    wide = logged.layers("weight")
    if wide is None or len(wide) < 3:
        return None
    values = wide.to_numpy(dtype=float)
    values = values[:, np.isfinite(values).sum(axis=0) >= 3]
    if not values.size:
        return None
    span = np.nanmax(values, axis=0) - np.nanmin(values, axis=0)
    return float(np.mean(span <= 1e-7 * np.maximum(np.nanmax(np.abs(values), axis=0), 1e-12)))


@fact("weights.first_moved", "ratio", "layer_weights")
def first_moved(logged: Logged, _: str) -> Value:
    """How far the first layer's weight norm moved over how far the last one's did, both relative."""
    wide = logged.layers("weight")
    if wide is None or len(wide) < 3 or wide.shape[1] < 3:
        return None
    ends = [values[np.isfinite(values)] for values in wide.to_numpy(dtype=float)[:, [0, -1]].T]
    if any(len(values) < 3 for values in ends):
        return None
    first, last = (float(np.std(v) / max(float(np.mean(np.abs(v))), 1e-12)) for v in ends)
    return first / last if last > 0 else None


@fact("weights.growth", "ratio", "layer_weights")
def growth(logged: Logged, _: str) -> Value:
    """Norm of all weights at the end over that at the start; well below 1 where decay wins."""
    wide = logged.layers("weight")
    if wide is None or len(wide) < 3:
        return None
    norms = np.sqrt(np.nansum(wide.to_numpy(dtype=float) ** 2, axis=1))
    return float(norms[-1] / norms[0]) if np.isfinite(norms[[0, -1]]).all() and norms[0] > 0 else None


@fact("weights.update_ratio_spread", "ratio", "layer_update_ratio")
def spread(logged: Logged, _: str) -> Value:
    """Update ratio of the first layer over that of the last, medians over time."""
    wide = logged.layers("update_ratio")
    if wide is None or wide.shape[1] < 3:
        return None
    ratios = typical(wide)
    return float(ratios[0] / ratios[-1]) if ratios[-1] > 0 else None

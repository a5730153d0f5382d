"""What is marked on a run's curves: the best point, restarts, steps of the learning rate, the other axis, the trend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from plateau_doctor.facts import Logged
from plateau_doctor.report.pictures import Mark, Other
from plateau_doctor.series import Curve

__all__ = ["best_of", "other_axis", "restarts", "says", "steps_of_rate", "trend"]

MOST_MARKS = 8
JUMP = 1.5  # a learning rate that changes by this factor from one point to the next steps
STILL = 0.01  # share by which a rate that steps changes at most between its steps
OFF_BY = 1.0  # epochs that an axis told as a line of the other may be wrong by
DENSE, WINDOWS = 150, 50  # points from which a trend is drawn, and how many windows it has
NOISY = 0.02  # share of a curve's height that its noise must have
NAMES = {"restart": "dashed line: resumed", "rate": "dotted line: the learning rate steps"}


def best_of(curves: Mapping[str, Curve], axis: str) -> list[Mark]:
    """Return where the validation curve is best."""
    marks = []
    for role, curve in curves.items():
        x = curve.epochs if axis == "epoch" else curve.steps
        if role.startswith("val_") and np.isfinite(x).all():
            at = int(np.argmin(curve.sign * curve.values))
            marks.append(Mark("best", float(x[at]), float(curve.values[at])))
    return marks


def restarts(logged: Logged, curves: Sequence[Curve], axis: str) -> list[Mark]:
    """Return where a run was resumed: the first step of each segment but the first."""
    rows = pd.concat([logged.rows(curve.tag) for curve in curves])
    rows = rows[rows["live"]]
    if rows["segment"].nunique() < 2:
        return []
    first = rows.groupby("segment")[axis].min().iloc[1:]
    places = sorted({float(x) for x in first if np.isfinite(x)})
    return [Mark("restart", x) for x in places[-MOST_MARKS:]]


def steps_of_rate(rate: Curve | None, axis: str) -> list[Mark]:
    """Return where the learning rate steps; nothing where it glides."""
    if rate is None or not (rate.values > 0).all():
        return []
    change = np.abs(np.diff(np.log(rate.values)))
    at = np.flatnonzero(change >= np.log(JUMP))
    still = np.delete(change, at)
    if not 0 < len(at) <= MOST_MARKS or not len(still) or float(np.quantile(still, 0.9)) > STILL:
        return []
    x = rate.epochs if axis == "epoch" else rate.steps
    return [Mark("rate", float(x[i + 1])) for i in at if np.isfinite(x[i + 1])]


def other_axis(curve: Curve, axis: str) -> Other | None:
    """Return epochs for steps, or steps for epochs, where one is a line of the other."""
    finite = np.isfinite(curve.epochs).all() and np.isfinite(curve.steps).all()
    if not finite or np.ptp(curve.steps) <= 0 or np.array_equal(curve.epochs, curve.steps):
        return None
    first, width = float(curve.steps[0]), float(np.ptp(curve.steps))
    across, start = np.polyfit((curve.steps - first) / width, curve.epochs, 1)
    off = np.abs(start + across * (curve.steps - first) / width - curve.epochs).max()
    slope = across / width
    start -= slope * first
    if off > OFF_BY or not 0 < slope < np.inf or np.ptp(curve.epochs) < 2 * OFF_BY:
        return None
    if axis == "step":
        return Other("epoch", float(start), float(slope))
    return Other("step", float(-start / slope), float(1 / slope))


def trend(curve: Curve, x: np.ndarray) -> tuple[np.ndarray, int] | None:
    """Return the running median of a long and noisy curve, and over how many points; None for any other.

    `x` are its places on the axis, shape (n,).
    """
    y = curve.values
    if len(y) <= DENSE or not np.isfinite(x).all():
        return None
    window = max(3, len(y) // WINDOWS) | 1
    smooth = pd.Series(y).rolling(window, center=True, min_periods=1).median().to_numpy(dtype=float)
    low, high = np.quantile(y, (0.05, 0.95))
    noise = 1.5 * float(np.median(np.abs(y - smooth)))
    return (smooth, window) if noise > NOISY * (high - low) else None


def says(marks: Sequence[Mark], axis: str) -> list[str]:
    """Return what the marks are, each kind once, with the best point's numbers."""
    said = [
        f"circle: best validation, {mark.y:.3g} at {axis} {mark.x:.0f}"
        for mark in marks
        if mark.kind == "best"
    ]
    return said + [words for kind, words in NAMES.items() if any(mark.kind == kind for mark in marks)]

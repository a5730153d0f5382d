"""How long a run was, in steps, epochs and seconds, and at which share of it the trouble began."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plateau_doctor.plateau import Plateau
from plateau_doctor.run import Run
from plateau_doctor.series import curve_of, primary_curve

__all__ = ["Length", "length_of", "onset_of", "turn_of"]

RISE = 0.02  # share of its lowest level by which a validation loss that turned ends above it


@dataclass(frozen=True)
class Length:
    """How long a run was; what its log does not tell is None."""

    steps: float | None = None
    epochs: float | None = None
    seconds: float | None = None

    def share(self, steps: float | None, epochs: float | None) -> float | None:
        """Return how much of this length so many steps or epochs are, by the unit that both know."""
        if self.epochs and epochs:
            return epochs / self.epochs
        return steps / self.steps if self.steps and steps else None


def length_of(run: Run) -> Length:
    """Return the length of a run; a log whose steps are its epochs has no steps."""
    curve = primary_curve(run)
    if curve is None or not len(curve.steps):
        return Length()
    counts_epochs = bool(np.array_equal(curve.steps, curve.epochs))
    return Length(
        None if counts_epochs else _extent(curve.steps),
        _epochs(run),
        _seconds(run) if len(curve.steps) > 1 else None,
    )


def onset_of(run: Run, plateau: Plateau) -> float:
    """Return the share of a run at which a plateau begins."""
    curve = primary_curve(run)
    if curve is None or len(curve.steps) < 2 or curve.steps[-1] <= curve.steps[0]:
        return 0.0
    first, last = float(curve.steps[0]), float(curve.steps[-1])
    return min(1.0, max(0.0, (plateau.start_step - first) / (last - first)))


def turn_of(run: Run) -> float | None:
    """Return the share of a run at which its validation loss has gone a quarter of the way from its lowest to its end.

    None where it does not turn to rise: by 2 %, and by four times its noise.
    """
    curve = curve_of(run, "val_loss")
    if curve is None or len(curve.bins) < 8:
        return None
    width = max(1, len(curve.bins) // 8)
    level = np.median(np.lib.stride_tricks.sliding_window_view(curve.bins, width), axis=1)
    turned, end = int(np.argmin(level)), float(level[-1])
    lowest = float(level[turned])
    if end - lowest <= max(RISE * abs(lowest), 4 * curve.noise):
        return None
    seen = turned + int(np.argmax(level[turned:] >= lowest + (end - lowest) / 4)) + (width - 1) / 2
    return float(min(1.0, seen / (len(curve.bins) - 1)))


def _extent(values: np.ndarray) -> float:
    """Return how far rising values reach, the last one's own width counted in."""
    width = float(np.median(np.diff(values))) if len(values) > 1 else 1.0
    return float(values[-1] - values[0]) + width


def _epochs(run: Run) -> float | None:
    epochs = np.unique(run.scalars["epoch"].to_numpy(dtype=float))
    epochs = epochs[np.isfinite(epochs)]
    if not len(epochs):
        return None
    whole = bool(np.all(epochs == np.round(epochs)))
    return float(np.ptp(epochs)) + 1 if whole else max(1.0, float(round(_extent(epochs))))


def _seconds(run: Run) -> float | None:
    """Return the wall time of all segments, without the pauses between them."""
    times = run.scalars[np.isfinite(run.scalars["wall_time"])]
    spans = [float(np.ptp(part["wall_time"].to_numpy())) for _, part in times.groupby("segment")]
    return sum(spans) if sum(spans) > 0 else None

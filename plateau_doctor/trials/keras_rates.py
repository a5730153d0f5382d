"""Schedules of the learning rate for a Keras phase, as callbacks."""

from __future__ import annotations

from typing import Any

from plateau_doctor.trials.arm import Arm
from plateau_doctor.trials.keras_data import Phase

__all__ = ["rates_for"]


def rates_for(arm: Arm, keras: Any, phase: Phase) -> list[Any]:
    """Return the callbacks that turn the knobs of rate; scale the script's own schedule callbacks."""
    scale = arm.change.learning_rate_scale
    if scale is not None:
        for callback in phase.callbacks():
            if isinstance(callback, keras.callbacks.LearningRateScheduler):
                _scale(callback, scale)
    return []


def _scale(callback: Any, scale: float) -> None:
    """Scale what a `LearningRateScheduler` gives; its function may take the rate so far or not."""
    schedule = callback.schedule
    if getattr(schedule, "scaled", False):
        return

    def scaled(epoch: int, rate: float | None = None) -> float:
        try:
            return float(schedule(epoch, rate / scale if rate is not None else None)) * scale
        except TypeError:
            return float(schedule(epoch)) * scale

    scaled.scaled = True  # type: ignore[attr-defined]
    callback.schedule = scaled

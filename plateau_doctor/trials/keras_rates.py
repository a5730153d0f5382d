"""Schedules of the learning rate for a Keras phase, as callbacks behind those of the script."""

from __future__ import annotations

from typing import Any

from plateau_doctor.trials.arm import Arm
from plateau_doctor.trials.keras_data import Phase
from plateau_doctor.trials.rates import WORDS, OnPlateau, factor

__all__ = ["rates_for"]


def rates_for(arm: Arm, keras: Any, phase: Phase) -> list[Any]:
    """Return the callbacks that turn the knobs of rate and of early stopping."""
    change, ours = arm.change, []
    theirs = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)
    if change.schedule is not None:
        own = [one for one in phase.callbacks() if isinstance(one, theirs)]
        if own and change.schedule != "warm_up":
            phase.drop_callbacks(own)
        instead = f", instead of the script's {type(own[0]).__name__}" if own else ""
        arm.applied("schedule", WORDS[change.schedule] + instead)
        ours.append(_callback(keras, _Schedule(arm, change.schedule)))
    elif change.learning_rate_scale is not None:
        for callback in phase.callbacks():
            if isinstance(callback, keras.callbacks.LearningRateScheduler):
                _scale(callback, change.learning_rate_scale)
    if change.early_stopping_patience is not None:
        monitor = "val_loss" if phase.held_out is not None else "loss"
        patience = change.early_stopping_patience
        arm.applied("early_stopping_patience", f"{patience} epochs of {monitor}; the best weights are kept")
        ours.append(
            keras.callbacks.EarlyStopping(monitor=monitor, patience=patience, restore_best_weights=True)
        )
    return ours


class _Schedule:
    """A schedule over the steps of one phase that the cap leaves."""

    def __init__(self, arm: Arm, kind: str) -> None:
        self._arm, self._kind = arm, kind
        self._start, self._total, self._epochs = 0, 0, 1
        self._base = self._set = 0.0
        self._plateau = OnPlateau(5)

    def begin(self, model: Any, params: dict[str, Any]) -> None:
        self._start, self._epochs = self._arm.steps, params.get("epochs") or 1
        self._total = self._epochs * (params.get("steps") or 0)
        left = self._arm.steps_left
        self._total = min(self._total, left) if left is not None and self._total else self._total
        self._base = float(model.optimizer.learning_rate)
        self._plateau = OnPlateau(max(1, round(self._epochs / 6)))

    def epoch_begin(self, model: Any) -> None:
        rate = float(model.optimizer.learning_rate)
        if self._set and abs(rate - self._set) > 1e-6 * abs(rate):
            self._base = rate  # the script has set its own
        self._set = 0.0

    def batch_begin(self, model: Any, epoch: int) -> None:
        if self._kind == "on_plateau":
            return
        if self._total:
            progress = (self._arm.steps - self._start) / max(1, self._total - 1)
        else:
            progress = epoch / max(1, self._epochs - 1)
        self._turn(model, factor(self._kind, progress))

    def epoch_end(self, model: Any, logs: dict[str, float]) -> None:
        if self._kind == "on_plateau":
            self._plateau.see(float(logs.get("val_loss", logs.get("loss", 0.0))))
            self._turn(model, self._plateau.factor)

    def _turn(self, model: Any, times: float) -> None:
        self._set = self._base * times
        model.optimizer.learning_rate = self._set


def _callback(keras: Any, schedule: _Schedule) -> Any:
    class Rates(keras.callbacks.Callback):  # type: ignore[misc]
        """Sets the rate of each step."""

        epoch = 0

        def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
            schedule.begin(self.model, self.params or {})

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            self.epoch = epoch
            schedule.epoch_begin(self.model)

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            schedule.batch_begin(self.model, self.epoch)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            schedule.epoch_end(self.model, logs or {})

    return Rates()


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

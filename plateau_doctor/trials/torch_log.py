"""Logs a torch training for the readers: losses by step and epoch, rate, gradients, weights, activations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plateau_doctor.recorders.tape import LOSS_EVERY
from plateau_doctor.trials.arm import Arm, told

__all__ = ["Log"]


class Log:
    """The log of one training.

    Args:
        arm: Where problems are told.
        model: The module that is trained.
        optimizer: Its optimizer.
        folder: Where the log goes.
    """

    def __init__(self, arm: Arm, model: Any, optimizer: Any, folder: Path) -> None:
        self._arm = arm
        self._losses: list[Any] = []  # of the present step
        self._total: Any = 0.0
        self._count = 0
        self._epoch: tuple[int, float | None] | None = None
        self._rate: float | None = None
        self._recorder: Any = None
        with told(arm, "only losses by epoch are logged"):
            from plateau_doctor.recorders.torch import Recorder

            self._recorder = Recorder(model, optimizer, folder, first_step=arm.outcome.steps)

    def loss(self, value: Any) -> None:
        """Take a training loss; those of one step are summed."""
        if value.numel() == 1:
            self._losses.append(value.detach())

    def stepped(self, rate: float | None) -> None:
        """Take note of a step at this rate."""
        self._rate = rate
        if not self._losses:
            return
        value = sum(self._losses[1:], self._losses[0])
        self._losses = []
        self._total = self._total + value
        self._count += 1
        if self._recorder is not None and self._arm.outcome.steps % LOSS_EVERY == 1:
            self._recorder.log(loss_step=value, learning_rate=rate)

    def epoch_over(self, epoch: int) -> None:
        """Take note of the end of an epoch; it is written with the evaluation that follows, if one does."""
        self.flush()
        self._epoch = (epoch, float(self._total) / self._count if self._count else None)
        self._total, self._count = 0.0, 0

    def evaluated(self, loss: float, **metrics: float) -> None:
        """Write the held-out loss with the epoch before it."""
        self.flush(val_loss=loss, **{f"val_{name}": value for name, value in metrics.items()})

    def flush(self, **values: float) -> None:
        """Write what waits, and these values."""
        epoch, loss = self._epoch or (None, None)
        self._epoch = None
        if loss is not None:
            values["loss"] = loss
        if values and self._recorder is not None:
            self._recorder.log(epoch=epoch, learning_rate=self._rate, **values)

    def close(self) -> None:
        """Write what waits and close the log."""
        self.flush()
        if self._recorder is not None:
            self._recorder.close()

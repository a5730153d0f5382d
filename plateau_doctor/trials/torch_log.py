"""Logs a torch training for the readers: losses by step and epoch, rate, gradients, weights, activations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from plateau_doctor.trials.arm import Arm, told
from plateau_doctor.trials.torch_evaluation import Tally

__all__ = ["Log"]


class Log:
    """The log of one training.

    Args:
        arm: Where problems are told.
        torch: The module.
        model: The module that is trained.
        optimizer: Its optimizer.
        folder: Where the log goes.
        first_step: Updates before; None for what the optimizer counts.
    """

    def __init__(
        self, arm: Arm, torch: Any, model: Any, optimizer: Any, folder: Path, first_step: int | None
    ) -> None:
        self._arm = arm
        self._losses: list[Any] = []  # of the present step
        self._roots: list[Any] = []  # what `backward` was called on, likewise
        self._calls, self._before_call, self._shared = 0, 0, False
        self._total: Any = 0.0
        self._count = 0
        self._tally = Tally(torch)
        self._loss_name: str | None = None
        self._described = bool(first_step)  # it goes on: the settings are known
        self._epoch: tuple[int, float | None, dict[str, float]] | None = None
        self._rate: float | None = None
        self._recorder: Any = None
        with told(arm, "only losses by epoch are logged"):
            from plateau_doctor.recorders.torch import Recorder

            package, trainer, _ = (arm.outcome.held_on or "").partition(".Trainer")
            known = {"framework": package} if trainer else {}
            self._recorder = Recorder(model, optimizer, folder, arm.order.every, True, first_step, **known)

    @property
    def off(self) -> bool:
        """Whether nothing can be written."""
        return self._recorder is None or bool(self._recorder.off)

    @property
    def step(self) -> int:
        """Steps of the model so far."""
        return 0 if self._recorder is None else int(self._recorder.step)

    def calling(self) -> None:
        """Take note that the model is being called, in training: what waits had no evaluation."""
        if self._epoch is not None:
            self.flush()
        self._calls += 1
        self._before_call = len(self._losses)

    def heard(self, name: str, guess: Any, target: Any, value: Any) -> None:
        """Take a training loss of (prediction, target)."""
        if value.numel() == 1:
            self._losses.append(value.detach())
            self._loss_name = name
        if hasattr(target, "detach"):
            self._tally.chosen(name, guess, target)

    def own_loss(self, value: Any, shared: bool) -> None:
        """Take the loss that the model's output carries, in place of those heard while it was called.

        `shared`: it is divided by the samples of all batches of the step already.
        """
        if value.numel() == 1:
            self._losses[self._before_call :] = [value.detach()]
            self._shared = shared

    def backward(self, value: Any) -> None:
        """Take what the script calls `backward` on: its loss, where it is none of `torch.nn.functional`."""
        if value.numel() == 1:
            self._roots.append(value.detach())

    def stepped(self, rate: float | None) -> None:
        """Take note of a step at this rate."""
        self._rate = rate
        value = self._of_step()
        if value is None:
            return
        self._total = self._total + value
        self._count += 1
        if self._recorder is not None:
            self._recorder.log(loss_step=value, learning_rate=rate)

    def epoch_over(self, epoch: int, steps: int, batch: int | None) -> None:
        """Take note of the end of an epoch; it is written with the evaluation that follows, if one does.

        Args:
            epoch: Its number in the script.
            steps: Steps in it.
            batch: Size of the loader's batches, where there is a loader.
        """
        self.flush()
        scores = {k: v for k, v in self._tally.scores().items() if k == "accuracy"}
        if not self._described and self._recorder is not None:
            self._described = True
            self._recorder.describe(**self._settings(steps), batch_size=batch)
        epoch -= self._arm.epochs_before
        self._epoch = (epoch, float(self._total) / self._count if self._count else None, scores)
        self._total, self._count = 0.0, 0
        self._tally.empty()

    def evaluated(self, loss: float, metrics: Mapping[str, float]) -> None:
        """Write the held-out loss and metrics with the epoch before them."""
        named = {name if "/" in name else f"val_{name}": value for name, value in metrics.items()}
        self.flush(val_loss=loss, **named)

    def flush(self, **values: float) -> None:
        """Write what waits, and these values."""
        epoch, loss, scores = self._epoch or (None, None, {})
        self._epoch = None
        if loss is not None:
            values["loss"] = loss
        values.update(scores)
        if values and self._recorder is not None:
            self._recorder.log(epoch=epoch, learning_rate=self._rate, **values)

    def close(self) -> None:
        """Write what waits and close the log."""
        self.flush()
        if self._recorder is not None:
            self._recorder.close()

    def _of_step(self) -> Any:
        """Return the loss of this step: the sum of its parts, the mean over the batches whose gradients add up."""
        parts = self._losses or self._roots
        batches = min(len(self._losses), self._calls) if self._losses and not self._shared else 1
        self._losses, self._roots, self._calls, self._before_call = [], [], 0, 0
        return sum(parts[1:], parts[0]) / max(1, batches) if parts else None

    def _settings(self, steps: int) -> dict[str, float | str | None]:
        counts = self._tally.counts
        told: dict[str, float | str | None] = {"steps_per_epoch": float(steps), "loss": self._loss_name}
        if counts is not None and counts.sum() > 0:
            samples = float(counts.sum())
            told |= {
                "samples": samples,
                "classes": float(np.count_nonzero(counts)),
                "majority_share": float(counts.max()) / samples,
            }
        return told

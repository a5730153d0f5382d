"""Records a Lightning training: what the module logs, learning rates, and the layers' gradients and activations.

    trainer = lightning.Trainer(callbacks=[plateau_doctor.recorders.lightning.Recorder("logs/run7")])

Gradients are those the optimizers are given: after Lightning's clipping, and without the factor of a gradient scaler;
the setting `gradients` says so. Works with `lightning` and `pytorch_lightning`, neither of which importing this module
imports: `Recorder` is made a callback of theirs when it is first asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plateau_doctor.recorders.later import Later
from plateau_doctor.recorders.mean import Mean
from plateau_doctor.recorders.tape import never_raises
from plateau_doctor.roles import role_of

__all__ = ["Recorder"]  # noqa: F822  # made by __getattr__

HOMES = ("lightning.pytorch", "pytorch_lightning")


class _Recorder(Later):
    """A Lightning callback; its arguments are those of `Later`."""

    def __init__(self, logdir: str | Path, *args: Any, **kwargs: Any) -> None:
        super().__init__(logdir, *args, **kwargs)
        self._train, self._held_out = Mean(), Mean()

    @never_raises
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Hang on the optimizers, in the first of several processes."""
        if not trainer.is_global_zero or not trainer.optimizers:
            return
        batches = trainer.num_training_batches
        self._begin(
            pl_module,
            list(trainer.optimizers),
            trainer.global_step // len(trainer.optimizers),
            framework="lightning",
            steps_per_epoch=float(batches // trainer.accumulate_grad_batches),
            clip_norm=float(trainer.gradient_clip_val or 0.0),
        )

    @never_raises
    def on_train_batch_end(self, trainer: Any, _: Any, outputs: Any, *__: Any, **___: Any) -> None:
        """Take the loss of a batch; Lightning has divided it by the batches that make a step."""
        loss = _loss_in(outputs)
        if self._recorder is None or loss is None:
            return
        loss = loss * trainer.accumulate_grad_batches
        self._train.add(loss)
        self._recorder.log(loss_step=loss)

    @never_raises
    def on_validation_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any, **__: Any) -> None:  # noqa: ARG002
        """Take what a validation step returned, in case that the module logs no validation loss."""
        loss = _loss_in(outputs)
        if self._recorder is not None and loss is not None:
            self._held_out.add(loss)

    @never_raises
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Write what was logged of held-out data."""
        if self._recorder is None or trainer.sanity_checking:
            return
        found = _named(trainer.callback_metrics, held_out=True)
        mean = self._held_out.taken()
        if mean is not None and not any(role_of(name)[0] == "val_loss" for name in found):
            found["val_loss"] = mean
        self._recorder.log(**found)

    @never_raises
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Write what was logged of training, with the epoch."""
        mean = self._train.taken()
        if self._recorder is not None:
            own = {} if mean is None else {"loss": mean}
            found = _named(trainer.callback_metrics, held_out=False)
            self._recorder.log(epoch=trainer.current_epoch + 1, **{**found, **own})

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Take the hooks off and close the file."""
        self._end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002
        """Do so too where the training breaks off."""
        self.on_train_end(trainer, pl_module)


def __getattr__(name: str) -> Any:
    """Make `Recorder` when it is first asked for: a callback of each Lightning that is imported, or installed."""
    if name != "Recorder":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    homes = [one for one in HOMES if one in sys.modules] or [_installed()]
    kinds = [importlib.import_module(home).Callback for home in homes]
    made = type("Recorder", (_Recorder, *kinds), {"__doc__": Later.__doc__, "__module__": __name__})
    globals()["Recorder"] = made
    return made


def _installed() -> str:
    found = (one for one in HOMES if importlib.util.find_spec(one.partition(".")[0]))
    return next(found, HOMES[0])  # importing the first says what is missing


def _loss_in(outputs: Any) -> Any:
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
    return loss if loss is not None and hasattr(loss, "detach") and loss.numel() == 1 else None


def _named(metrics: Mapping[str, Any], held_out: bool) -> dict[str, Any]:
    """Return the metrics of one side; `train_acc_epoch` is `acc`, and values of single steps are left out."""
    found = {}
    for name, value in metrics.items():
        role = role_of(name)[0] or ""
        if (role.startswith("val_") or role == "class_metric") == held_out and not name.endswith("_step"):
            found[name.removesuffix("_epoch").removeprefix("train_")] = value
    return found

"""Records a training by transformers' Trainer: losses, learning rates, and the layers' gradients and activations.

    trainer = transformers.Trainer(..., callbacks=[plateau_doctor.recorders.huggingface.Recorder("logs/run7")])

Gradients, their histograms and `gradient_norm` are those the optimizer is given: after the Trainer's clipping to
`max_grad_norm` (the setting `gradients` says so). The norm that the Trainer logs as `grad_norm` is the one before
clipping; it is written as `gradient_norm_before_clipping`. Importing this module does not import transformers:
`Recorder` is made a callback of theirs when it is first asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plateau_doctor.recorders.events import Setting
from plateau_doctor.recorders.hooks import Hook
from plateau_doctor.recorders.later import Later
from plateau_doctor.recorders.mean import Mean
from plateau_doctor.recorders.tape import never_raises

__all__ = ["Recorder"]  # noqa: F822  # made by __getattr__

CLOCKS = ("runtime", "per_second", "_time", "epoch", "num_tokens")  # in the names of what is no metric


class _Recorder(Later):
    """A transformers callback; its arguments are those of `Later`."""

    def __init__(self, logdir: str | Path, *args: Any, **kwargs: Any) -> None:
        super().__init__(logdir, *args, **kwargs)
        self._hook: Any = None
        self._parts: list[Any] = []  # losses of the batches of one step
        self._shared = False
        self._mean = Mean()

    @never_raises
    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ARG002
        """Hang on model and optimizer, in the first of several processes."""
        model, optimizer = given.get("model"), given.get("optimizer")
        if not state.is_world_process_zero or model is None or optimizer is None:
            return
        while hasattr(optimizer, "optimizer"):  # accelerate's, around torch's
            optimizer = optimizer.optimizer
        self._begin(model, optimizer, state.global_step, **_settings_of(args, given.get("train_dataloader")))
        self._hook = model.register_forward_hook(Hook(self._heard), with_kwargs=True)

    @never_raises
    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Take the loss of a step: over its batches, whose gradients were accumulated."""
        parts, self._parts = self._parts, []
        if self._recorder is None or not parts:
            return
        loss = sum(parts[1:], parts[0]) / (1 if self._shared else len(parts))
        self._mean.add(loss)
        self._recorder.log(loss_step=loss)

    @never_raises
    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Write the norm before clipping, and the loss where the model's output does not carry it."""
        if self._recorder is None or not logs or "loss" not in logs:
            return
        found = {"gradient_norm_before_clipping": logs["grad_norm"]} if "grad_norm" in logs else {}
        if self._mean.empty:
            found["loss"] = logs["loss"]
        self._recorder.log(epoch=state.epoch, **found)

    @never_raises
    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Write what the Trainer measured on held-out data."""
        found = {
            f"val_{name.removeprefix('eval_')}": value
            for name, value in (metrics or {}).items()
            if isinstance(value, (int, float)) and not any(clock in name for clock in CLOCKS)
        }
        if self._recorder is not None and found:
            self._recorder.log(epoch=state.epoch, **found)

    @never_raises
    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Write the mean loss of the epoch."""
        mean = self._mean.taken()
        if self._recorder is not None and mean is not None:
            self._recorder.log(epoch=state.epoch, loss=mean)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Take the hooks off and close the file."""
        if self._hook is not None:
            self._hook.remove()
        self._end()

    def _heard(self, module: Any, args: Any, kwargs: Mapping[str, Any], output: Any) -> None:  # noqa: ARG002
        loss = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
        if module.training and loss is not None and loss.numel() == 1:
            self._shared = "num_items_in_batch" in kwargs  # divided by the samples of the whole step
            self._parts.append(loss.detach())


def __getattr__(name: str) -> Any:
    """Make `Recorder` when it is first asked for: a callback of transformers."""
    if name != "Recorder":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    kind = importlib.import_module("transformers").TrainerCallback
    made = type("Recorder", (_Recorder, kind), {"__doc__": Later.__doc__, "__module__": __name__})
    globals()["Recorder"] = made
    return made


def _settings_of(args: Any, loader: Any) -> dict[str, Setting | None]:
    """Return the settings that the Trainer's arguments and its loader know."""
    steps = args.gradient_accumulation_steps
    samples = len(loader.dataset) if hasattr(getattr(loader, "dataset", None), "__len__") else None
    return {
        "framework": f"transformers {importlib.import_module('transformers').__version__}",
        "batch_size": float(args.train_batch_size * steps * args.world_size),
        "samples": None if samples is None else float(samples),
        "steps_per_epoch": float(len(loader) // steps) if hasattr(loader, "__len__") else None,
        "clip_norm": float(args.max_grad_norm or 0.0),
        "label_smoothing": float(args.label_smoothing_factor),
        "schedule": str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)),
    }

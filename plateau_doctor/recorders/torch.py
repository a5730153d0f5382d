"""Records a torch training: losses, learning rates, and the layers' gradients, weights and activations.

    with Recorder(model, optimizer, "logs/run7", batch_size=32) as recorder:
        for epoch in range(20):
            for x, y in batches:
                ...
                optimizer.step()
                recorder.log(loss_step=loss)
            recorder.log(epoch=epoch, loss=train_loss, val_loss=val_loss, val_accuracy=accuracy)

It hangs on the optimizer's step hooks, so gradients are those the optimizer is given: after clipping, and without
the factor of a gradient scaler. Between two records a step costs one comparison. It never raises into the training.
In a training of several processes the first one records. Importing this module does not import torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plateau_doctor.recorders.events import Setting
from plateau_doctor.recorders.held_out import class_scores
from plateau_doctor.recorders.hooks import Hook
from plateau_doctor.recorders.sample import Sample
from plateau_doctor.recorders.tape import Tape, due, loss_every, never_raises
from plateau_doctor.recorders.torch_model import (
    array_of,
    dead_share,
    fetched,
    first_layer,
    heard_at,
    kernels_of,
    norms_of,
    part_of,
    settings_of,
    steps_of,
)
from plateau_doctor.recorders.torch_update import Update

__all__ = ["Recorder"]


class Recorder:
    """Logs what a diagnosis needs from a training loop of one's own.

    Args:
        model: The module that is trained.
        optimizer: Its optimizer, called directly or by a gradient scaler; or several, of which the first one's
            steps are counted.
        logdir: Folder of the run; one event file is written into it.
        every: Steps between two records of gradients, weights and activations; at the start they are denser.
        histograms: Whether histograms are written, beside norms and ratios.
        first_step: Updates before this training, where it goes on from another; by default those that the state
            of the optimizer counts.
        settings: What only the script knows: `batch_size`, `samples`, `classes`, `steps_per_epoch` ...
    """

    off = False

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        logdir: str | Path,
        every: int = 50,
        histograms: bool = True,
        first_step: int | None = None,
        **settings: Setting,
    ) -> None:
        self._model = model
        self._optimizers = tuple(optimizer) if isinstance(optimizer, Sequence) else (optimizer,)
        self._every, self._histograms = max(1, every), histograms
        self._step = self._next_loss = self._epoch_began = first_step or 0
        self._loss_every = loss_every(settings.get("steps_per_epoch"))  # type: ignore[arg-type]
        self._counted = first_step is not None
        self._tape: Tape | None = None
        self._handles: list[Any] = []
        self._updates: dict[int, Update] = {}
        self._outputs: dict[str, Any] = {}  # samples of the outputs of layers, on their device
        self._sizes: dict[str, int] = {}
        self._dead: dict[str, Any] = {}
        self._told = settings
        self._start(logdir)

    @property
    def step(self) -> int:
        """Updates so far."""
        return self._step

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @never_raises
    def log(self, epoch: float | None = None, learning_rate: float | None = None, **values: Any) -> None:
        """Write numbers, or tensors of one element, at the present step.

        `val_loss` becomes `validation/loss`, `loss` becomes `train/loss`; a name with a slash is a tag as it is. A
        name that ends in `_step` may be given on every batch: every tenth is kept. The learning rate goes with all
        that is kept: the optimizer's own, if none is given.
        """
        fine = [name for name in values if name.endswith("_step")]
        numbers = {name: _number(value) for name, value in values.items() if name not in fine}
        if fine and self._step >= self._next_loss:
            self._next_loss = self._step + self._loss_every
            numbers |= {name: _number(values[name]) for name in fine}
        if epoch is not None and "steps_per_epoch" not in self._told and self._step > self._epoch_began:
            self._loss_every = loss_every(self._step - self._epoch_began)
            self._next_loss = min(self._next_loss, self._step + self._loss_every)
            self._epoch_began = self._step
        if numbers or epoch is not None:
            first, *others = self._rates()
            self._open().scalars(self._step, {f"rates/group_{i}": r for i, r in enumerate(others, 1)})
            self._open().epoch(self._step, epoch, first if learning_rate is None else learning_rate, numbers)

    @never_raises
    def log_classes(self, truth: Any, predicted: Any) -> None:
        """Write the held-out recall of each class, from whole numbers of shape (n,)."""
        self._open().scalars(self._step, class_scores(array_of(truth), array_of(predicted)))

    @never_raises
    def describe(self, **settings: Setting | None) -> None:
        """Write settings that became known later; None is left out."""
        self._open().settings(settings)

    def close(self) -> None:
        """Take the hooks off and close the file; closing twice does nothing."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if self._tape:
            self._tape.close()

    @never_raises
    def _start(self, logdir: str | Path) -> None:
        import torch

        self._torch = torch
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            self.off = torch.distributed.get_rank() > 0
        if self.off:
            return
        self._tape = Tape(logdir, self._histograms)
        framework = f"torch {torch.__version__}"
        self._tape.settings({**settings_of(self._model, self._optimizers[0], framework), **self._told})
        kernels = kernels_of(self._model)
        for one in self._optimizers:
            self._updates[id(one)] = Update(torch, one, kernels, self._step)
            self._handles.append(one.register_step_pre_hook(self._before_step))
            self._handles.append(one.register_step_post_hook(self._after_step))
        first = first_layer(self._model, kernels)
        if first is not None:
            self._input = first.register_forward_pre_hook(Hook(self._see_input))
            self._handles.append(self._input)
        for name, module, output in heard_at(self._model, kernels) if self._histograms else ():
            hang = module.register_forward_hook if output else module.register_forward_pre_hook
            self._handles.append(hang(self._hear(name)))

    def _open(self) -> Tape:
        if self._tape is None:
            raise RuntimeError("the recorder did not start")
        return self._tape

    def _rates(self) -> list[float]:
        return [float(group["lr"]) for one in self._optimizers for group in one.param_groups]

    @never_raises
    def _before_step(self, optimizer: Any, args: Any = (), kwargs: Any = None) -> None:
        if not self._counted:
            self._counted = True
            self._step = self._next_loss = self._epoch_began = max(self._step, steps_of(self._optimizers[0]))
            for one in self._updates.values():
                one.steps = self._step
        update = self._updates[id(optimizer)]
        update.begin(due(update.steps, self._every))
        update.rate = float(optimizer.param_groups[0]["lr"])
        update.whole = optimizer is self._optimizers[0] and (
            self._step % self._loss_every == 0 or update.recorded
        )
        update.closed = len(args) > 1 or "closure" in (kwargs or {})
        if not update.closed:  # a closure makes its gradients within the step
            update.take()

    @never_raises
    def _after_step(self, optimizer: Any, *_: object) -> None:
        update = self._updates[id(optimizer)]
        if update.closed:
            update.take()
        self._step += optimizer is self._optimizers[0]
        if update.whole:
            self._open().scalars(self._step, {"gradient_norm": update.norm, "learning_rate": update.rate})
        if update.recorded:
            self._open().layers(self._step, update.layers())
        if self._outputs and optimizer is self._optimizers[0]:
            self._write_activations()
        update.end()

    def _write_activations(self) -> None:
        outputs, dead = fetched(self._torch, (self._outputs, self._dead))
        samples = {name: Sample(values, self._sizes[name]) for name, values in outputs.items()}
        self._open().activations(self._step, samples, {name: float(share[0]) for name, share in dead.items()})
        self._outputs, self._dead = {}, {}

    def _see_input(self, module: Any, inputs: Any) -> None:
        if not self._torch.compiler.is_compiling() and module.training and inputs:
            self._input.remove()
            self._describe_input(inputs[0])

    @never_raises
    def _describe_input(self, given: Any) -> None:
        """Write the size of a batch, where nobody told it, and the scale of floats that the first layer is given."""
        if not hasattr(given, "is_floating_point") or not given.dim():
            return
        told = {"batch_size": float(len(given)), **self._told}
        scale = None
        if given.is_floating_point() and given.numel():
            norm = float(norms_of(self._torch, [given])[0])
            scale = float(f"{norm / math.sqrt(given.numel()):.6g}")  # float32 knows no more digits
        self._open().settings({"batch_size": told["batch_size"], "input_rms": scale})

    def _hear(self, name: str) -> Hook:
        @never_raises
        def heard(recorder: Recorder, values: Any) -> None:
            values, dead = values.detach(), dead_share(values.detach())
            recorder._outputs[name], recorder._sizes[name] = part_of(values), values.numel()
            if dead is not None:
                recorder._dead[name] = dead

        def hook(module: Any, inputs: Any, output: Any = None) -> None:
            if self._torch.compiler.is_compiling():  # a compiled model is left whole
                return
            if due(self._step, self._every) and module.training:
                heard(self, inputs[0] if output is None else output)

        return Hook(hook)


def _number(value: Any) -> float:
    return float(value.detach()) if hasattr(value, "detach") else float(value)

"""Records a torch training: losses, learning rate, and the layers' gradients, weights and activations.

    with Recorder(model, optimizer, "logs/run7", batch_size=32) as recorder:
        for epoch in range(20):
            for x, y in batches:
                ...
                optimizer.step()
                recorder.log(loss_step=loss)
            recorder.log(epoch=epoch, loss=train_loss, val_loss=val_loss, val_accuracy=accuracy)

It hangs on the optimizer's step hooks, so gradients are those the optimizer is given: after clipping. Between
two records a step costs one comparison. It never raises into the training. Importing this module does not
import torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from plateau_doctor.recorders.events import Setting
from plateau_doctor.recorders.held_out import class_scores
from plateau_doctor.recorders.tape import LOSS_EVERY, Layer, Tape, never_raises, place

__all__ = ["Recorder"]

BENDS = frozenset(
    "CELU ELU GELU Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid Mish PReLU ReLU ReLU6 RReLU SELU SiLU "
    "Sigmoid Softplus Softsign Tanh".split()
)
LARGEST_SAMPLE = 200_000  # values of one activation histogram


class Recorder:
    """Logs what a diagnosis needs from a training loop of one's own.

    Args:
        model: The module that is trained.
        optimizer: Its optimizer; called directly or by a gradient scaler.
        logdir: Folder of the run; one event file is written into it.
        every: Steps between two records of gradients, weights and activations.
        histograms: Whether histograms are written, beside norms and ratios.
        first_step: Updates before this training, where it goes on from another.
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
        first_step: int = 0,
        **settings: Setting,
    ) -> None:
        self._model, self._optimizer = model, optimizer
        self._every, self._histograms = max(1, every), histograms
        self._step = self._next_loss = first_step
        self._tape: Tape | None = None
        self._handles: list[Any] = []
        self._before: dict[str, np.ndarray] = {}
        self._gradients: dict[str, np.ndarray] = {}
        self._outputs: dict[str, np.ndarray] = {}
        self._start(logdir, settings)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @never_raises
    def log(self, epoch: float | None = None, learning_rate: float | None = None, **values: Any) -> None:
        """Write numbers, or tensors of one element, at the present step.

        `val_loss` becomes `validation/loss`, `loss` becomes `train/loss`. A name that ends in `_step` may be
        given on every batch: every tenth is kept. The learning rate goes with all that is kept: the
        optimizer's own, if none is given.
        """
        numbers = {name: _number(value) for name, value in values.items() if not name.endswith("_step")}
        if self._step >= self._next_loss:
            self._next_loss = self._step + LOSS_EVERY
            numbers |= {name: _number(value) for name, value in values.items() if name.endswith("_step")}
        if numbers or epoch is not None:
            rate = float(self._optimizer.param_groups[0]["lr"]) if learning_rate is None else learning_rate
            self._open().epoch(self._step, epoch, rate, numbers)

    @never_raises
    def log_classes(self, truth: Any, predicted: Any) -> None:
        """Write the held-out recall of each class, from whole numbers of shape (n,)."""
        self._open().scalars(self._step, class_scores(_array(truth), _array(predicted)))

    def close(self) -> None:
        """Take the hooks off and close the file; closing twice does nothing."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if self._tape:
            self._tape.close()

    @never_raises
    def _start(self, logdir: str | Path, settings: dict[str, Setting]) -> None:
        self._tape = Tape(logdir, self._histograms)
        self._tape.settings({**_settings_of(self._model, self._optimizer), **settings})
        self._kernels = _kernels_of(self._model)
        self._handles.append(self._optimizer.register_step_pre_hook(self._before_step))
        self._handles.append(self._optimizer.register_step_post_hook(self._after_step))
        if self._histograms:
            self._listen()

    def _open(self) -> Tape:
        if self._tape is None:
            raise RuntimeError("the recorder did not start")
        return self._tape

    @never_raises
    def _before_step(self, *_: object) -> None:
        if self._step % LOSS_EVERY == 0 or self._step % self._every == 0:
            self._open().scalars(self._step + 1, {"gradient_norm": _total_norm(self._optimizer)})
        if self._step % self._every == 0:
            self._before = {name: _array(kernel) for name, kernel in self._kernels.items()}
            slopes = {name: kernel.grad for name, kernel in self._kernels.items()}
            self._gradients = {name: _array(slope) for name, slope in slopes.items() if slope is not None}

    @never_raises
    def _after_step(self, *_: object) -> None:
        self._step += 1
        if not self._before:
            return
        before, self._before = self._before, {}
        layers = [Layer(n, self._gradients.get(n), b, _array(self._kernels[n])) for n, b in before.items()]
        self._open().layers(self._step, layers)
        if self._outputs:
            self._open().activations(self._step, self._outputs)
            self._outputs = {}

    def _listen(self) -> None:
        """Hook activation modules; in a model without any, the inputs of layers, which are what functions gave."""
        modules = [(_plain(path), module) for path, module in self._model.named_modules()]
        owners = list(dict.fromkeys(name.rpartition("/")[0] for name in self._kernels))
        last = place(0, len(owners), "input")
        bends = any(type(module).__name__ in BENDS for _, module in modules)
        for path, module in modules:
            own = next((o for o in owners if o.partition("_")[2] == path), None)
            if bends and type(module).__name__ in BENDS:
                name = f"{last.partition('_')[0]}_{path}"
                self._handles.append(module.register_forward_hook(self._hear(name)))
            elif not bends and own and own != owners[0]:
                self._handles.append(module.register_forward_pre_hook(self._hear(last)))
            last = own or last

    def _hear(self, name: str) -> Any:
        @never_raises
        def heard(recorder: Recorder, values: Any) -> None:
            flat = values.detach().reshape(-1)
            recorder._outputs[name] = _array(flat[:: max(1, flat.numel() // LARGEST_SAMPLE)])

        def hook(module: Any, inputs: Any, output: Any = None) -> None:
            if self._step % self._every == 0 and module.training:
                heard(self, inputs[0] if output is None else output)

        return hook


def _kernels_of(model: Any) -> dict[str, Any]:
    paths = {_plain(name): p for name, p in model.named_parameters() if p.requires_grad and p.dim() >= 2}
    owners = list(dict.fromkeys(path.rpartition(".")[0] for path in paths))
    named = {}
    for path, parameter in paths.items():
        owner, _, own = path.rpartition(".")
        named[f"{place(owners.index(owner), len(owners), owner or 'model')}/{own}"] = parameter
    return named


def _plain(path: str) -> str:
    """Return a module's path without what compiling and data parallelism put around the model."""
    return path.replace("_orig_mod.", "").removeprefix("module.")


def _total_norm(optimizer: Any) -> float | None:
    import torch

    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norms = [p.grad.detach().coalesce().values() if p.grad.is_sparse else p.grad.detach() for p in parameters]
    norms = [slope.float().norm() for slope in norms]
    return float(torch.stack([n.to(norms[0].device) for n in norms]).norm()) if norms else None


def _settings_of(model: Any, optimizer: Any) -> dict[str, Setting | None]:
    import torch

    group = optimizer.param_groups[0]
    rates = [float(m.p) for m in model.modules() if "Dropout" in type(m).__name__ and hasattr(m, "p")]
    return {
        "optimizer": type(optimizer).__name__.lower(),
        "learning_rate": float(group["lr"]),
        "momentum": float(group["momentum"]) if "momentum" in group else None,
        "weight_decay": float(group.get("weight_decay", 0.0)),
        "dropout": max(rates, default=0.0),
        "parameters": float(sum(p.numel() for p in model.parameters() if p.requires_grad)),
        "framework": f"torch {torch.__version__}",
    }


def _array(values: Any) -> np.ndarray:
    if not hasattr(values, "detach"):
        return np.asarray(values)
    values = values.detach().cpu()
    values = values.to_dense() if values.is_sparse else values
    return np.array(values.float().numpy() if values.is_floating_point() else values.numpy())


def _number(value: Any) -> float:
    return float(value.detach()) if hasattr(value, "detach") else float(value)

"""Records a Keras training: losses, learning rate, and the layers' gradients, weights and activations.

    model.fit(..., callbacks=[plateau_doctor.recorders.keras.Recorder("logs/run7")])

No Keras callback sees gradients, so the recorder wraps `optimizer.apply` while the training runs and keeps
the last gradients in variables beside the model; the optimizer is given back as it was. Gradients are those
before clipping. Importing this module does not import Keras.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from plateau_doctor.recorders.held_out import HeldOut, classes_in, majority_share
from plateau_doctor.recorders.keras_classes import Classes, classifies
from plateau_doctor.recorders.keras_gradients import Gradients, array
from plateau_doctor.recorders.keras_model import (
    activations_of,
    inner_optimizer,
    inputs_of,
    kernels_of,
    learning_rate_of,
    mean_loss,
    rescales,
    settings_of,
)
from plateau_doctor.recorders.sample import dead_units, norm_of_values, sampled
from plateau_doctor.recorders.tape import Layer, Tape, loss_every, never_raises, next_due, or_none

__all__ = ["Recorder"]

Logs = Mapping[str, float] | None


class Recorder:
    """A Keras callback that logs what a diagnosis needs.

    Args:
        logdir: Folder of the run; one event file is written into it.
        every: Steps between two records of gradients and weights; at the start they are denser.
        histograms: Whether histograms are written, beside norms and ratios.
        validation_data: (inputs, labels), or batches of such pairs. With it, activations and the scale of the
            inputs are recorded and, for a classifier that `fit` does not evaluate, the recall of each class after
            each epoch; elsewhere that is taken from the evaluation that `fit` makes.
        labels: The training labels, shape (n,) or one-hot (n, classes): their number, classes and majority
            share become settings; else they are counted as they pass.
        first_step: Updates before this training, where it goes on from another; by default those that its
            optimizer counts.
        first_epoch: Epochs before it.
    """

    model: Any  # the Keras callback's own property
    params: Any
    off = False

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Recorder:
        """Make it a `keras.callbacks.Callback` too; Keras is imported here and no earlier."""
        made: Recorder = object.__new__(_as_callback(cls))
        return made

    def __init__(
        self,
        logdir: str | Path,
        every: int = 50,
        histograms: bool = True,
        validation_data: Any = None,
        labels: Any = None,
        first_step: int | None = None,
        first_epoch: int = 0,
    ) -> None:
        super().__init__()
        self._logdir, self._every, self._histograms = logdir, max(1, every), histograms
        self._validation, self._labels = validation_data, labels
        self._first_step, self._first_epoch = first_step, first_epoch
        self._tape: Tape | None = None
        self._gradients: Gradients | None = None
        self._classes: Classes | None = None

    @property
    def step(self) -> int:
        """Updates so far."""
        return getattr(self, "_step", 0)

    @never_raises
    def on_train_begin(self, logs: Logs = None) -> None:  # noqa: ARG002
        """Open the file and wrap the optimizer."""
        self._tape = Tape(self._logdir, self._histograms)
        counted = int(array(inner_optimizer(self.model).iterations))
        self._step = counted if self._first_step is None else self._first_step
        self._next = self._next_loss = self._step
        self._loss_every = loss_every((self.params or {}).get("steps"))
        self._next_activations = self._step
        self._before: dict[str, np.ndarray] = {}
        self._kernels: dict[str, Any] = {}
        self._probe: Any = None
        self._mean_loss: Any = None
        self._seen: tuple[float, float] | None = None
        self._rate, self._told = learning_rate_of(self.model), False
        self._held_out: HeldOut | None = None
        self._scores: dict[str, float] = {}
        self._counted = self._labels is not None
        self._attached = False
        self._attach()

    @never_raises
    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:  # noqa: ARG002
        """Keep the weights as they are, where this step is one to record."""
        self._batch = batch
        self._attach()
        if self._step >= min(self._next_loss, self._next):
            self._sync()
            self._seen = self._loss_so_far()
            if self._gradients:
                self._gradients.expect(True)
        if self._step >= self._next:
            self._before = {n: sampled(array(kernel)).values for n, kernel in self._kernels.items()}

    @never_raises
    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:  # noqa: ARG002
        """Write the batch's loss, and the layers around its update, where the step is due."""
        tape, steps = self._open(), batch - self._batch + 1
        self._step += steps
        if self._seen is not None or self._before:
            self._sync()
            if self._gradients:
                self._gradients.expect(False)
        if self._seen is not None:
            self._rate = learning_rate_of(self.model)
            self._write_batch(tape, *self._seen)
            self._seen, self._next_loss = None, self._step + self._loss_every - steps
        if self._before:
            tape.layers(self._step, self._layers(steps))
            self._before, self._next = {}, next_due(self._step, self._every)

    @never_raises
    def on_test_begin(self, logs: Logs = None) -> None:  # noqa: ARG002
        """Count the classes of this evaluation."""
        if self._classes:
            self._classes.begin_evaluation()

    @never_raises
    def on_test_end(self, logs: Logs = None) -> None:  # noqa: ARG002
        """Take them, before another callback evaluates something else."""
        self._scores = self._classes.scores() if self._classes else {}

    @never_raises
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write what Keras reports, the recall of each class, and the activations."""
        tape = self._open()
        rates = ("learning_rate", "lr")  # other callbacks put the rate there
        values = {name: float(v) for name, v in (logs or {}).items() if name not in rates and np.ndim(v) == 0}
        held_out = self._held_out
        scores, self._scores = self._scores, {}
        if held_out and not scores:
            found = or_none("recall", held_out.scores)
            scores, self._held_out = found or {}, None if found is None else held_out
        self._tell_counts(tape)
        tape.epoch(self._step, self._first_epoch + epoch + 1, self._rate, values, scores)
        if self._probe and held_out and self._step >= self._next_activations:
            outputs = {name: array(out) for name, out in self._probe(held_out.probe).items()}
            dead = {name: dead_units(out) for name, out in outputs.items()}
            tape.activations(self._step, {name: sampled(out) for name, out in outputs.items()}, dead)
            self._next_activations = self._step + 2 * self._every  # they cost a call of the model

    def on_train_end(self, logs: Logs = None) -> None:  # noqa: ARG002
        """Give the optimizer back as it was and close the file."""
        for part in (self._gradients, self._classes):
            with contextlib.suppress(Exception):
                if part:
                    part.release()
        self._gradients = self._classes = None
        if self._tape:
            self._tape.close()

    def _attach(self) -> None:
        """Take hold of the layers as soon as there are any: a subclassed model makes them in its first batch."""
        if self._attached or not self.model.trainable_variables:
            return
        self._attached = True
        self._kernels = kernels_of(self.model)
        self._gradients = or_none("gradients", lambda: Gradients(self.model, self._kernels))
        if classifies(self.model):
            self._classes = or_none("classes", lambda: Classes(self.model))
        if self._validation is not None:
            self._held_out = or_none("recall", lambda: HeldOut(self._validation, self.model))
        if self._held_out and self._histograms:
            self._probe = or_none("activations", self._make_probe)

    def _sync(self) -> None:
        """Have JAX put what it trains back into the model, which it leaves empty within an epoch."""
        sync = getattr(self.model, "jax_state_sync", None)
        if sync is not None:
            sync()

    def _open(self) -> Tape:
        if self._tape is None:
            raise RuntimeError("on_train_begin was not called")
        return self._tape

    def _write_batch(self, tape: Tape, loss: float, samples: float) -> None:
        total = self._loss_so_far()
        if total is None or total[1] <= samples:
            return
        size = total[1] - samples
        norm = self._gradients.total() if self._gradients else None
        tape.scalars(self._step, {"train/loss_step": (total[0] - loss) / size, "gradient_norm": norm})
        if not self._told:
            self._told = True
            tape.settings(self._settings(size))

    def _tell_counts(self, tape: Tape) -> None:
        """Write what the first epoch told of the training labels, where nobody gave them."""
        counts = self._classes.trained if self._classes and not self._counted else np.zeros(0)
        if counts.sum() > 0:
            self._counted = True
            tape.settings(
                {
                    "samples": float(counts.sum()),
                    "classes": float(np.count_nonzero(counts)),
                    "majority_share": float(counts.max() / counts.sum()),
                }
            )

    def _loss_so_far(self) -> tuple[float, float] | None:
        """Return the sum of losses and the number of samples of this epoch; Keras reports only their ratio."""
        if self._mean_loss is None:
            self._mean_loss = mean_loss(self.model)
        mean = self._mean_loss
        return None if mean is None else (float(array(mean.total)), float(array(mean.count)))

    def _layers(self, steps: int) -> list[Layer]:
        found = self._gradients.read() if self._gradients else {}
        layers = []
        for name, kernel in self._kernels.items():
            weights = array(kernel)
            slope, slope_norm = found.get(name, (None, None))
            norm, before = norm_of_values(weights), self._before[name]
            layers.append(Layer(name, sampled(weights), norm, before, slope, slope_norm, steps))
        return layers

    def _make_probe(self) -> Any:
        import keras

        outputs = activations_of(self.model)
        return keras.Model(inputs_of(self.model), outputs) if outputs else None

    def _settings(self, batch_size: float) -> dict[str, float | str | bool | None]:
        import keras

        steps = (self.params or {}).get("steps")
        known = classes_in(self._labels) if self._labels is not None else None
        return {
            **settings_of(self.model),
            "framework": f"keras {keras.__version__} ({keras.backend.backend()})",
            "batch_size": batch_size,
            "input_rms": self._held_out.input_rms if self._held_out and not rescales(self.model) else None,
            "steps_per_epoch": None if steps is None else float(steps),
            "samples": None if self._labels is None else float(len(self._labels)),
            "classes": None if known is None else float(len(np.unique(known))),
            "majority_share": None if known is None else majority_share(known),
        }


def _as_callback(cls: type[Recorder]) -> type[Recorder]:
    import keras

    return type(cls.__name__, (cls, keras.callbacks.Callback), {"__module__": cls.__module__})

"""Wraps Keras 3 in a trial's child: `Model.compile`, `fit` and `evaluate`, on every back-end.

Each `fit` of the script is a phase. Epochs and steps are capped over all of them; the knobs of the order are
turned in each. After a phase the model is scored on the phase's held-out data. A phase that reaches the cap
ends the script (`Arm.leave`), unless there was no held-out data yet: then `fit` returns as usual, and the
script goes on until it evaluates, which is scored, or until it trains again. So once `Outcome.ended` is "cap",
the exit code of the script says nothing.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any

from plateau_doctor.recorders.held_out import classes_in
from plateau_doctor.trials.arm import Arm, told
from plateau_doctor.trials.keras_backbone import FROZEN, SLOWER, Backbone
from plateau_doctor.trials.keras_compile import Compiling
from plateau_doctor.trials.keras_data import Phase
from plateau_doctor.trials.keras_layers import Layers, statistics_of
from plateau_doctor.trials.keras_rates import rates_for
from plateau_doctor.trials.keras_score import Scoring, fingerprint

__all__ = ["CAN", "CANNOT", "Training", "around", "counter", "wrap"]

GRAPH = "Sequential and functional models"
CAN = {  # knob -> where
    "learning_rate": "any optimizer",
    "learning_rate_scale": "any optimizer; schedules and LearningRateScheduler are scaled",
    "schedule": "any optimizer; in place of the script's own, but for warm_up",
    "optimizer": "any optimizer",
    "clip_norm": "any optimizer, over all layers",
    "batch_size_scale": "arrays and tf.data",
    "weight_decay": "any optimizer, decoupled",
    "weight_decay_scale": "weight decay of the optimizer, L1 and L2 penalties",
    "dropout": f"dropout layers; put in before the last layer of {GRAPH} without any",
    "dropout_scale": "dropout layers",
    "batch_normalization": GRAPH,
    "skip_connections": f"{GRAPH}, around layers that keep the sides of what they are given",
    "activation": f"activation functions of layers; activation layers of {GRAPH}",
    "initializer": "dense and convolutional layers",
    "width_scale": GRAPH,
    "class_weights": "labels as an array or in tf.data",
    "label_smoothing": "cross-entropies of Keras",
    "normalize_inputs": f"{GRAPH} on one array or tf.data",
    "shuffle": "arrays that the script does not shuffle, and tf.data",
    "augmentation": f"{GRAPH} of images",
    "backbone": f"{GRAPH} of images, given --weights: a .keras model, or weights of a keras.applications network",
    "unfreeze_last": "with a backbone",
    "train_all_layers": "models of every kind",
    "early_stopping_patience": "any training",
}
CANNOT: dict[str, str] = {}


def wrap(arm: Arm, keras: Any) -> None:
    """Wrap `keras.Model`; models of every kind inherit it."""
    training = Training(arm, keras)
    for name in ("compile", "fit", "evaluate"):
        around(keras.Model, name, getattr(training, name))


def around(kind: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Replace a method of a class by `wrapper`, which is given the method itself first."""
    original = getattr(kind, name)

    @wraps(original)
    def around(model: Any, *args: Any, **kwargs: Any) -> Any:
        return wrapper(original, model, *args, **kwargs)

    setattr(kind, name, around)


class Training:
    """What goes on around the methods of all models of the script."""

    def __init__(self, arm: Arm, keras: Any) -> None:
        self._arm, self._keras = arm, keras
        self._compiling = Compiling(arm, keras)
        self._scoring = Scoring(arm, keras, self._compiling)
        self._layers, self._backbone = Layers(arm, keras), Backbone(arm, keras)
        self._turned: weakref.WeakSet[Any] = weakref.WeakSet()
        self._split = False
        self._local = threading.local()
        self._phases = 0

    def compile(self, original: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Compile as the script says, with the knobs of optimizer and loss turned."""
        if self._inside:
            return original(model, *args, **kwargs)
        with self._being_inside():
            return self._compiling.compile(original, model, args, kwargs)

    def fit(self, original: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Train one phase."""
        if self._inside:
            return original(model, *args, **kwargs)
        if self._arm.at_cap:
            self._arm.leave()
        self._arm.hold_on("keras.Model.fit")
        self._phases += 1
        given = inspect.signature(original).bind(model, *args, **kwargs)
        with self._being_inside():
            phase = Phase(self._arm, self._keras, given.arguments)
            with told(self._arm, "the change could not be made"):
                self._turn(model, phase)
            options = self._options(phase)
            history = self._train(original, model, options)
            with told(self._arm, "no score"):
                self._finish(model, phase)
        if self._arm.at_cap and self._arm.scored:
            self._arm.leave()
        return history

    def evaluate(self, original: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Evaluate as the script says; a model that had no held-out data so far is scored on these."""
        result = original(model, *args, **kwargs)
        if self._inside or self._arm.scored or not self._phases:
            return result
        given = inspect.signature(original).bind(model, *args, **kwargs).arguments
        with self._being_inside(), told(self._arm, "no score"):
            held_out = (given.get("x"), given.get("y"), given.get("sample_weight"))
            self._scoring.score(model, held_out, given.get("batch_size"), "what the script evaluated")
        if self._arm.at_cap and self._arm.scored:
            self._arm.leave()
        return result

    def _turn(self, model: Any, phase: Phase) -> None:
        """Turn the knobs that need the data or the layers; those of the layers once for each model."""
        phase.turn()
        if model in self._turned or not self._arm.knobs:
            return
        self._turned.add(model)
        inputs = phase.some_inputs()
        if not model.built and inputs is not None:
            model.build((None, *inputs.shape[1:]))
        statistics = statistics_of(inputs) if inputs is not None and inputs.dtype.kind in "fiu" else None
        again = self._layers.turn(model, statistics)
        if self._arm.change.backbone is not None:
            self._split = self._backbone.put_into(model)
            again = again or self._split
        if again:
            self._compiling.again(model)

    def _train(self, original: Any, model: Any, options: dict[str, Any]) -> Any:
        """Train the phase: in one go, or first with a frozen backbone and then with its last layers free."""
        first, epochs = options.get("initial_epoch") or 0, options["epochs"]
        half = first + max(1, round((epochs - first) * FROZEN))
        if not self._split or not self._arm.change.unfreeze_last or half >= epochs:
            return original(**options)
        self._split = False
        before = original(**{**options, "epochs": half})
        if self._arm.at_cap:
            return before
        self._backbone.unfreeze()
        self._compiling.again(model, SLOWER)
        after = original(**{**options, "initial_epoch": half})
        after.history = {name: before.history.get(name, []) + v for name, v in after.history.items()}
        after.epoch = before.epoch + after.epoch
        return after

    def _options(self, phase: Phase) -> dict[str, Any]:
        """Return the arguments of `fit`, with the cap and our callbacks."""
        options = phase.options
        first = options.get("initial_epoch") or 0
        epochs = options.get("epochs", 1)
        left = self._arm.epochs_left
        options["epochs"] = epochs if left is None else min(epochs, first + left)
        ours: list[Any] = []
        with told(self._arm, "no schedule"):
            ours += rates_for(self._arm, self._keras, phase)
        with told(self._arm, "no logs"):
            ours.append(self._recorder(phase))
        ours.append(counter(self._keras, self._arm))
        phase.add_callbacks(ours)
        return options

    def _recorder(self, phase: Phase) -> Any:
        folder = self._arm.logs()
        try:
            from plateau_doctor.recorders.keras import Recorder
        except ImportError as error:  # tensorboard is not in this environment
            self._arm.add("problems", f"only losses are logged: {error}")
            folder.mkdir(parents=True, exist_ok=True)
            return self._keras.callbacks.CSVLogger(str(folder / "history.csv"), append=self._phases > 1)
        held_out, labels = phase.held_out, phase.labels
        return Recorder(
            folder,
            validation_data=held_out[:2] if held_out is not None and held_out[1] is not None else None,
            labels=labels if labels is not None and classes_in(labels) is not None else None,
            first_step=self._arm.steps,
            first_epoch=self._arm.outcome.epochs,
        )

    def _finish(self, model: Any, phase: Phase) -> None:
        self._arm.tell(fingerprint=fingerprint(model))
        if phase.held_out is not None:
            name = "held-out data" if self._phases == 1 else f"held-out data of phase {self._phases}"
            self._scoring.score(model, phase.held_out, phase.held_out_batch, name)
        elif not self._arm.scored:
            self._arm.tell(scored_on="nothing: fit was given no validation data and nothing was evaluated")
        self._arm.write()

    @property
    def _inside(self) -> bool:
        return getattr(self._local, "inside", False)

    @contextlib.contextmanager
    def _being_inside(self) -> Iterator[None]:
        self._local.inside = True
        try:
            yield
        finally:
            self._local.inside = False


@dataclass
class _Count:
    """Steps and epochs of one phase, as Keras calls back."""

    arm: Arm
    begun: int = 0

    def batch_begin(self, batch: int) -> None:
        self.begun = batch
        self.arm.begin()

    def batch_end(self, batch: int) -> bool:
        self.arm.stepped(batch - self.begun + 1)
        return self.arm.steps_left == 0

    def epoch_end(self) -> None:
        self.arm.tell(epochs=self.arm.outcome.epochs + 1)
        self.arm.write()


def counter(keras: Any, arm: Arm) -> Any:
    """Return a callback that counts steps and epochs, and stops at the cap of steps."""
    count = _Count(arm)

    class Counter(keras.callbacks.Callback):  # type: ignore[misc]
        """Counts, and stops the training at the cap of steps."""

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            count.batch_begin(batch)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            if count.batch_end(batch):
                self.model.stop_training = True

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            count.epoch_end()

    return Counter()

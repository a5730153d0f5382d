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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

from plateau_doctor.recorders.held_out import classes_in
from plateau_doctor.trials.arm import Arm, told
from plateau_doctor.trials.keras_compile import Compiling
from plateau_doctor.trials.keras_data import Phase
from plateau_doctor.trials.keras_rates import rates_for
from plateau_doctor.trials.keras_score import Scoring, fingerprint
from plateau_doctor.trials.saving import SAVED

__all__ = ["LOGS", "wrap"]

LOGS = "logs"
assert SAVED != LOGS


def wrap(arm: Arm, keras: Any) -> None:
    """Wrap `keras.Model`; models of every kind inherit it."""
    training = _Training(arm, keras)
    for name in ("compile", "fit", "evaluate"):
        _around(keras.Model, name, getattr(training, name))


def _around(kind: Any, name: str, wrapper: Callable[..., Any]) -> None:
    original = getattr(kind, name)

    @wraps(original)
    def around(model: Any, *args: Any, **kwargs: Any) -> Any:
        return wrapper(original, model, *args, **kwargs)

    setattr(kind, name, around)


class _Training:
    """What goes on around the methods of all models of the script."""

    def __init__(self, arm: Arm, keras: Any) -> None:
        self._arm, self._keras = arm, keras
        self._compiling = Compiling(arm, keras)
        self._scoring = Scoring(arm, keras, self._compiling)
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
            history = original(**options)
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
        """Turn the knobs that need the data or the layers."""
        phase.turn(self._compiling.original_of(model))

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
        ours.append(_counter(self._keras, self._arm))
        phase.add_callbacks(ours)
        return options

    def _recorder(self, phase: Phase) -> Any:
        folder = Path(self._arm.order.folder) / LOGS
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
            first_step=self._arm.outcome.steps,
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


def _counter(keras: Any, arm: Arm) -> Any:
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

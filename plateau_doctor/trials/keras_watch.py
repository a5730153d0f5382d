"""Records the Keras trainings of a script that is only watched: a recorder beside the script's own callbacks."""

from __future__ import annotations

import inspect
import threading
from typing import Any

from plateau_doctor.recorders.held_out import classes_in
from plateau_doctor.trials.arm import Arm, told
from plateau_doctor.trials.keras import around, counter
from plateau_doctor.trials.keras_data import Phase

__all__ = ["wrap"]


def wrap(arm: Arm, keras: Any) -> None:
    """Wrap `keras.Model.fit`; models of every kind inherit it."""
    around(keras.Model, "fit", Watch(arm, keras).fit)


class Watch:
    """What goes on around `fit`; each model is a run of its own, and fitted again it goes on.

    Args:
        arm: Where it is told.
        keras: The module.
    """

    def __init__(self, arm: Arm, keras: Any) -> None:
        self._arm, self._keras = arm, keras
        self._local = threading.local()
        self._model: Any = None
        self._recorder: Any = None
        self._epochs = 0  # before the present model

    def fit(self, original: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Fit as the script says, with a recorder."""
        if getattr(self._local, "inside", False):  # a model may fit others as it is fitted
            return original(model, *args, **kwargs)
        phase, ours = None, []
        with told(self._arm, "this fit is not recorded"):
            self._arm.hold_on("keras.Model.fit")
            given = inspect.signature(original).bind(model, *args, **kwargs).arguments
            phase = Phase(self._arm, self._keras, given)
            ours = [self._recorded(model, phase), counter(self._keras, self._arm)]
            phase.add_callbacks(ours)
        if not ours or phase is None:
            return original(model, *args, **kwargs)
        self._local.inside = True
        try:
            return original(**phase.options)
        finally:
            self._local.inside = False
            phase.drop_callbacks(ours)

    def _recorded(self, model: Any, phase: Phase) -> Any:
        from plateau_doctor.recorders.keras import Recorder

        another = model is not self._model
        if another:
            self._model, self._epochs = model, self._arm.outcome.epochs
        done = self._arm.outcome.epochs - self._epochs
        labels = phase.labels
        self._recorder = Recorder(
            self._arm.logs(another),
            every=self._arm.order.every,
            validation_data=_held_out(phase),
            labels=labels if labels is not None and classes_in(labels) is not None else None,
            first_step=None if another else self._recorder.step,
            first_epoch=max(0, done - (phase.options.get("initial_epoch") or 0)),
        )
        return self._recorder


def _held_out(phase: Phase) -> Any:
    """Return held-out (inputs, labels), or batches of them that can be gone through without moving anything.

    That is no generator, and no tf.data set: its shuffling is often one with that of the training.
    """
    if phase.held_out is None:
        return None
    inputs, labels, _ = phase.held_out
    if labels is not None:
        return inputs, labels
    indexed = hasattr(inputs, "__getitem__") and hasattr(inputs, "__len__")
    loader = hasattr(inputs, "batch_sampler") and not getattr(inputs, "num_workers", 0)
    return inputs if indexed or loader else None

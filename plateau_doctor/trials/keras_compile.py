"""Turns the knobs of a Keras model that lie in `compile`: optimizer, rate, clipping, decay, loss.

What the script compiled is kept aside, since every arm is scored by it.
"""

from __future__ import annotations

import inspect
import weakref
from dataclasses import dataclass
from typing import Any

from plateau_doctor.trials.arm import Arm, told

__all__ = ["Compiled", "Compiling"]

OPTIMIZERS = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop"}


@dataclass(frozen=True)
class Compiled:
    """What the script gave to `compile`, whole.

    Attributes:
        options: The arguments by name.
        arguments: The arguments as they went on, with the knobs turned.
    """

    options: dict[str, Any]
    arguments: dict[str, Any]


class Compiling:
    """Compiles with the knobs turned.

    Args:
        arm: Whose change is made, and where it is told.
        keras: The module.
    """

    def __init__(self, arm: Arm, keras: Any) -> None:
        self._arm, self._keras = arm, keras
        self._known: weakref.WeakKeyDictionary[Any, Compiled] = weakref.WeakKeyDictionary()

    def original_of(self, model: Any) -> Compiled:
        """Return what the script compiled this model with; nothing in it for one that was loaded compiled."""
        return self._known.get(model, Compiled({}, {}))

    def compile(self, original: Any, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call `original`, the unwrapped method, with the knobs turned."""
        given = dict(inspect.signature(original).bind(model, *args, **kwargs).arguments)
        given.pop("self", None)
        given.update(given.pop("kwargs", {}))
        options = dict(given)
        if self._arm.knobs:
            with told(self._arm, "the change could not be made at compile"):
                self._turn(given)
        self._known[model] = Compiled(options, given)
        return original(model, **given)

    def again(self, model: Any, times: float = 1.0) -> None:
        """Compile a model that was changed, as it was compiled, with a fresh optimizer at its rate `times` this."""
        given = dict(self.original_of(model).arguments)
        optimizer = self._keras.optimizers.get(given.get("optimizer", "rmsprop"))
        rate = _rate(optimizer)
        changed = {} if callable(rate) else {"learning_rate": rate * times}
        model.compile(**{**given, "optimizer": self._with(optimizer, **changed)})

    def _turn(self, given: dict[str, Any]) -> None:
        change, arm = self._arm.change, self._arm
        optimizer = self._keras.optimizers.get(given.get("optimizer", "rmsprop"))
        if change.optimizer is not None:
            optimizer = self._other(optimizer, change.optimizer)
        if change.learning_rate is not None:
            arm.applied("learning_rate", f"{_told_rate(optimizer)} -> {change.learning_rate:.4g}")
            optimizer = self._with(optimizer, learning_rate=change.learning_rate)
        if change.learning_rate_scale is not None:
            optimizer = self._scaled(optimizer, change.learning_rate_scale)
        if change.clip_norm is not None:
            arm.applied("clip_norm", f"gradients over all layers to a norm of at most {change.clip_norm:g}")
            clip = {"global_clipnorm": change.clip_norm, "clipnorm": None, "clipvalue": None}
            optimizer = self._with(optimizer, **clip)
        if change.schedule is not None and callable(_rate(optimizer)):
            optimizer = self._with(optimizer, learning_rate=float(_rate(optimizer)(0)))
        if change.weight_decay is not None:
            arm.applied("weight_decay", f"{optimizer.weight_decay or 0:g} -> {change.weight_decay:g}")
            optimizer = self._with(optimizer, weight_decay=change.weight_decay)
        if change.weight_decay_scale is not None and optimizer.weight_decay:
            new = optimizer.weight_decay * change.weight_decay_scale
            arm.applied("weight_decay_scale", f"{optimizer.weight_decay:g} -> {new:g}")
            optimizer = self._with(optimizer, weight_decay=new)
        given["optimizer"] = optimizer
        if change.label_smoothing is not None:
            given["loss"] = self._smoothed(given.get("loss"), change.label_smoothing)

    def _other(self, old: Any, name: str) -> Any:
        """Return an optimizer of another kind at the same rate."""
        kind = getattr(self._keras.optimizers, OPTIMIZERS[name])
        config = old.get_config()
        kept = {k: config[k] for k in ("global_clipnorm", "clipnorm", "clipvalue") if config.get(k)}
        self._arm.applied("optimizer", f"{type(old).__name__} -> {kind.__name__}")
        return kind(learning_rate=_rate(old), **kept)

    def _smoothed(self, loss: Any, share: float) -> Any:
        """Return a cross-entropy with smoothed labels; any other loss as it is."""
        found = self._keras.losses.get(loss) if isinstance(loss, str) else loss
        name = str(getattr(found, "name", None) or getattr(found, "__name__", "")).lower()
        logits = bool(getattr(found, "from_logits", False))
        if name == "sparse_categorical_crossentropy":
            new = _smoothed_classes(self._keras, share, logits)
        elif name in ("categorical_crossentropy", "binary_crossentropy"):
            kind = "CategoricalCrossentropy" if name[0] == "c" else "BinaryCrossentropy"
            new = getattr(self._keras.losses, kind)(from_logits=logits, label_smoothing=share)
        else:
            self._arm.not_testable("label_smoothing", "the loss is not a cross-entropy that Keras brings")
            return loss
        self._arm.applied("label_smoothing", f"{share:g} in {name}")
        return new

    def _with(self, optimizer: Any, **values: Any) -> Any:
        """Return an optimizer of the same kind and settings, but for these."""
        config = {**optimizer.get_config(), **values}
        return type(optimizer).from_config(config)

    def _scaled(self, optimizer: Any, scale: float) -> Any:
        rate = _rate(optimizer)
        told_rate = _told_rate(optimizer)
        if callable(rate):
            new: Any = scaled_schedule(self._keras, rate, scale)
            self._arm.applied("learning_rate_scale", f"the script's {type(rate).__name__} times {scale:g}")
        else:
            new = rate * scale
            self._arm.applied("learning_rate_scale", f"{told_rate} -> {new:.4g}")
        return self._with(optimizer, learning_rate=new)


def scaled_schedule(keras: Any, schedule: Any, scale: float) -> Any:
    """Return a Keras schedule that is `scale` times another."""

    class Scaled(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
        def __call__(self, step: Any) -> Any:
            return schedule(step) * scale

        def get_config(self) -> dict[str, Any]:
            config: dict[str, Any] = schedule.get_config()
            return config

    return Scaled()


def _smoothed_classes(keras: Any, share: float, logits: bool) -> Any:
    """Return a loss for whole-number labels that smooths them."""

    def smoothed_crossentropy(y_true: Any, y_pred: Any) -> Any:
        classes = y_pred.shape[-1]
        labels = keras.ops.cast(keras.ops.reshape(y_true, keras.ops.shape(y_pred)[:-1]), "int32")
        target = keras.ops.one_hot(labels, classes) * (1 - share) + share / classes
        return keras.ops.categorical_crossentropy(target, y_pred, from_logits=logits)

    return smoothed_crossentropy


def _rate(optimizer: Any) -> Any:
    """Return the rate as it was given: a number, or a schedule."""
    rate = getattr(optimizer, "_learning_rate", optimizer.learning_rate)
    return rate if callable(rate) and not hasattr(rate, "assign") else float(f"{float(rate):.7g}")


def _told_rate(optimizer: Any) -> str:
    rate = _rate(optimizer)
    return type(rate).__name__ if callable(rate) else f"{rate:.4g}"

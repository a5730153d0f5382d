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

    def again(self, original: Any, model: Any) -> None:
        """Compile a model that was rebuilt, as it was compiled, with a fresh optimizer."""
        given = dict(self.original_of(model).arguments)
        optimizer = given.get("optimizer")
        if optimizer is not None and not isinstance(optimizer, str):
            given["optimizer"] = self._with(optimizer)
        original(model, **given)

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
        given["optimizer"] = optimizer

    def _other(self, old: Any, name: str) -> Any:
        """Return an optimizer of another kind at the same rate."""
        kind = getattr(self._keras.optimizers, OPTIMIZERS[name])
        config = old.get_config()
        kept = {k: config[k] for k in ("global_clipnorm", "clipnorm", "clipvalue") if config.get(k)}
        self._arm.applied("optimizer", f"{type(old).__name__} -> {kind.__name__}")
        return kind(learning_rate=_rate(old), **kept)

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


def _rate(optimizer: Any) -> Any:
    """Return the rate as it was given: a number, or a schedule."""
    rate = getattr(optimizer, "_learning_rate", optimizer.learning_rate)
    return rate if callable(rate) and not hasattr(rate, "assign") else float(f"{float(rate):.7g}")


def _told_rate(optimizer: Any) -> str:
    rate = _rate(optimizer)
    return type(rate).__name__ if callable(rate) else f"{rate:.4g}"

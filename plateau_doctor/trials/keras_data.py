"""One phase of a Keras training: what `fit` was given, and the knobs that lie in the data."""

from __future__ import annotations

from typing import Any

from plateau_doctor.trials.arm import Arm
from plateau_doctor.trials.keras_compile import Compiled

__all__ = ["Phase"]


class Phase:
    """The arguments of one `fit`.

    Args:
        arm: Whose change is made, and where it is told.
        keras: The module.
        options: The arguments by name.

    Attributes:
        options: The arguments to call `fit` with.
        held_out: (inputs, labels, sample weights) of the validation data, labels None for batches; None
            without validation data.
    """

    def __init__(self, arm: Arm, keras: Any, options: dict[str, Any]) -> None:
        self._arm, self._keras = arm, keras
        self.options = dict(options)
        self.held_out = self._split()

    @property
    def labels(self) -> Any:
        """The training labels where they were given as one array, else None."""
        return self._train[1] if hasattr(self._train[1], "shape") else None

    @property
    def held_out_batch(self) -> int | None:
        """Size of the batches in which Keras evaluates the held-out data."""
        return self.options.get("validation_batch_size") or self.options.get("batch_size")

    def turn(self, compiled: Compiled) -> None:
        """Turn the knobs that lie in the data."""

    def callbacks(self) -> list[Any]:
        """Return the script's own callbacks."""
        given = self.options.get("callbacks")
        if isinstance(given, self._keras.callbacks.CallbackList):
            return list(given.callbacks)
        return list(given) if isinstance(given, (list, tuple)) else [given] if given else []

    def add_callbacks(self, ours: list[Any]) -> None:
        """Add callbacks behind those of the script."""
        given = self.options.get("callbacks")
        if isinstance(given, self._keras.callbacks.CallbackList):
            for one in ours:
                given.append(one)
        else:
            self.options["callbacks"] = [*self.callbacks(), *ours]

    def _split(self) -> tuple[Any, Any, Any] | None:
        """Take the held-out data out of the arguments, as Keras does."""
        given = self.options
        self._train = (given.get("x"), given.get("y"), given.get("sample_weight"))
        data = given.get("validation_data")
        if data is not None:
            return _three(data) if isinstance(data, (tuple, list)) else (data, None, None)
        share = given.get("validation_split")
        if not share:
            return None
        slicing = self._keras.src.trainers.data_adapters.array_slicing
        self._train, held_out = slicing.train_validation_split(self._train, validation_split=share)
        return _three(held_out)


def _three(data: Any) -> tuple[Any, Any, Any]:
    parts = [*data, None, None]
    return parts[0], parts[1], parts[2]

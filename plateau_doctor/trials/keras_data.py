"""One phase of a Keras training: what `fit` was given, and the knobs that lie in the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from plateau_doctor.recorders.held_out import as_array, classes_in
from plateau_doctor.trials.arm import Arm

__all__ = ["Phase"]

SOME = 50  # batches from which the inputs' mean and deviation are taken
MOST_CLASSES = 1000


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

    def turn(self) -> None:
        """Turn the knobs that lie in the data."""
        change = self._arm.change
        if change.class_weights is not None:
            self._weigh()
        if change.shuffle is not None:
            self._shuffle()
        if change.batch_size_scale is not None:
            self._resize(change.batch_size_scale)

    def some_inputs(self) -> Any:
        """Return training inputs as one array, the first batches of a data set; None where they are several."""
        x = self._train[0]
        if isinstance(x, np.ndarray) or hasattr(x, "detach"):
            return as_array(x)
        if not hasattr(x, "take") or not hasattr(x, "element_spec"):
            return None
        parts = [one[0] if isinstance(one, (tuple, list)) else one for one in x.take(SOME)]
        if not parts or isinstance(parts[0], (dict, tuple, list)):
            return None
        return np.concatenate([as_array(one) for one in parts])

    def _weigh(self) -> None:
        labels = self._all_labels()
        classes = classes_in(labels) if labels is not None else None
        if self.options.get("class_weight") is not None:
            self._arm.not_testable("class_weights", "the script weighs its classes already")
        elif classes is None or len(np.unique(classes)) > MOST_CLASSES:
            self._arm.not_testable(
                "class_weights", "the labels are not classes, or not known before training"
            )
        else:
            names, counts = np.unique(classes, return_counts=True)
            weights = len(classes) / (len(names) * counts)
            self.options["class_weight"] = {int(c): float(w) for c, w in zip(names, weights, strict=True)}
            ends = f"{weights.min():.2g} to {weights.max():.2g}"
            self._arm.applied("class_weights", f"balanced: {len(names)} classes weigh {ends}")

    def _all_labels(self) -> Any:
        x, y, _ = self._train
        if y is not None:
            return y if hasattr(y, "shape") else None
        if not hasattr(x, "element_spec"):
            return None
        parts = [as_array(one[1]) for one in x.take(200) if isinstance(one, (tuple, list)) and len(one) > 1]
        return np.concatenate(parts) if parts else None

    def _shuffle(self) -> None:
        x, y, _ = self._train
        if hasattr(x, "unbatch"):
            size = self._batch_of(x)
            self.options["x"] = x.unbatch().shuffle(10_000).batch(size)
            self._arm.applied("shuffle", "the data set is shuffled within 10,000 samples")
        elif y is None or self.options.get("shuffle", True):
            why = (
                "Keras shuffles the training arrays already" if y is not None else "the script gives batches"
            )
            self._arm.not_testable("shuffle", why)
        else:
            self.options["shuffle"] = True
            self._arm.applied("shuffle", "the training arrays are shuffled in each epoch")

    def _resize(self, scale: float) -> None:
        x, y, _ = self._train
        if y is None and not hasattr(x, "unbatch"):
            self._arm.not_testable("batch_size_scale", "the script makes the batches itself")
            return
        old = self.options.get("batch_size") or 32 if y is not None else self._batch_of(x)
        new = max(1, round(old * scale))
        if y is not None:
            self.options["batch_size"] = new
        else:
            self.options["x"] = x.unbatch().batch(new)
        self._arm.applied("batch_size_scale", f"{old} -> {new}")

    def _batch_of(self, batches: Any) -> int:
        first = next(iter(batches.take(1)))
        while isinstance(first, (tuple, list, dict)):
            first = next(iter(first.values() if isinstance(first, dict) else first))
        return len(first)

    def drop_callbacks(self, dropped: list[Any]) -> None:
        """Take callbacks of the script away."""
        given = self.options.get("callbacks")
        if isinstance(given, self._keras.callbacks.CallbackList):
            given.callbacks[:] = [one for one in given.callbacks if one not in dropped]
        else:
            self.options["callbacks"] = [one for one in self.callbacks() if one not in dropped]

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
        self._train: tuple[Any, Any, Any] = (given.get("x"), given.get("y"), given.get("sample_weight"))
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

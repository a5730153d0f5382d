"""What a recorder learns from held-out data: recall by class, and the small batch that activations are seen on."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from plateau_doctor.recorders.sample import spread

__all__ = ["HeldOut", "as_array", "class_scores", "classes_in", "majority_share", "recalls_of"]

PROBE = 64  # samples whose activations are recorded
MOST_SAMPLES = 10_000  # samples predicted after each epoch
MOST_BYTES = 32e6  # of batches that are kept
BATCH = 256


class HeldOut:
    """Held-out inputs and labels of a Keras model.

    Args:
        data: (inputs, labels), each an array or a structure of arrays with n rows; or batches of such pairs,
            of which the first 10,000 samples are taken, or fewer where they are large.
        model: The compiled model; a classifier when its loss is a cross-entropy or the like.

    Attributes:
        probe: Inputs of at most 64 samples, spread over all.
    """

    def __init__(self, data: Any, model: Any) -> None:
        if isinstance(data, tuple):
            inputs, labels = data[:2]
        else:
            with unmoved_randomness(data):
                inputs, labels = _joined(data)
        rows = len(_first(inputs))
        self._model = model
        self._inputs, self._rows = inputs, spread(rows, MOST_SAMPLES)
        self.probe = _take(inputs, spread(rows, PROBE))
        self._truth = self._classes(labels)

    @property
    def input_rms(self) -> float | None:
        """Root mean square of the probe's inputs, of the first of several; None where they are no signals."""
        values = np.asarray(_first(self.probe))
        signals = values.size and (values.dtype.kind == "f" or values.dtype == np.uint8)
        return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if signals else None

    def scores(self) -> dict[str, float]:
        """Return the scores of `class_scores`, by tag; empty for anything but a classifier."""
        if self._truth is None:
            return {}
        parts = np.split(self._rows, range(BATCH, len(self._rows), BATCH))
        outputs = np.concatenate(
            [as_array(self._model(_take(self._inputs, r), training=False)) for r in parts]
        )
        return class_scores(self._truth, self._chosen(outputs))

    def _classes(self, labels: Any) -> np.ndarray | None:
        shape = getattr(self._model, "output_shape", None)
        if not isinstance(shape, tuple) or len(shape) != 2 or isinstance(labels, (dict, list, tuple)):
            return None
        truth = classes_in(labels)
        if truth is None or len(np.unique(truth)) > 100:
            return None
        truth = truth[self._rows]
        fits = int(truth.min()) >= 0 and int(truth.max()) < max(2, shape[1])
        return truth if fits else None

    def _chosen(self, outputs: np.ndarray) -> np.ndarray:
        if outputs.shape[1] > 1:
            return np.asarray(outputs.argmax(axis=1))
        logits = getattr(self._model.loss, "from_logits", False)
        return np.asarray(outputs[:, 0] > (0.0 if logits else 0.5), dtype=int)


def as_array(values: Any) -> np.ndarray:
    """Return any framework's array or tensor as a numpy array."""
    if hasattr(values, "detach"):  # a torch tensor, which may want its gradient or sit on a GPU
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values  # numpy has no bfloat16
    return np.asarray(values.numpy() if hasattr(values, "numpy") else values)


def class_scores(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return recall by class, balanced accuracy and majority share, by tag.

    Args:
        truth: Shape (n,), the classes as whole numbers.
        predicted: Shape (n,), likewise.
    """
    names, places = np.unique(truth, return_inverse=True)
    return recalls_of(np.bincount(places), np.bincount(places, weights=truth == predicted), names)


def recalls_of(counts: np.ndarray, hits: np.ndarray, names: np.ndarray | None = None) -> dict[str, float]:
    """Return the same from samples and hits of each class, both (classes,); classes without samples are left out."""
    names = np.arange(len(counts)) if names is None else names
    recalls = {int(names[c]): float(hits[c] / counts[c]) for c in np.flatnonzero(counts)}
    scores = {f"validation/recall/{name}": value for name, value in recalls.items()}
    if recalls:
        scores["validation/balanced_accuracy"] = float(np.mean(list(recalls.values())))
        scores["validation/majority_share"] = float(counts.max() / counts.sum())
    return scores


def classes_in(labels: Any) -> np.ndarray | None:
    """Return class labels as whole numbers, shape (n,), from whole numbers or one-hot rows; None if neither."""
    values = as_array(labels)
    if values.ndim == 2 and values.shape[1] > 1:
        one_hot = np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all()
        return np.asarray(values.argmax(axis=1)) if one_hot else None
    values = values.reshape(len(values), -1)
    if values.shape[1] != 1 or values.dtype.kind not in "iubf" or not len(values):
        return None
    whole = np.isfinite(values).all() and (values == np.round(values)).all()
    return values[:, 0].astype(int) if whole else None


def majority_share(labels: np.ndarray) -> float:
    """Return the share of the most frequent of `labels`, shape (n,): the accuracy of always naming it."""
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))


@contextlib.contextmanager
def unmoved_randomness(data: Any) -> Iterator[None]:
    """Give the generators of random numbers their state back: going through data may draw from them."""
    torch = sys.modules.get("torch")
    own: list[Any] = [getattr(data, "generator", None), torch.default_generator if torch else None]
    generators = [(one, one.get_state()) for one in own if hasattr(one, "get_state")]
    plain, numbers = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(plain)
        np.random.set_state(numbers)
        for generator, state in generators:
            generator.set_state(state)


def _joined(batches: Any) -> tuple[Any, Any]:
    inputs, labels, rows, size = [], [], 0, 0
    counted = hasattr(batches, "__getitem__") and hasattr(batches, "__len__")
    for batch in (batches[i] for i in range(len(batches))) if counted else batches:
        inputs.append(batch[0])
        labels.append(as_array(batch[1]))
        rows += len(labels[-1])
        size += getattr(_first(batch[0]), "nbytes", 0)
        if rows >= MOST_SAMPLES or size >= MOST_BYTES:
            break
    return _stack(inputs), np.concatenate(labels)


def _stack(parts: list[Any]) -> Any:
    if isinstance(parts[0], dict):
        return {key: _stack([part[key] for part in parts]) for key in parts[0]}
    if isinstance(parts[0], (tuple, list)):
        return [_stack(list(part)) for part in zip(*parts, strict=True)]
    return np.concatenate([as_array(part) for part in parts])


def _take(inputs: Any, rows: np.ndarray) -> Any:
    return _each(lambda values: as_array(values)[rows], inputs)


def _each(change: Callable[[Any], Any], inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return {key: _each(change, value) for key, value in inputs.items()}
    if isinstance(inputs, (tuple, list)):
        return [_each(change, value) for value in inputs]
    return change(inputs)


def _first(inputs: Any) -> Any:
    while isinstance(inputs, (dict, tuple, list)):
        inputs = next(iter(inputs.values() if isinstance(inputs, dict) else inputs))
    return inputs

"""Scores a Keras model on held-out data by what the script compiled, in evaluation mode.

Penalties, smoothed labels and another loss change what `evaluate` says; here they do not: predictions are
held against the labels by a fresh copy of the script's own loss and metrics.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from plateau_doctor.recorders.held_out import as_array, class_scores, classes_in
from plateau_doctor.trials.arm import Arm
from plateau_doctor.trials.keras_compile import Compiling

__all__ = ["Scoring", "fingerprint"]

BATCH = 32  # what Keras takes where nothing is said
CLASSIFIES = ("crossentropy", "cross_entropy", "hinge", "focal")


class Scoring:
    """Scores models.

    Args:
        arm: Where scores are told.
        keras: The module.
        compiling: Knows what each model was compiled with.
    """

    def __init__(self, arm: Arm, keras: Any, compiling: Compiling) -> None:
        self._arm, self._keras, self._compiling = arm, keras, compiling

    def score(self, model: Any, held_out: tuple[Any, Any, Any], batch: int | None, name: str) -> None:
        """Tell the loss and the metrics on (inputs, labels, weights), or on a data set of such batches."""
        options = self._compiling.original_of(model).options
        if options.get("loss") is None:
            self._by_own_test_step(model, held_out, batch, name)
            return
        outputs = getattr(model, "output_names", None)
        parts = self._keras.src.trainers.compile_utils
        loss = parts.CompileLoss(options["loss"], options.get("loss_weights"), output_names=outputs)
        plain, weighted = (_fresh(options.get(kind)) for kind in ("metrics", "weighted_metrics"))
        metrics = parts.CompileMetrics(plain, weighted, output_names=outputs) if plain or weighted else None
        total, samples, truths, guesses = 0.0, 0, [], []
        for x, y, weight in _batches(held_out, batch or BATCH):
            guess = model.predict_on_batch(x)
            size = len(_first(guess))
            total += float(as_array(loss(y, guess, weight))) * size
            samples += size
            if metrics is not None:
                metrics.update_state(y, guess, weight)
            if _is_row(y) and isinstance(guess, np.ndarray) and guess.ndim == 2:
                truths.append(as_array(y))
                guesses.append(guess)
        named = {} if metrics is None else {k: float(as_array(v)) for k, v in metrics.result().items()}
        self._arm.tell(
            loss=total / samples,
            metrics={**named, **_of_classes(_name(options["loss"]), truths, guesses)},
            scored_on=f"{name}: {samples} samples, by the script's own loss, in evaluation mode",
        )
        self._arm.scored = True

    def _by_own_test_step(
        self, model: Any, held_out: tuple[Any, Any, Any], batch: int | None, name: str
    ) -> None:
        """Score a model that brings its own loss, by its own evaluation."""
        x, y, weight = held_out
        size = batch if hasattr(y, "shape") else None
        found = model.evaluate(x, y, sample_weight=weight, batch_size=size, verbose=0, return_dict=True)
        values = {k: float(v) for k, v in found.items() if np.ndim(v) == 0}
        self._arm.tell(
            loss=values.pop("loss", None), metrics=values, scored_on=f"{name}: by the model's own test_step"
        )
        self._arm.scored = True


def fingerprint(model: Any) -> str:
    """Return a digest of a model's weights."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:16]


def _fresh(metrics: Any) -> Any:
    """Return copies of metrics that hold nothing yet."""
    if isinstance(metrics, dict):
        return {name: _fresh(one) for name, one in metrics.items()}
    if isinstance(metrics, (list, tuple)):
        return [_fresh(one) for one in metrics]
    if metrics is None or not hasattr(metrics, "get_config") or not hasattr(metrics, "reset_state"):
        return metrics
    return type(metrics).from_config(metrics.get_config())


def _batches(held_out: tuple[Any, Any, Any], size: int) -> Iterator[tuple[Any, Any, Any]]:
    x, y, weight = held_out
    if y is None:
        count = len(x) if hasattr(x, "__getitem__") and hasattr(x, "__len__") else None
        batches = x if count is None else (x[i] for i in range(count))
        for one in batches:
            parts = [*one, None] if isinstance(one, (tuple, list)) else [one, None, None]
            yield _arrays(parts[0]), _arrays(parts[1]), _arrays(parts[2])
        return
    for start in range(0, len(_first(x)), size):
        rows = slice(start, start + size)
        yield _cut(x, rows), _cut(y, rows), _cut(weight, rows)


def _cut(values: Any, rows: slice) -> Any:
    if isinstance(values, dict):
        return {name: _cut(one, rows) for name, one in values.items()}
    if isinstance(values, (list, tuple)) and not np.isscalar(_first(values)):
        return [_cut(one, rows) for one in values]
    return None if values is None else as_array(values)[rows]


def _arrays(values: Any) -> Any:
    if isinstance(values, dict):
        return {name: _arrays(one) for name, one in values.items()}
    if isinstance(values, (list, tuple)):
        return [_arrays(one) for one in values]
    return None if values is None else as_array(values)


def _first(values: Any) -> Any:
    while isinstance(values, (dict, list, tuple)):
        values = next(iter(values.values() if isinstance(values, dict) else values))
    return values


def _is_row(labels: Any) -> bool:
    return labels is not None and not isinstance(labels, (dict, list, tuple))


def _of_classes(loss: str, truths: list[Any], guesses: list[Any]) -> dict[str, float]:
    """Return accuracy and macro recall where the loss is one of classes."""
    if not truths or not any(word in loss.lower() for word in CLASSIFIES):
        return {}
    truth, scores = classes_in(np.concatenate(truths)), np.concatenate(guesses)
    if truth is None:
        return {}
    bar = 0.5 if scores.min() >= 0 and scores.max() <= 1 else 0.0
    guess = scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > bar).astype(int)
    return {
        "accuracy": float(np.mean(truth == guess)),
        "macro_recall": class_scores(truth, guess)["validation/balanced_accuracy"],
    }


def _name(loss: Any) -> str:
    if isinstance(loss, str):
        return loss
    return str(getattr(loss, "name", None) or getattr(loss, "__name__", type(loss).__name__))

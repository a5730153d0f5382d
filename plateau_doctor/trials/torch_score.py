"""Scores a torch model on what the script itself evaluated: in evaluation mode, by the script's own loss.

While gradients are off, or the model is in evaluation mode, the model's inputs and the targets that the script
gives to its loss are kept. At the end the model sees them once more. Data that also comes from a loader that
is trained on is left out; of several held-out loaders the first one counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from plateau_doctor.recorders.held_out import as_array, class_scores, classes_in
from plateau_doctor.trials.arm import Arm

__all__ = ["HeldOut", "fingerprint", "tensor_of"]

MOST_SAMPLES = 20_000
MOST_BYTES = 512 * 2**20
OF_CLASSES = ("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")


@dataclass(frozen=True)
class _Batch:
    """One call of the model in evaluation, and the loss that followed.

    Attributes:
        args: Positional arguments of the model.
        kwargs: Arguments by name.
        name: The loss, empty where the model's output carries it.
        loss: Loss of (prediction, target), with the settings that the script gave.
        shape: Shape in which the loss took the prediction; None for as it was.
        target: The target.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    name: str
    loss: Callable[[Any], Any]
    shape: tuple[int, ...] | None
    target: Any


class HeldOut:
    """What the script evaluates on.

    Args:
        arm: Where scores are told.
        torch: The module.
    """

    def __init__(self, arm: Arm, torch: Any) -> None:
        self._arm, self._torch = arm, torch
        self._batches: list[_Batch] = []
        self._call: tuple[tuple[Any, ...], dict[str, Any], Any] | None = None
        self._total, self._samples, self._bytes = 0.0, 0, 0
        self._source: object = None
        self._unclear = False
        self.full = False

    @property
    def known(self) -> bool:
        """Whether there is anything to score on."""
        return bool(self._batches) or self._samples > 0

    @property
    def mean(self) -> float | None:
        """The mean loss of the script's own last evaluation, None if it made none."""
        return self._total / self._samples if self._samples else None

    @property
    def metrics(self) -> dict[str, float]:
        """Nothing: a model is scored once, at the end."""
        return {}

    def begin_pass(self, source: object) -> None:
        """Forget the last evaluation, since a new one of the same data begins; `source` is its loader."""
        if source == self._source or self._source is None:
            self._source = source
            self._batches, self._total, self._samples, self._bytes = [], 0.0, 0, 0
            self._unclear = self.full = False

    def called(self, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, source: object) -> None:
        """Take a call of the model in evaluation."""
        if source != self._source and self._source is not None:
            self._call = None
            return
        self._source = source
        self._call = (args, kwargs, output)
        own = getattr(output, "loss", None)
        if own is not None:
            self._keep(_Batch(args, kwargs, "", lambda out: out.loss, None, kwargs.get("labels")), float(own))

    def lost(self, name: str, loss: Callable[[Any, Any], Any], guess: Any, target: Any, value: Any) -> None:
        """Take a loss that the script computed in evaluation, from (prediction, target)."""
        if self._call is None or not hasattr(guess, "shape"):
            return
        args, kwargs, output = self._call
        if getattr(output, "loss", None) is not None:
            return
        self._call = None
        first = tensor_of(output)
        shape = None if first is guess else tuple(guess.shape)
        if first is not guess and (first is None or not self._same_values(first, guess)):
            self._unclear = True
        batch = _Batch(args, kwargs, name, lambda out: loss(out, target), shape, target)
        self._keep(batch, float(value) if value.numel() == 1 else float(value.mean()))

    def score(self, model: Any) -> None:
        """Tell the loss and the metrics of `model` as it is now."""
        if self._unclear or not self._batches:
            if self._samples:
                self._arm.tell(
                    loss=self._total / self._samples,
                    metrics={},
                    scored_on=f"the script's own last evaluation: {self._samples} samples",
                )
                self._arm.scored = True
            return
        training = [module for module in model.modules() if module.training]
        model.eval()
        try:
            with self._torch.no_grad():
                self._score(model)
        finally:
            for module in training:
                module.training = True

    def _score(self, model: Any) -> None:
        total, samples, truths, guesses = 0.0, 0, [], []
        for batch in self._batches:
            output = model(*batch.args, **batch.kwargs)
            guess = tensor_of(output)
            if batch.name and batch.shape is not None:
                guess = guess.reshape(batch.shape)
            size = _size(batch)
            value = batch.loss(guess if batch.name else output)
            total += float(value.mean()) * size
            samples += size
            guess = getattr(output, "logits", None) if not batch.name else guess
            if (
                guess is not None
                and batch.target is not None
                and (not batch.name or batch.name in OF_CLASSES)
            ):
                truths.append(as_array(batch.target))
                guesses.append(as_array(guess))
        more = "; more was evaluated than is kept" if self.full else ""
        self._arm.tell(
            loss=total / samples,
            metrics=_of_classes(truths, guesses),
            scored_on=f"what the script evaluated: {samples} samples, by its own loss, in evaluation mode{more}",
        )
        self._arm.scored = True

    def _keep(self, batch: _Batch, value: float) -> None:
        size = _size(batch)
        self._total += value * size
        self._samples += size
        tensors = [
            one for one in (*batch.args, *batch.kwargs.values(), batch.target) if hasattr(one, "numel")
        ]
        taken = sum(one.numel() * one.element_size() for one in tensors)
        if self._samples > MOST_SAMPLES or self._bytes + taken > MOST_BYTES:
            self.full = True
            return
        self._bytes += taken
        self._batches.append(batch)

    def _same_values(self, one: Any, other: Any) -> bool:
        """Whether two tensors hold the same numbers in another shape."""
        if one.numel() != other.numel():
            return False
        return bool(self._torch.equal(one.detach().reshape(-1), other.detach().reshape(-1)))


def fingerprint(parameters: Any) -> str:
    """Return a digest of weights."""
    digest = hashlib.sha256()
    for parameter in parameters:
        digest.update(np.ascontiguousarray(as_array(parameter)).tobytes())
    return digest.hexdigest()[:16]


def tensor_of(output: Any) -> Any:
    """Return the prediction in what a model returned: itself, its logits, or the first of several."""
    if hasattr(output, "logits"):
        return output.logits
    while isinstance(output, (tuple, list, dict)) and output:
        output = next(iter(output.values() if isinstance(output, dict) else output))
    return output if hasattr(output, "numel") else None


def _size(batch: _Batch) -> int:
    tensors = (*batch.args, *batch.kwargs.values(), batch.target)
    return next((len(one) for one in tensors if getattr(one, "ndim", 0)), 1)


def _of_classes(truths: list[Any], guesses: list[Any]) -> dict[str, float]:
    """Return accuracy and macro recall of predictions (n, classes), (n, 1) or (n,) against labels."""
    if not truths or any(guess.ndim > 2 for guess in guesses):
        return {}
    truth, guess = classes_in(np.concatenate(truths)), np.concatenate(guesses)
    if truth is None or len(truth) != len(guess):
        return {}
    if guess.ndim == 2 and guess.shape[1] > 1:
        chosen = guess.argmax(axis=1)
    else:
        bar = 0.5 if guess.min() >= 0 and guess.max() <= 1 else 0.0
        chosen = (guess.reshape(-1) > bar).astype(int)
    return {
        "accuracy": float(np.mean(truth == chosen)),
        "macro_recall": class_scores(truth, chosen)["validation/balanced_accuracy"],
    }

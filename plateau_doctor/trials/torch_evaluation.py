"""What passes in a training or an evaluation of torch, added up where it lies: loss, hits and counts by class.

Nothing is kept but sums, and nothing waits for the device before the pass is over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from plateau_doctor.recorders.held_out import as_array, recalls_of
from plateau_doctor.trials.torch_score import tensor_of

__all__ = ["Evaluation", "Tally"]

MOST_CLASSES = 100
MOST_WAITING = 64  # batches
CHOOSES = ("cross_entropy", "nll_loss")


class Tally:
    """Sums over batches.

    Args:
        torch: The module.

    Attributes:
        samples: Samples so far.
    """

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self.empty()

    def empty(self) -> None:
        """Forget all."""
        self.samples = 0
        self._total: Any = 0.0
        self._counts: Any = None
        self._hits: Any = None
        self._waiting: list[tuple[Any, Any]] = []

    @property
    def loss(self) -> float | None:
        """The mean loss of a sample, None before any."""
        return float(self._total) / self.samples if self.samples else None

    @property
    def counts(self) -> np.ndarray | None:
        """Samples of each class, None where there are no classes."""
        self._settle()
        return None if self._counts is None else as_array(self._counts)

    def lost(self, size: int, value: Any) -> None:
        """Add the mean loss of `size` samples."""
        self.samples += size
        self._total = self._total + value.detach().mean() * size

    def chosen(self, name: str, guess: Any, target: Any) -> None:
        """Add predictions (n, classes) or, for two classes, (n,) or (n, 1) and their labels."""
        guess, target = guess.detach(), target.detach()
        if name in CHOOSES and guess.dim() == 2 and target.dim() == 1 and guess.shape[1] <= MOST_CLASSES:
            self._add(guess.argmax(dim=1), target, guess.shape[1])
        elif name.startswith("binary_cross_entropy") and guess.numel() == len(guess):
            bar = 0.0 if name.endswith("logits") else 0.5
            self._add((guess > bar).long().reshape(-1), (target > 0.5).long().reshape(-1), 2)

    def scores(self) -> dict[str, float]:
        """Return accuracy, and recall by class under its tag; empty without classes."""
        self._settle()
        if self._counts is None:
            return {}
        counts, hits = as_array(self._counts), as_array(self._hits)
        return {"accuracy": float(hits.sum() / max(counts.sum(), 1)), **recalls_of(counts, hits)}

    def _add(self, chosen: Any, target: Any, classes: int) -> None:
        """Keep a batch: many are added up at once, in one call for all where each would cost a dozen."""
        if self._counts is None or len(self._counts) != classes:
            self._waiting = []
            self._counts = self._torch.zeros(classes, device=target.device)
            self._hits = self._torch.zeros(classes, device=target.device)
        self._waiting.append((chosen, target.clone()))  # a script may fill one tensor with batch after batch
        if len(self._waiting) >= MOST_WAITING:
            self._settle()

    def _settle(self) -> None:
        if not self._waiting:
            return
        chosen, target = (self._torch.cat(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting = []
        known = (target >= 0).float()  # -100 is a label to be ignored
        places = target.clamp(min=0)
        self._counts.scatter_add_(0, places, known)
        self._hits.scatter_add_(0, places, known * (chosen == target))


class Evaluation:
    """The script's own evaluation of one set of held-out data: the first one, where there are several.

    It takes the place of `HeldOut` where nothing is scored again.

    Args:
        torch: The module.
    """

    def __init__(self, torch: Any) -> None:
        self._tally = Tally(torch)
        self._source: object = None
        self._size: int | None = None  # of the call that waits for its loss

    @property
    def known(self) -> bool:
        """Whether anything was evaluated."""
        return self._tally.samples > 0

    @property
    def mean(self) -> float | None:
        """The mean loss of the last evaluation, None before any."""
        return self._tally.loss

    @property
    def metrics(self) -> dict[str, float]:
        """What else the last evaluation tells: `accuracy`, and recall by class under its tag."""
        return self._tally.scores()

    def begin_pass(self, source: object) -> None:
        """Forget the last evaluation, since a new one of the same data begins; `source` is its loader."""
        if source == self._source or self._source is None:
            self._source = source
            self._tally.empty()

    def called(self, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, source: object) -> None:
        """Take a call of the model in evaluation."""
        self._size = None
        if source != self._source and self._source is not None:
            return
        self._source = source
        given = (*args, *kwargs.values())
        size = next((len(one) for one in given if getattr(one, "ndim", 0)), 1)
        own = getattr(output, "loss", None)
        if own is None:
            self._size = size
            return
        self._tally.lost(size, own)
        labels, guess = kwargs.get("labels"), tensor_of(output)
        if labels is not None and guess is not None and not labels.is_floating_point():
            self._tally.chosen("cross_entropy", guess, labels)

    def lost(self, name: str, _: Callable[[Any, Any], Any], guess: Any, target: Any, value: Any) -> None:
        """Take a loss that the script computed in evaluation, from (prediction, target)."""
        if self._size is None or not hasattr(guess, "shape"):
            return
        self._tally.lost(self._size, value)
        self._size = None
        if hasattr(target, "detach"):
            self._tally.chosen(name, guess, target)

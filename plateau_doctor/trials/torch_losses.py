"""Stands in torch's loss functions: weighs classes and smooths labels in training, keeps targets in evaluation.

Loss modules call the functions of `torch.nn.functional`, so replacing those catches both.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from plateau_doctor.trials.arm import Arm, told

__all__ = ["LOSSES", "Losses"]

LOSSES = (
    "cross_entropy nll_loss binary_cross_entropy binary_cross_entropy_with_logits mse_loss l1_loss "
    "smooth_l1_loss huber_loss kl_div poisson_nll_loss gaussian_nll_loss"
).split()
CATEGORICAL = "the loss is not a cross-entropy of torch.nn.functional"


class Losses:
    """The loss functions, replaced.

    Args:
        arm: Whose change is made, and where it is told.
        torch: The module.
        evaluating: Whether the script is evaluating now.
        heard: Called with (name, loss of a pair, prediction, target, value, evaluating) after each loss.
    """

    def __init__(
        self, arm: Arm, torch: Any, evaluating: Callable[[], bool], heard: Callable[..., None]
    ) -> None:
        self._arm, self._torch = arm, torch
        self._evaluating, self._heard = evaluating, heard
        self._counts: Any = None
        self._inside = False
        for name in LOSSES:
            self._replace(torch.nn.functional, name)

    def _replace(self, home: Any, name: str) -> None:
        original = getattr(home, name)

        @wraps(original)
        def loss(input: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
            if self._inside or self._torch.compiler.is_compiling():
                return original(input, target, *args, **kwargs)
            self._inside = True
            try:
                evaluating = self._evaluating()
                given = (target, args, kwargs)
                if not evaluating:
                    with told(self._arm, f"{name} could not be changed"):
                        given = self._turn(name, input, target, args, kwargs)
                value = original(input, given[0], *given[1], **given[2])
                with told(self._arm, f"{name} was not heard"):
                    self._heard(
                        name,
                        lambda guess, t: original(guess, t, *args, **kwargs),
                        input,
                        target,
                        value,
                        evaluating,
                    )
                return value
            finally:
                self._inside = False

        setattr(home, name, loss)

    def _turn(
        self, name: str, guess: Any, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        change = self._arm.change
        if name == "cross_entropy":
            if change.label_smoothing is not None:
                kwargs = {**kwargs, "label_smoothing": change.label_smoothing}
                self._arm.applied("label_smoothing", f"{change.label_smoothing:g} in cross_entropy")
            if change.class_weights is not None and not target.is_floating_point():
                args, kwargs = args[1:], {**kwargs, "weight": self._weights(guess, target)}
        elif name.startswith("binary_cross_entropy"):
            if change.label_smoothing is not None:
                share = change.label_smoothing
                target = target * (1 - share) + share / 2
                self._arm.applied("label_smoothing", f"{share:g} in {name}")
            if change.class_weights is not None:
                args, kwargs = args[1:], {**kwargs, "weight": self._binary_weights(target)}
        return target, args, kwargs

    def _weights(self, guess: Any, target: Any) -> Any:
        """Return the weight of each class, from the labels seen so far."""
        classes = guess.shape[1] if guess.dim() > 1 else guess.shape[0]
        self._count(target[target >= 0].reshape(-1), classes)
        self._arm.applied("class_weights", f"balanced over {classes} classes by the labels seen so far")
        return (self._counts.sum() / (classes * self._counts)).to(guess)

    def _binary_weights(self, target: Any) -> Any:
        self._count((target > 0.5).reshape(-1).long(), 2)
        self._arm.applied("class_weights", "balanced over 2 classes by the labels seen so far")
        negative, positive = self._counts.sum() / (2 * self._counts)
        return (target > 0.5).to(target) * (positive - negative) + negative

    def _count(self, labels: Any, classes: int) -> None:
        new = self._torch.bincount(labels, minlength=classes)[:classes].double()
        self._counts = new + 1 if self._counts is None else self._counts + new

"""Turns what an optimizer of torch is told, for the time of one step: rate, decay, clipping, the rule itself.

A rate is changed before each step and given back after it, so that the script's own schedulers, and loops
that set the rate themselves, work on with the numbers that they know.
"""

from __future__ import annotations

import types
from typing import Any

from plateau_doctor.trials.arm import Arm
from plateau_doctor.trials.rates import WORDS, OnPlateau, factor

__all__ = ["Rates"]

OPTIMIZERS = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop"}

SCALED = {  # knobs that one of several models or optimizers may have: known at the first step
    "dropout_scale": "the model has no dropout to scale",
    "weight_decay_scale": "the optimizer has no weight decay to scale",
}


class Rates:
    """What is changed around the steps of the optimizers.

    Args:
        arm: Whose change is made, and where it is told.
        torch: The module.

    Attributes:
        last: Rate of the last step, of the first group.
        making: Whether an optimizer of ours is being made.
    """

    def __init__(self, arm: Arm, torch: Any) -> None:
        self._arm, self._torch = arm, torch
        self._first: dict[tuple[int, int], float] = {}
        self._kept: list[tuple[Any, Any]] = []
        self._plateau: OnPlateau | None = None
        self.last: float | None = None
        self.making = False

    def before_step(
        self, optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], total: int | None
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Set the rates of this step and clip; `total` is the number of steps of the trial, if that is known."""
        self._kept = []
        for knob, why in SCALED.items():
            if getattr(self._arm.change, knob) is not None and knob not in self._arm.outcome.applied:
                self._arm.not_testable(knob, why)
        for place, group in enumerate(optimizer.param_groups):
            rate = float(group["lr"])
            base = self._first.setdefault((id(optimizer), place), rate)
            new = self._rate(rate, base, total)
            if new != rate:
                self._kept.append((group, group["lr"]))
                group["lr"] = new
            self.last = new if place == 0 else self.last
        if self._arm.change.clip_norm is None:
            return None
        closure = args[0] if args else kwargs.get("closure")
        self._arm.applied("clip_norm", f"gradients to a norm of at most {self._arm.change.clip_norm:g}")
        if closure is None:
            self._clip(optimizer)
            return None

        def clipped() -> Any:
            loss = closure()
            self._clip(optimizer)
            return loss

        return (clipped, *args[1:]), {k: v for k, v in kwargs.items() if k != "closure"}

    def after_step(self) -> None:
        """Give the script's own rates back."""
        for group, rate in self._kept:
            group["lr"] = rate
        self._kept = []

    def after_epoch(self, held_out_loss: float) -> None:
        """Take the held-out loss after an epoch."""
        if self._arm.change.schedule == "on_plateau":
            if self._plateau is None:
                self._plateau = OnPlateau(max(1, round((self._arm.order.epochs or 30) / 6)))
            self._plateau.see(held_out_loss)
            self._arm.applied("schedule", WORDS["on_plateau"])

    def decay(self, group: dict[str, Any]) -> None:
        """Change the weight decay of a group of parameters."""
        change = self._arm.change
        for knob, new in (
            ("weight_decay", change.weight_decay),
            ("weight_decay_scale", _times(group.get("weight_decay"), change.weight_decay_scale)),
        ):
            if new is not None:  # of groups without any, biases say, none is scaled
                self._arm.applied(knob, f"{group.get('weight_decay', 0):g} -> {new:g}")
                group["weight_decay"] = new

    def take_over(self, optimizer: Any) -> None:
        """Let an optimizer of another kind make the steps of this one, over the same groups."""
        name = self._arm.change.optimizer
        if name is None:
            return
        kind = getattr(self._torch.optim, OPTIMIZERS[name])
        if type(optimizer) is kind:
            self._arm.applied("optimizer", f"it is {kind.__name__} already")
            return
        self._arm.applied("optimizer", f"{type(optimizer).__name__} -> {kind.__name__}")

        def step(own: Any, *args: Any, **kwargs: Any) -> Any:
            if own._twin is None:
                own._twin = self._made(kind, own)
            return own._twin.step(*args, **kwargs)

        optimizer._twin = None
        optimizer.step = types.MethodType(step, optimizer)

    def _made(self, kind: Any, optimizer: Any) -> Any:
        self.making = True
        try:
            twin = kind([one for group in optimizer.param_groups for one in group["params"]], lr=0.001)
        finally:
            self.making = False
        kept = ("lr", "weight_decay")  # what both kinds mean alike stays as the script set it
        for group in optimizer.param_groups:
            group.update({n: v for n, v in twin.defaults.items() if n not in kept or n not in group})
        twin.param_groups = optimizer.param_groups
        return twin

    def _rate(self, rate: float, base: float, total: int | None) -> float:
        change = self._arm.change
        times = 1.0
        if change.learning_rate is not None and base > 0:
            times = change.learning_rate / base
            self._arm.applied("learning_rate", f"{base:.4g} -> {change.learning_rate:.4g} at every optimizer")
        if change.learning_rate_scale is not None:
            times *= change.learning_rate_scale
            self._arm.applied("learning_rate_scale", f"{base:.4g} -> {base * times:.4g} at every optimizer")
        if change.schedule == "on_plateau":
            return rate * times * (self._plateau.factor if self._plateau else 1.0)
        if change.schedule is None:
            return rate * times
        if total is None:
            self._arm.not_testable("schedule", "the length of the training is not known; give it as --epochs")
            return rate * times
        self._arm.applied("schedule", WORDS[change.schedule])
        own = rate if change.schedule == "warm_up" else base
        return own * times * factor(change.schedule, self._arm.steps / max(1, total - 1))

    def _clip(self, optimizer: Any) -> None:
        parameters = [one for group in optimizer.param_groups for one in group["params"]]
        self._torch.nn.utils.clip_grad_norm_(parameters, self._arm.change.clip_norm)


def _times(value: float | None, scale: float | None) -> float | None:
    return value * scale if value and scale is not None else None

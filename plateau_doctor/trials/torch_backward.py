"""Hears what a script calls `backward` on: the very loss that it trains on, whatever function made it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from plateau_doctor.trials.arm import Arm, told

__all__ = ["listen"]


def listen(arm: Arm, torch: Any, heard: Callable[[Any], None]) -> None:
    """Call `heard` with every tensor that `backward` is called on, before a gradient scaler multiplied it."""
    plain: list[tuple[Any, Any]] = []  # the last scaled tensor, and what it was
    backward, scale = torch.Tensor.backward, torch.amp.GradScaler.scale

    @wraps(backward)
    def heard_backward(tensor: Any, *args: Any, **kwargs: Any) -> Any:
        if not torch.compiler.is_compiling():
            with told(arm, "a loss was not heard"):
                heard(next((before for after, before in plain if after is tensor), tensor))
                plain.clear()
        return backward(tensor, *args, **kwargs)

    @wraps(scale)
    def remembered(scaler: Any, outputs: Any) -> Any:
        scaled = scale(scaler, outputs)
        plain[:] = [(scaled, outputs)]
        return scaled

    torch.Tensor.backward, torch.amp.GradScaler.scale = heard_backward, remembered

"""Schedules of the learning rate, as factors on the script's own rate; the same for every framework.

They are laid over the steps of the trial, not over those of the script: a trial of 5 epochs sees the whole
cosine. "on_plateau" answers to the held-out loss instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["WORDS", "OnPlateau", "factor"]

WARM_UP = 0.1  # share of the steps
CYCLES = 3
LOWEST, HIGHEST = 0.1, 5.0  # one cycle goes from 0.1 up to 5 times the rate, as the fix's advice does

WORDS = {
    "step": "x0.1 after half and x0.01 after three quarters of the steps",
    "cosine": "down to 0 along a cosine",
    "one_cycle": f"from x{LOWEST:g} up to x{HIGHEST:g} in the first 30 % of the steps, then down to 0",
    "cyclical": f"{CYCLES} triangles between x{LOWEST:g} and x{HIGHEST:g}",
    "warm_up": f"up from x0.01 in the first {WARM_UP:.0%} of the steps, then the script's own",
    "on_plateau": "x0.2 whenever the held-out loss has not fallen by 0.001 for a sixth of the epochs",
}


def factor(kind: str, progress: float) -> float:
    """Return the factor on the rate at `progress`, 0 at the first step and 1 at the last.

    >>> [round(factor("step", p), 2) for p in (0.0, 0.5, 0.8)]
    [1.0, 0.1, 0.01]
    """
    progress = min(1.0, max(0.0, progress))
    if kind == "step":
        return 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01
    if kind == "cosine":
        return _cosine(progress)
    if kind == "one_cycle":
        if progress < 0.3:
            return LOWEST + (HIGHEST - LOWEST) * progress / 0.3
        return HIGHEST * _cosine((progress - 0.3) / 0.7)
    if kind == "cyclical":
        return HIGHEST - (HIGHEST - LOWEST) * abs(1 - 2 * (progress * CYCLES % 1.0))
    if kind == "warm_up":
        return max(0.01, min(1.0, progress / WARM_UP))
    return 1.0


@dataclass
class OnPlateau:
    """Lowers a rate when a loss stays where it is, once per `patience` epochs.

    Attributes:
        patience: Epochs without a fall of 0.001.
        factor: What the rate is multiplied with by now.
    """

    patience: int
    factor: float = 1.0
    _best: float = math.inf
    _waited: int = 0

    def see(self, loss: float) -> None:
        """Take the loss after an epoch."""
        if loss < self._best - 1e-3:
            self._best, self._waited = loss, 0
            return
        self._waited += 1
        if self._waited >= self.patience:
            self.factor, self._waited = max(1e-4, self.factor * 0.2), 0


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))

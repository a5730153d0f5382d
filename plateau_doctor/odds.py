"""Log-odds: what they come to as a probability, and together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["log_sum", "probability", "sums_without_each"]


def probability(log_odds: float) -> float:
    """Return the probability that log-odds stand for."""
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, log_odds))))


def sums_without_each(log_odds: np.ndarray) -> list[float]:
    """Return for each of several things (n,) the log-odds of all others and of that other together."""
    n = len(log_odds)
    others = np.zeros((n, n))  # a row each: 0 for that other, and all but one
    others[:, 1:] = np.broadcast_to(log_odds, (n, n))[~np.eye(n, dtype=bool)].reshape(n, n - 1)
    most = others.max(axis=1)
    sums = np.exp(others - most[:, None]).sum(axis=1)
    return [high + math.log(total) for high, total in zip(most.tolist(), sums.tolist(), strict=True)]


def log_sum(log_odds: Sequence[float] | np.ndarray) -> float:
    """Return the log-odds of several things together, each against the same other."""
    values = np.asarray(log_odds, dtype=float)
    most = float(values.max())
    return most + math.log(float(np.exp(values - most).sum()))

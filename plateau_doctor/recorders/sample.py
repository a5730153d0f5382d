"""A part of an array that stands for the whole: what a histogram and the size of an update are taken from.

Whole copies of weights and gradients would cost a training as much memory again, and their histograms more time
than its steps. Norms are taken over the whole where it lies; all else over a few thousand values of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["MOST", "Sample", "dead_units", "norm_of_values", "sampled", "spread", "stride_of"]

MOST = 4096  # values of a sample: the error of a share is below 1 %


@dataclass(frozen=True)
class Sample:
    """Values of an array, evenly spread.

    Attributes:
        values: Shape (n,).
        size: Number of values of the whole.
    """

    values: np.ndarray
    size: int


def sampled(values: np.ndarray) -> Sample:
    """Return a copied sample of an array of any shape, all of it where it is small."""
    values = np.asarray(values)
    return Sample(np.array(values.reshape(-1)[:: stride_of(values.shape)]), values.size)


def stride_of(shape: Sequence[int], most: int = MOST) -> int:
    """Return the step through a flattened array that leaves at most `most` values.

    It shares no factor with any side, so that every row, column and channel has its turn.
    """
    sides = [int(side) for side in shape]
    stride = max(1, -(-math.prod(sides) // most))
    while stride > 1 and any(math.gcd(stride, side) > 1 for side in sides):
        stride += 1
    return stride


def norm_of_values(values: np.ndarray) -> float:
    """Return the norm over all of an array; float32 is summed as it is, unless its squares are too large for it."""
    flat = np.asarray(values).reshape(-1)
    with np.errstate(over="ignore"):
        square = float(np.dot(flat, flat))
    return math.sqrt(square) if math.isfinite(square) else float(np.linalg.norm(flat.astype(np.float64)))


def dead_units(outputs: np.ndarray) -> float | None:
    """Return the share of units, along the last axis, that gave exactly 0 for all of a batch; None without units."""
    if outputs.ndim < 2 or not outputs.size:
        return None
    return float(np.mean((outputs == 0).all(axis=tuple(range(outputs.ndim - 1)))))


def spread(of: int, most: int) -> np.ndarray:
    """Return at most `most` places out of `of`, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, of - 1, min(of, most)).astype(int))

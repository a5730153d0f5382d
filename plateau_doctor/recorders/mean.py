"""A running mean that stays where its values are: numbers, or tensors that are waited for at the end alone."""

from __future__ import annotations

from typing import Any

__all__ = ["Mean"]


class Mean:
    """The mean of what was added since it was taken last."""

    def __init__(self) -> None:
        self._total: Any = 0.0
        self._count = 0

    @property
    def empty(self) -> bool:
        """Whether nothing was added."""
        return not self._count

    def add(self, value: Any) -> None:
        """Add a number or a tensor of one element."""
        self._total = self._total + (value.detach() if hasattr(value, "detach") else value)
        self._count += 1

    def taken(self) -> float | None:
        """Return the mean and begin anew; None where nothing was added."""
        mean = float(self._total) / self._count if self._count else None
        self._total, self._count = 0.0, 0
        return mean

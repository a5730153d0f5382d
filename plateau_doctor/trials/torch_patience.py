"""Early stopping of a torch training: the best weights by the script's own evaluations, and when to give up."""

from __future__ import annotations

from typing import Any

from plateau_doctor.trials.arm import Arm

__all__ = ["Patience"]


class Patience:
    """Watches the held-out loss; does nothing where the order names no patience.

    Args:
        arm: Whose change is made, and where it is told.
    """

    def __init__(self, arm: Arm) -> None:
        self._arm = arm
        self._best: tuple[float, Any] | None = None
        self._waited = 0

    def over(self, loss: float, model: Any) -> bool:
        """Take the loss of an evaluation, and return whether no better one came for long enough."""
        patience = self._arm.change.early_stopping_patience
        if patience is None:
            return False
        self._arm.applied("early_stopping_patience", f"{patience} evaluations; the best weights are kept")
        if self._best is None or loss < self._best[0]:
            self._best = (loss, {k: v.detach().clone() for k, v in model.state_dict().items()})
            self._waited = 0
        else:
            self._waited += 1
        return self._waited >= max(1, patience)

    def restore(self, model: Any) -> None:
        """Give a model its best weights back."""
        if self._best is not None:
            model.load_state_dict(self._best[1])

"""How long each arm of a verification trains, by what was found in its run."""

from __future__ import annotations

from collections.abc import Collection

from plateau_doctor.examination import RunExamination
from plateau_doctor.plateau import Plateau
from plateau_doctor.trials.plan import Asked, Budget, budget_of
from plateau_doctor.trials.trouble import WORRIED

__all__ = ["budget_for", "stretch_of"]


def budget_for(one: RunExamination, asked: Asked) -> Budget:
    """Return how long each arm trains: until the trouble shows, of a converged run its level and its rise."""
    if one.state in WORRIED:
        return budget_of(one.run, stretch_of(one), asked)
    either = (budget_of(one.run, trouble, asked) for trouble in (None, stretch_of(one, ("converged",))))
    return max(either, key=lambda budget: budget.share or 0.0)


def stretch_of(one: RunExamination, states: Collection[str] = WORRIED) -> Plateau | None:
    """Return the flat stretch that a run in one of these states ends in, by default a stuck one."""
    if one.state not in states:
        return None
    return next((plateau for plateau in reversed(one.plateaus) if plateau.tag == one.primary), None)

"""Which of many runs a terminal tells in full, which in a line, and which it only counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from plateau_doctor.report.words import gravity, standing

if TYPE_CHECKING:
    from plateau_doctor.examination import RunExamination

__all__ = ["apart"]

FEW, IN_FULL = 12, 6
WORSE = ("sick", "undetermined")
LEFT = {"noted": "with a note", "fine": "fine", "not judged": "not judged"}


def apart(runs: Sequence[RunExamination]) -> tuple[list[RunExamination], list[RunExamination], str]:
    """Return the runs to tell in full, those that get a line, and how many of which kind are left.

    A dozen runs are told in full, in their order. Of more, those that ail come first, the gravest and surest ones in
    full.
    """
    if len(runs) <= FEW or any(one.trials for one in runs):
        return list(runs), [], ""
    ailing = sorted((one for one in runs if standing(one) in WORSE), key=_rank)
    found = [standing(one) for one in runs]
    left = [f"{found.count(kind)} {word}" for kind, word in LEFT.items() if kind in found]
    return ailing[:IN_FULL], ailing[IN_FULL:], ", ".join(left)


def _rank(one: RunExamination) -> tuple[int, int, float]:
    surest = max((d.probability or 0.0 for d in one.diagnoses), default=0.0)
    return WORSE.index(standing(one)), -gravity(one), -surest

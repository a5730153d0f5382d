"""What a verdict says of the causes: the rule by which trials update a diagnosis.

A confirmed fix multiplies the odds of every cause that names it by 16, as if it were confirmed in 80 % of the runs
that have the cause and in 5 % (the error of a verdict) of those that do not. A refuted one divides them by 4: a cause
has several fixes, and not all of them help. Inconclusive and failed trials say nothing. Where no cause is named, of the
look-alikes left those with a confirmed fix come first and those with a refuted one last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from plateau_doctor.diagnosis import Diagnosis, Evidence
from plateau_doctor.verdict import Kind, Verdict

__all__ = ["reordered", "updated"]

LOG_ODDS: Mapping[Kind, float] = {"confirmed": math.log(16), "refuted": -math.log(4)}


def updated(diagnoses: Sequence[Diagnosis], verdicts: Sequence[Verdict]) -> tuple[Diagnosis, ...]:
    """Return the diagnoses with what the verdicts on their fixes say, the likeliest first."""
    after = [_one(diagnosis, verdicts) for diagnosis in diagnoses]
    return tuple(sorted(after, key=lambda d: -d.log_odds))


def reordered(
    causes: Sequence[str], fixes: Mapping[str, Sequence[str]], verdicts: Sequence[Verdict]
) -> tuple[str, ...]:
    """Return the look-alikes left, those with a confirmed fix first; `fixes` are those of each cause."""

    def told(cause: str) -> float:
        return sum(LOG_ODDS.get(one.kind, 0.0) for one in verdicts if one.fix in fixes.get(cause, ()))

    return tuple(sorted(causes, key=lambda cause: -told(cause)))


def _one(diagnosis: Diagnosis, verdicts: Sequence[Verdict]) -> Diagnosis:
    told = [one for one in verdicts if one.fix in diagnosis.fixes and one.kind in LOG_ODDS]
    if not told:
        return diagnosis
    evidence = [
        Evidence(
            f"a trial {one.kind} its fix {one.fix}",
            "for" if one.kind == "confirmed" else "against",
            True,
            LOG_ODDS[one.kind],
            {},
        )
        for one in told
    ]
    shift = sum(one.log_odds for one in evidence)
    return replace(
        diagnosis,
        probability=_shifted(diagnosis.probability, shift),
        log_odds=diagnosis.log_odds + shift,
        evidence=(*evidence, *diagnosis.evidence),
    )


def _shifted(probability: float | None, log_odds: float) -> float | None:
    if probability is None or not 0 < probability < 1:
        return probability
    return 1 / (1 + math.exp(-(math.log(probability / (1 - probability)) + log_odds)))

"""What the log of a run leaves open: the look-alikes that are left, and the logs that would decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plateau_doctor.diagnosis import NAMED_AT, Diagnosis, Ranked
from plateau_doctor.facts import Facts
from plateau_doctor.facts.needs import NEEDS
from plateau_doctor.recorders.lines import HELD_OUT, framework_of, line_for
from plateau_doctor.weights import Weights, shipped
from plateau_doctor.worded import PRIOR

__all__ = ["Missing", "candidates", "missing_logs"]

LEFT, POSSIBLE, MOST_LEFT = (
    0.2,
    0.03,
    5,
)  # candidates: share of the first's probability, least probability, number
UNMEASURED = 0.05  # bits that a log is taken to tell about a cause that was not fitted


@dataclass(frozen=True)
class Missing:
    """Something that was not logged, the causes it would decide, and the line that logs it."""

    log: str
    would_decide: tuple[str, ...]
    how: str


def candidates(ranked: Sequence[Ranked | Diagnosis]) -> tuple[str, ...]:
    """Return the look-alikes left of a stuck run: the likeliest causes, at most five.

    Of fitted causes those with a fifth of the probability of the likeliest; of others those that a seen sign speaks
    for and nothing seen outweighs.
    """
    likely = [d.probability for d in ranked if d.probability is not None]
    left = [
        one.cause
        for one in ranked
        if (
            one.probability >= max(LEFT * max(likely), POSSIBLE)
            if one.probability is not None
            else PRIOR <= one.log_odds < NAMED_AT and one.spoken_for
        )
    ]
    return tuple(left[:MOST_LEFT])


def missing_logs(
    facts: Facts, ranked: Sequence[Ranked | Diagnosis], weights: Weights | None = None
) -> tuple[Missing, ...]:
    """Return what was not logged and which causes it would decide, the cheapest log first.

    Asked are the causes named, those they are confused with, and the candidates. A kind of log is worth the
    information that it gave about these causes on labelled trainings; kinds worth less than a quarter of the best
    are left out.
    """
    information = (shipped() if weights is None else weights).information
    first = [one for one in ranked if one.named]
    asked = {c for one in first for c in (one.cause, *one.confused_with)} | set(candidates(ranked))
    unknown = _unknown(facts, [one for one in ranked if one.cause in asked])
    fitted = {cause for told in information.values() for cause in told}
    worth: dict[str, dict[str, float]] = {}
    for need in NEEDS:
        if need not in unknown:
            continue
        told = {c: information.get(need, {}).get(c, 0.0) for c in asked}
        for cause in unknown[need]:  # a sign waits for it; of causes not fitted that is all we know
            if cause not in fitted:
                told[cause] = UNMEASURED
        told = {cause: bits for cause, bits in told.items() if bits > 0}
        if told:
            worth[need] = told
    best = max((sum(told.values()) for told in worth.values()), default=0.0)
    order = [one.cause for one in ranked]
    framework = framework_of(facts.logged.run)
    evaluates = any(facts.was_logged(need) for need in HELD_OUT)
    return tuple(
        Missing(need.log, tuple(sorted(worth[key], key=order.index)), line_for(key, framework, evaluates))
        for key, need in NEEDS.items()
        if key in worth and sum(worth[key].values()) >= best / 4
    )


def _unknown(facts: Facts, asked: Sequence[Ranked | Diagnosis]) -> dict[str, list[str]]:
    """Return kind of log that is missing -> the causes asked for that are fitted on it or have a sign for it."""
    found: dict[str, list[str]] = {need: [] for need in facts.lacks()}
    for one in asked:
        for need in {facts.missing(name) for name in one.unknown}:
            if need is not None:
                found[need].append(one.cause)
    return found

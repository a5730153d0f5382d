"""Facts and rules in, ranked causes out.

log-odds(cause) = prior + the signs that every phenotype shares + those of the phenotype that fits best.
A sign whose facts were not logged weighs nothing. Until the weights are fitted on labelled runs the words
of the rule files stand in for them, the probability is None, and the ranking is called uncalibrated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from plateau_doctor.condition import render
from plateau_doctor.facts import Facts
from plateau_doctor.facts.needs import NEEDS
from plateau_doctor.rule import Rule, Severity, Sign

__all__ = ["Diagnosis", "Evidence", "Missing", "candidates", "diagnose", "missing_logs", "named"]

STRENGTH = {"decisive": math.log(100), "strong": math.log(10), "fair": math.log(3), "slight": math.log(1.6)}
PRIOR = -math.log(25)
NAMED_AT = 0.0  # log-odds at which a cause is named: as likely as not, by the words of its rule


@dataclass(frozen=True)
class Evidence:
    """One sign of a rule as it stands in this run: seen, not seen, or unknown (None), with its numbers."""

    says: str
    side: Literal["for", "against"]
    seen: bool | None
    log_odds: float
    facts: Mapping[str, float | str | bool | None]


@dataclass(frozen=True)
class Diagnosis:
    """A cause and how it stands in one run. `probability` is None until it has been calibrated."""

    cause: str
    family: str
    says: str
    why: str
    severity: Severity
    probability: float | None
    calibrated: bool
    log_odds: float
    evidence: tuple[Evidence, ...]
    fixes: tuple[str, ...]
    confused_with: tuple[str, ...]


@dataclass(frozen=True)
class Missing:
    """Something that was not logged, the causes it would decide, and the line that logs it."""

    log: str
    would_decide: tuple[str, ...]
    how: str


def diagnose(facts: Facts, rules: Iterable[Rule]) -> tuple[Diagnosis, ...]:
    """Return every cause as it stands in this run, the likeliest first; equal ones by name."""
    every = [_judge(facts, rule) for rule in rules]
    return tuple(sorted(every, key=lambda d: (-d.log_odds, d.cause)))


def named(ranked: Sequence[Diagnosis]) -> tuple[Diagnosis, ...]:
    """Return the causes that are likely enough to be named."""
    return tuple(d for d in ranked if d.log_odds >= NAMED_AT)


def candidates(ranked: Sequence[Diagnosis]) -> tuple[str, ...]:
    """Return the look-alikes left: causes that a seen sign speaks for, and nothing seen outweighs."""
    return tuple(
        one.cause
        for one in ranked
        if PRIOR <= one.log_odds < NAMED_AT and any(e.seen and e.side == "for" for e in one.evidence)
    )


def missing_logs(facts: Facts, ranked: Sequence[Diagnosis]) -> tuple[Missing, ...]:
    """Return what was not logged and which causes it would decide, the cheapest log first.

    Asked are the causes named, those they are confused with, and the candidates; where there are none of
    these, all that nothing speaks against.
    """
    asked = {c for one in named(ranked) for c in (one.cause, *one.confused_with)} | set(candidates(ranked))
    open_causes: dict[str, list[str]] = {}
    for one in ranked:
        if (asked and one.cause not in asked) or one.log_odds < PRIOR:
            continue
        for evidence in one.evidence:
            if evidence.seen is None:
                for need in dict.fromkeys(facts.missing(name) for name in evidence.facts):
                    if need is not None and one.cause not in open_causes.setdefault(need, []):
                        open_causes[need].append(one.cause)
    return tuple(
        Missing(need.log, tuple(open_causes[key]), need.how)
        for key, need in NEEDS.items()
        if key in open_causes
    )


def _judge(facts: Facts, rule: Rule) -> Diagnosis:
    by_group: dict[str, list[Evidence]] = {}
    for sign in rule.signs:
        by_group.setdefault(sign.shows, []).append(_weigh(facts, sign))
    shared = by_group.pop("", [])
    best = max(by_group.values(), key=_sum, default=[])
    evidence = (*shared, *best)
    return Diagnosis(
        cause=rule.cause,
        family=rule.family,
        says=rule.says,
        why=rule.why,
        severity=rule.severity,
        probability=None,
        calibrated=False,
        log_odds=PRIOR + _sum(evidence),
        evidence=tuple(sorted(evidence, key=_reading_order)),
        fixes=rule.fixes,
        confused_with=rule.confused_with,
    )


def _weigh(facts: Facts, sign: Sign) -> Evidence:
    seen = sign.condition.evaluate(facts)
    names = dict.fromkeys(sign.condition.names)
    if seen is None and not any(facts.missing(name) for name in names):
        seen = (
            False  # all was logged and the sign does not apply: a rate that was never cut cannot answer a cut
        )
    weight = STRENGTH[sign.strength] * (1 if sign.side == "for" else -1)
    return Evidence(render(sign.says, facts), sign.side, seen, weight, {name: facts[name] for name in names})


def _sum(evidence: Iterable[Evidence]) -> float:
    return sum(e.log_odds for e in evidence if e.seen)


def _reading_order(evidence: Evidence) -> tuple[int, float]:
    """Seen before unknown before unseen, and the heavier first."""
    return {True: 0, None: 1, False: 2}[evidence.seen], -abs(evidence.log_odds)

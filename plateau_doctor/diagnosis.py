"""Facts and rules in, ranked causes out.

The log-odds of a cause, against a run in which nothing is wrong, are a base, one term for each fact and one for each
sign of its rule, all fitted on labelled trainings (`weights.json`); what was not logged adds nothing. A sign of the
rule puts the terms of its facts into words. A cause that was not fitted, as one of a user's own rules, is judged by
the words of its rule: the signs that every phenotype shares and those of the phenotype that fits best; its
probability is None, and it is called uncalibrated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from plateau_doctor.condition import render
from plateau_doctor.facts import Facts, Value, known_facts
from plateau_doctor.facts.needs import NEEDS
from plateau_doctor.rule import Rule, Severity, Sign
from plateau_doctor.weights import Cause, Weights, shipped

__all__ = [
    "WORDS_ALONE",
    "Diagnosis",
    "Evidence",
    "Missing",
    "candidates",
    "diagnose",
    "missing_logs",
    "named",
]

STRENGTH = {"decisive": math.log(100), "strong": math.log(10), "fair": math.log(3), "slight": math.log(1.6)}
PRIOR = -math.log(25)
NAMED_AT = 0.0  # log-odds at which a cause is named: as likely as not, by the words of its rule
LEFT, POSSIBLE, MOST_LEFT = (
    0.2,
    0.03,
    5,
)  # candidates: share of the first's probability, least probability, number
WORTH_A_LINE, MOST_FURTHER = 0.2, 6  # log-odds of a fact that is told by itself, and how many at most
UNMEASURED = 0.05  # bits that a log is taken to tell about a cause that was not fitted


WORDS_ALONE = Weights({}, {}, {})  # judges every cause by the words of its rule


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
    """A cause and how it stands in one run.

    `probability` is None where it was not calibrated. `named` says whether the cause is told. Its `severity` is that
    of its rule where it stands out from sound runs, else a note: few sound runs are accused.
    """

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
    named: bool


@dataclass(frozen=True)
class Missing:
    """Something that was not logged, the causes it would decide, and the line that logs it."""

    log: str
    would_decide: tuple[str, ...]
    how: str


def diagnose(facts: Facts, rules: Iterable[Rule], weights: Weights | None = None) -> tuple[Diagnosis, ...]:
    """Return every cause as it stands in this run, the likeliest first; equal ones by name.

    `weights` are those that ship with the package when None.
    """
    fitted = (shipped() if weights is None else weights).causes(facts)
    by_words = {rule.cause: (rule, _judge(facts, rule)) for rule in rules}
    every = [
        _fitted(facts, rule, fitted[cause], judged) if cause in fitted else judged
        for cause, (rule, judged) in by_words.items()
    ]
    known = sorted((one for one in every if one.cause in fitted), key=_rank)
    for one in known:
        rule, judged = by_words[one.cause]
        terms, others = fitted[one.cause], [d.log_odds for d in known if d is not one]
        p = terms.probability(one.log_odds, others)
        told = terms.judge(one.log_odds, p, _shown(facts, rule), judged.named, one is known[0])
        every[every.index(one)] = replace(
            one,
            probability=p,
            calibrated=True,
            named=told != "open",
            severity=rule.severity if told == "clear" else "note",
        )
    return tuple(sorted(every, key=_rank))


def _rank(one: Diagnosis) -> tuple[float, str]:
    return -one.log_odds, one.cause


def _shown(facts: Facts, rule: Rule) -> bool:
    """Return whether a sign that speaks for a cause is seen."""
    return any(sign.side == "for" and sign.condition.evaluate(facts) for sign in rule.signs)


def named(ranked: Sequence[Diagnosis]) -> tuple[Diagnosis, ...]:
    """Return the causes that are likely enough to be named."""
    return tuple(d for d in ranked if d.named)


def candidates(ranked: Sequence[Diagnosis]) -> tuple[str, ...]:
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
            else PRIOR <= one.log_odds < NAMED_AT and any(e.seen and e.side == "for" for e in one.evidence)
        )
    ]
    return tuple(left[:MOST_LEFT])


def missing_logs(
    facts: Facts, ranked: Sequence[Diagnosis], weights: Weights | None = None
) -> tuple[Missing, ...]:
    """Return what was not logged and which causes it would decide, the cheapest log first.

    Asked are the causes named, those they are confused with, and the candidates. A kind of log is worth the
    information that it gave about these causes on labelled trainings; kinds worth less than a quarter of the best
    are left out.
    """
    information = (shipped() if weights is None else weights).information
    first = named(ranked)
    asked = {c for one in first for c in (one.cause, *one.confused_with)} | set(candidates(ranked))
    unknown = _unknown(facts, [one for one in ranked if one.cause in asked])
    worth: dict[str, dict[str, float]] = {}
    for need in NEEDS:
        told = {c: information.get(need, {}).get(c, 0.0) for c in asked}
        for cause in unknown.get(need, ()):  # a sign waits for it; of causes not fitted that is all we know
            if cause not in _all_told(information):
                told[cause] = UNMEASURED
        told = {cause: bits for cause, bits in told.items() if bits > 0}
        if told and need in unknown:
            worth[need] = told
    best = max((sum(told.values()) for told in worth.values()), default=0.0)
    order = [one.cause for one in ranked]
    return tuple(
        Missing(need.log, tuple(sorted(worth[key], key=order.index)), need.how)
        for key, need in NEEDS.items()
        if key in worth and sum(worth[key].values()) >= best / 4
    )


def _unknown(facts: Facts, asked: Sequence[Diagnosis]) -> dict[str, list[str]]:
    """Return kind of log that is missing -> the causes asked for that are fitted on it or have a sign for it."""
    found: dict[str, list[str]] = {}
    for name in facts:
        need = facts.missing(name)
        if need is not None:
            found.setdefault(need, [])
    for one in asked:
        for evidence in one.evidence:
            for name in evidence.facts if evidence.seen is None else ():
                need = facts.missing(name)
                if need is not None and one.cause not in found[need]:
                    found[need].append(one.cause)
    return found


def _all_told(information: Mapping[str, Mapping[str, float]]) -> set[str]:
    return {cause for told in information.values() for cause in told}


def _fitted(facts: Facts, rule: Rule, terms: Cause, by_words: Diagnosis) -> Diagnosis:
    """Judge a fitted cause, its probability left open: a sign that is seen speaks for the terms of its facts too."""
    left = {name: shape.log_odds(facts[name]) for name, shape in terms.facts.items()}
    log_odds = terms.base + sum(left.values()) + terms.words * (by_words.log_odds - PRIOR)
    counted = {one.says: one.log_odds for one in by_words.evidence if one.seen}
    evidence = []
    for sign in sorted(rule.signs, key=lambda s: -abs(terms.signs.get(s.condition.text, 0.0))):
        one = _weigh(facts, sign)
        jump, truth = terms.signs.get(sign.condition.text), sign.condition.evaluate(facts)
        if jump is None:  # not fitted: the word counts, once it is seen
            own = one.log_odds if one.seen else 0.0
        else:
            own = 0.0 if truth is None else jump / 2 if truth else -jump / 2
        log_odds += own
        if one.seen:
            own += terms.words * counted.pop(one.says, 0.0)
            side = 1 if one.side == "for" else -1
            own += sum(
                left.pop(n) for n in dict.fromkeys(sign.condition.names) if side * left.get(n, 0.0) > 0
            )
        evidence.append(replace(one, log_odds=own))
    evidence += _further(facts, left)
    return _diagnosis(rule, log_odds, evidence, named=False)


def _further(facts: Facts, left: Mapping[str, float]) -> list[Evidence]:
    """Return the terms of facts that no sign put into words: the large ones each, the rest as one."""
    found: list[Evidence] = []
    rest = 0.0
    for name, weight in sorted(left.items(), key=lambda item: (-abs(item[1]), item[0])):
        if abs(weight) >= WORTH_A_LINE and len(found) < MOST_FURTHER:
            found.append(_of_fact(name, facts[name], weight))
        else:
            rest += weight
    if abs(rest) >= WORTH_A_LINE:
        found.append(Evidence("further facts, each of little weight, together", _side(rest), True, rest, {}))
    return found


def _of_fact(name: str, value: Value, weight: float) -> Evidence:
    fact = known_facts()[name]
    meaning = fact.meaning.split(";")[0].split(". ")[0].rstrip(".")
    shown = value if isinstance(value, (str, bool)) or value is None else f"{value:.3g}"
    return Evidence(
        f"{name} is {shown}: {meaning[:1].lower()}{meaning[1:]}", _side(weight), True, weight, {name: value}
    )


def _side(weight: float) -> Literal["for", "against"]:
    return "for" if weight >= 0 else "against"


def _judge(facts: Facts, rule: Rule) -> Diagnosis:
    """Judge a cause by the words of its rule."""
    by_group: dict[str, list[Evidence]] = {}
    for sign in rule.signs:
        by_group.setdefault(sign.shows, []).append(_weigh(facts, sign))
    shared = by_group.pop("", [])
    best = max(by_group.values(), key=_sum, default=[])
    evidence = (*shared, *best)
    log_odds = PRIOR + _sum(evidence)
    return _diagnosis(rule, log_odds, evidence, log_odds >= NAMED_AT)


def _diagnosis(rule: Rule, log_odds: float, evidence: Iterable[Evidence], named: bool) -> Diagnosis:
    return Diagnosis(
        cause=rule.cause,
        family=rule.family,
        says=rule.says,
        why=rule.why,
        severity=rule.severity,
        probability=None,
        calibrated=False,
        log_odds=log_odds,
        evidence=tuple(sorted(evidence, key=_reading_order)),
        fixes=rule.fixes,
        confused_with=rule.confused_with,
        named=named,
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

"""Facts and rules in, ranked causes out.

The log-odds of a cause are made of a share of each fact, fitted on labelled trainings (`weights.py`), and of what the
words of its rule say. A sign of the rule puts the shares of its facts into words. A cause that was not fitted, as one
of a user's own rules, is judged by the words of its rule alone: the signs that every phenotype shares and those of
the phenotype that fits best; its probability is None, and it is called uncalibrated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from plateau_doctor.condition import render
from plateau_doctor.facts import Facts, Value
from plateau_doctor.facts.phrases import phrase
from plateau_doctor.rule import Rule, Severity, Sign
from plateau_doctor.weights import Judged, Weights, probability, shipped, told

__all__ = [
    "WORDS_ALONE",
    "Diagnosis",
    "Evidence",
    "by_words",
    "diagnose",
    "named",
]

STRENGTH = {"decisive": math.log(100), "strong": math.log(10), "fair": math.log(3), "slight": math.log(1.6)}
PRIOR = -math.log(25)
SIBLINGS = 2.0  # what siblings tell counts twice its word: they are an experiment
NAMED_AT = 0.0  # log-odds at which a cause is named: as likely as not, by the words of its rule
WORTH_A_LINE, MOST_FURTHER = 0.2, 6  # log-odds of a fact that is told by itself, and how many at most


WORDS_ALONE = Weights({}, {}, {}, {})  # judges every cause by the words of its rule


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
    of its rule where it stands out from sound runs, else a note: few sound runs are accused. `backed` says whether
    the signs of its rule that are seen speak for it; the fit alone may see what no sign shows.
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
    backed: bool = True


def diagnose(facts: Facts, rules: Iterable[Rule], weights: Weights | None = None) -> tuple[Diagnosis, ...]:
    """Return every cause as it stands in this run, the one that explains most first; equal ones by name.

    A cause that was not fitted comes before the first one that is less likely. `weights` are those that ship with
    the package when None.
    """
    worded = {rule.cause: _Worded.of(facts, rule) for rule in rules}
    weights = shipped() if weights is None else weights
    judged = weights.judge(
        facts,
        {cause: one.log_odds - one.beside for cause, one in worded.items()},
        {cause: SIBLINGS * one.beside for cause, one in worded.items()},
    )
    if judged is None:
        return tuple(sorted((_by_words_alone(facts, one) for one in worded.values()), key=_rank))
    lean = weights.levels[judged.level].lean
    explains = {c: m + lean * worded[c].words for c, m in judged.against_sound.items() if c in worded}
    order = sorted(judged.log_odds, key=lambda cause: (-explains[cause], cause))
    words = np.array([worded[cause].words for cause in order], dtype=float)
    log_odds = np.array([judged.log_odds[cause] for cause in order], dtype=float)
    first = np.arange(len(order)) == 0
    aloud, at_all = told(weights.levels[judged.level], log_odds, np.array(judged.sick), first, words)
    every = [
        _fitted(facts, worded[cause], judged, bool(at_all[i]), bool(aloud[i]))
        for i, cause in enumerate(order)
    ]
    others = (_by_words_alone(facts, one) for cause, one in worded.items() if cause not in judged.log_odds)
    for one in sorted(others, key=_rank):
        at = next((i for i, other in enumerate(every) if other.log_odds < one.log_odds), len(every))
        every.insert(at, one)
    return tuple(every)


@dataclass(frozen=True)
class _Worded:
    """What the words of a rule come to in one run.

    Attributes:
        rule: The rule.
        seen: Whether each of its signs was seen, None where unknown.
        counts: Whether each of them counts: those of all phenotypes, and of the one that fits best.
        beside: Log-odds by those about other runs: no corpus of single runs can weigh them.
        words: Log-odds by all that count and were seen.
    """

    rule: Rule
    seen: tuple[bool | None, ...]
    counts: tuple[bool, ...]
    beside: float
    words: float

    @classmethod
    def of(cls, facts: Facts, rule: Rule) -> _Worded:
        seen = tuple(_seen(facts, sign) for sign in rule.signs)
        by_group: dict[str, float] = {}
        for sign, holds in zip(rule.signs, seen, strict=True):
            by_group[sign.shows] = by_group.get(sign.shows, 0.0) + (_word(sign) if holds else 0.0)
        best = max((group for group in by_group if group), key=by_group.__getitem__, default="")
        counts = tuple(sign.shows in ("", best) for sign in rule.signs)
        spoken = [
            (sign, _word(sign))
            for sign, holds, one in zip(rule.signs, seen, counts, strict=True)
            if holds and one
        ]
        beside = sum(word for sign, word in spoken if _asks_siblings(sign))
        return cls(rule, seen, counts, beside, sum(word for _, word in spoken))

    @property
    def log_odds(self) -> float:
        """Log-odds of the cause by the words of its rule."""
        return PRIOR + self.words


def _rank(one: Diagnosis) -> tuple[float, str]:
    return -one.log_odds, one.cause


def by_words(rule: Rule, records: Sequence[Mapping[str, Value]]) -> np.ndarray:
    """Return the log-odds of a cause by the words of its rule, (n,); what other runs beside it tell is left out."""
    groups = {"": np.full(len(records), PRIOR)}
    for sign in rule.signs:
        if not _asks_siblings(sign):
            seen = np.array([sign.condition.evaluate(record) is True for record in records])
            groups[sign.shows] = groups.get(sign.shows, 0.0) + seen * _word(sign)
    shared = groups.pop("")
    return np.asarray(shared + (np.max(list(groups.values()), axis=0) if groups else 0.0))


def named(ranked: Sequence[Diagnosis]) -> tuple[Diagnosis, ...]:
    """Return the causes that are likely enough to be named."""
    return tuple(d for d in ranked if d.named)


def _fitted(facts: Facts, worded: _Worded, judged: Judged, is_named: bool, aloud: bool) -> Diagnosis:
    """Judge a fitted cause: a sign that is seen speaks for the shares of its facts too."""
    rule = worded.rule
    terms, left = judged.terms[rule.cause], dict(judged.shares[rule.cause])
    evidence = []
    signs = zip(rule.signs, worded.seen, worded.counts, strict=True)
    for sign, seen, counts in sorted(signs, key=lambda one: -STRENGTH[one[0].strength]):
        own = 0.0
        if seen:
            word = SIBLINGS * (terms.own + terms.among) if _asks_siblings(sign) else terms.words
            own = word * _word(sign) if counts else 0.0
            side = 1 if sign.side == "for" else -1
            own += sum(left.pop(n) for n in sign.condition.names if side * left.get(n, 0.0) > 0)
        evidence.append(_evidence(facts, sign, seen, own))
    evidence += _further(facts, left)
    if judged.others[rule.cause] <= -WORTH_A_LINE:
        says = "other causes fit the log as well"
        evidence.append(Evidence(says, "against", True, judged.others[rule.cause], {}))
    log_odds = judged.log_odds[rule.cause]
    made = _diagnosis(rule, log_odds, evidence, is_named)
    severity: Severity = rule.severity if aloud else "note"
    chance, backed = probability(log_odds), worded.words > 0
    return replace(made, severity=severity, probability=chance, calibrated=True, backed=backed)


def _further(facts: Facts, left: Mapping[str, float]) -> list[Evidence]:
    """Return the terms of facts that no sign put into words: the large ones each, the rest as one."""
    large = [name for name, weight in left.items() if abs(weight) >= WORTH_A_LINE and facts[name] is not None]
    told = sorted(large, key=lambda name: (-abs(left[name]), name))[:MOST_FURTHER]
    found = [_of_fact(name, facts[name], left[name]) for name in told]
    rest = sum(left.values()) - sum(left[name] for name in told)
    if abs(rest) >= WORTH_A_LINE:
        says = "the rest of the log, and what it lacks, taken together"
        found.append(Evidence(says, _side(rest), True, rest, {}))
    return found


def _of_fact(name: str, value: Value, weight: float) -> Evidence:
    return Evidence(phrase(name, value), _side(weight), True, weight, {name: value})


def _side(weight: float) -> Literal["for", "against"]:
    return "for" if weight >= 0 else "against"


def _by_words_alone(facts: Facts, worded: _Worded) -> Diagnosis:
    """Judge a cause by the words of its rule."""
    signs = zip(worded.rule.signs, worded.seen, worded.counts, strict=True)
    evidence = [_evidence(facts, sign, seen, _word(sign)) for sign, seen, counts in signs if counts]
    return _diagnosis(worded.rule, worded.log_odds, evidence, worded.log_odds >= NAMED_AT)


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


def _seen(facts: Facts, sign: Sign) -> bool | None:
    seen = sign.condition.evaluate(facts)
    if seen is None and not any(facts.missing(name) for name in sign.condition.names):
        return False  # all was logged and the sign does not apply: a rate never cut cannot answer a cut
    return seen


def _evidence(facts: Facts, sign: Sign, seen: bool | None, log_odds: float) -> Evidence:
    values = {name: facts[name] for name in sign.condition.names}
    return Evidence(render(sign.says, facts), sign.side, seen, log_odds, values)


def _word(sign: Sign) -> float:
    """Return the log-odds that the word of a sign stands for."""
    return STRENGTH[sign.strength] * (1 if sign.side == "for" else -1)


def _asks_siblings(sign: Sign) -> bool:
    return any(name.startswith("siblings.") for name in sign.condition.names)


def _reading_order(evidence: Evidence) -> tuple[int, bool, float]:
    """Seen before unknown before unseen, what names a fact before what sums up, and the heavier first."""
    return {True: 0, None: 1, False: 2}[evidence.seen], not evidence.facts, -abs(evidence.log_odds)

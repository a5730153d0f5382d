"""Facts and rules in, ranked causes out.

The log-odds of a cause are made of a share of each fact, fitted on labelled trainings (`weights.py`), and of what the
words of its rule say. A sign of the rule puts the shares of its facts into words. A cause that was not fitted, as one
of a user's own rules, is judged by the words of its rule alone: the signs that every phenotype shares and those of
the phenotype that fits best; its probability is None, and it is called uncalibrated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from plateau_doctor.condition import render
from plateau_doctor.facts import Facts, Value
from plateau_doctor.facts.phrases import phrase
from plateau_doctor.odds import probability
from plateau_doctor.rule import Rule, Severity, Sign
from plateau_doctor.weights import Judged, Weights, shipped, told
from plateau_doctor.worded import STRENGTH, Worded, word_of

__all__ = [
    "WORDS_ALONE",
    "Diagnosis",
    "Evidence",
    "Ranked",
    "diagnose",
    "named",
    "rank",
]

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

    @property
    def spoken_for(self) -> bool:
        """Whether anything that was seen speaks for it."""
        return any(one.seen and one.side == "for" for one in self.evidence)

    @property
    def unknown(self) -> set[str]:
        """The facts of signs that the log does not tell."""
        return {name for one in self.evidence if one.seen is None for name in one.facts}


def diagnose(facts: Facts, rules: Iterable[Rule], weights: Weights | None = None) -> tuple[Diagnosis, ...]:
    """Return every cause as it stands in this run, in the order of `rank`."""
    return tuple(one.told() for one in rank(facts, rules, weights))


def rank(facts: Facts, rules: Iterable[Rule], weights: Weights | None = None) -> tuple[Ranked, ...]:
    """Return every cause, the one that explains most first; equal ones by name.

    A cause that was not fitted comes before the first one that is less likely. `weights` are those that ship with
    the package when None.
    """
    worded = {rule.cause: Worded.of(facts, rule) for rule in rules}
    weights = shipped() if weights is None else weights
    judged = weights.judge(
        facts,
        {cause: one.log_odds - one.beside for cause, one in worded.items()},
        {cause: SIBLINGS * one.beside for cause, one in worded.items()},
    )
    if judged is None:
        return tuple(sorted((Ranked.by_words(facts, one) for one in worded.values()), key=_order))
    lean = weights.levels[judged.level].lean
    explains = {c: m + lean * worded[c].words for c, m in judged.against_sound.items() if c in worded}
    order = sorted(judged.log_odds, key=lambda cause: (-explains[cause], cause))
    words = np.array([worded[cause].words for cause in order], dtype=float)
    log_odds = np.array([judged.log_odds[cause] for cause in order], dtype=float)
    first = np.arange(len(order)) == 0
    aloud, at_all = told(weights.levels[judged.level], log_odds, np.array(judged.sick), first, words)
    every = [
        Ranked(facts, worded[cause], judged.log_odds[cause], bool(at_all[i]), judged, bool(aloud[i]))
        for i, cause in enumerate(order)
    ]
    others = (Ranked.by_words(facts, one) for cause, one in worded.items() if cause not in judged.log_odds)
    for one in sorted(others, key=_order):
        at = next((i for i, other in enumerate(every) if other.log_odds < one.log_odds), len(every))
        every.insert(at, one)
    return tuple(every)


@dataclass(frozen=True, eq=False)
class Ranked:
    """A cause at its place among the others. Its evidence is put into words when it is told: most never are.

    Attributes:
        facts: Of the run.
        worded: What the words of its rule come to.
        log_odds: As in `Diagnosis`.
        named: Likewise.
        judged: What was fitted, None where it is judged by words alone.
        aloud: Whether it stands out from sound runs.
    """

    facts: Facts
    worded: Worded
    log_odds: float
    named: bool
    judged: Judged | None = None
    aloud: bool = True

    @classmethod
    def by_words(cls, facts: Facts, worded: Worded) -> Ranked:
        """Return a cause as the words of its rule alone judge it."""
        return cls(facts, worded, worded.log_odds, worded.log_odds >= NAMED_AT)

    @property
    def cause(self) -> str:
        """Its id."""
        return self.worded.rule.cause

    @property
    def confused_with(self) -> tuple[str, ...]:
        """Causes that look alike."""
        return self.worded.rule.confused_with

    @property
    def probability(self) -> float | None:
        """As in `Diagnosis`."""
        return None if self.judged is None else probability(self.log_odds)

    @property
    def spoken_for(self) -> bool:
        """Whether a sign that counts and was seen speaks for it."""
        return any(counts and seen and sign.side == "for" for sign, seen, counts in self.worded.signs())

    @property
    def unknown(self) -> set[str]:
        """The facts of signs that the log does not tell; by words alone, of those that count."""
        signs = self.worded.signs()
        asked = (sign for sign, seen, counts in signs if seen is None and (counts or self.judged is not None))
        return {name for sign in asked for name in sign.condition.names}

    def told(self) -> Diagnosis:
        """Return it with its evidence in words."""
        rule = self.worded.rule
        evidence = (
            _by_words_alone(self.facts, self.worded)
            if self.judged is None
            else _fitted(self.facts, self.worded, self.judged)
        )
        return Diagnosis(
            cause=rule.cause,
            family=rule.family,
            says=rule.says,
            why=rule.why,
            severity=rule.severity if self.aloud else "note",
            probability=self.probability,
            calibrated=self.judged is not None,
            log_odds=self.log_odds,
            evidence=tuple(sorted(evidence, key=lambda one: _reading_order(one, rule.signs))),
            fixes=rule.fixes,
            confused_with=rule.confused_with,
            named=self.named,
            backed=self.judged is None or self.worded.words > 0,
        )


def _order(one: Ranked) -> tuple[float, str]:
    return -one.log_odds, one.cause


def named(ranked: Sequence[Diagnosis]) -> tuple[Diagnosis, ...]:
    """Return the causes that are likely enough to be named."""
    return tuple(d for d in ranked if d.named)


def _fitted(facts: Facts, worded: Worded, judged: Judged) -> list[Evidence]:
    """Return the evidence of a fitted cause: a sign that is seen speaks for the shares of its facts too."""
    cause = worded.rule.cause
    terms, left = judged.terms[cause], judged.shares_of(cause)
    evidence = []
    for sign, seen, counts in sorted(worded.signs(), key=lambda one: -STRENGTH[one[0].strength]):
        own = 0.0
        if seen:
            word = SIBLINGS * (terms.own + terms.among) if sign.asks_siblings else terms.words
            own = word * word_of(sign) if counts else 0.0
            side = 1 if sign.side == "for" else -1
            own += sum(left.pop(n) for n in sign.condition.names if side * left.get(n, 0.0) > 0)
        evidence.append(_evidence(facts, sign, seen, own))
    evidence += _further(facts, left)
    if judged.others[cause] <= -WORTH_A_LINE:
        says = "other causes fit the log as well"
        evidence.append(Evidence(says, "against", True, judged.others[cause], {}))
    return evidence


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


def _by_words_alone(facts: Facts, worded: Worded) -> list[Evidence]:
    """Return the evidence of a cause that was not fitted."""
    return [_evidence(facts, sign, seen, word_of(sign)) for sign, seen, counts in worded.signs() if counts]


def _evidence(facts: Facts, sign: Sign, seen: bool | None, log_odds: float) -> Evidence:
    values = {name: facts[name] for name in sign.condition.names}
    return Evidence(render(sign.says, facts), sign.side, seen, log_odds, values)


def _reading_order(evidence: Evidence, signs: Sequence[Sign]) -> tuple[int, bool, float]:
    """Seen before unknown before unseen, what names a fact before what sums up, and the heavier first.

    A sign of the rule says why as well as what: it is read before a bare fact of up to twice its weight.
    """
    told = any(evidence.facts.keys() == set(sign.condition.names) for sign in signs)
    weight = abs(evidence.log_odds) * (2 if told else 1)
    return {True: 0, None: 1, False: 2}[evidence.seen], not evidence.facts, -weight

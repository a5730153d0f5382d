"""What the words of a rule come to in one run: the log-odds that its strength words stand for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from plateau_doctor.facts import Facts, Value
from plateau_doctor.rule import Rule, Sign

__all__ = ["PRIOR", "STRENGTH", "Worded", "by_words", "word_of"]

STRENGTH = {"decisive": math.log(100), "strong": math.log(10), "fair": math.log(3), "slight": math.log(1.6)}
PRIOR = -math.log(25)


@dataclass(frozen=True)
class Worded:
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
    def of(cls, facts: Facts, rule: Rule) -> Worded:
        """Look for each sign of a rule in a run."""
        seen = tuple([_seen(facts, sign) for sign in rule.signs])
        words = [word_of(sign) if holds else 0.0 for sign, holds in zip(rule.signs, seen, strict=True)]
        by_group: dict[str, float] = {}
        for sign, word in zip(rule.signs, words, strict=True):
            by_group[sign.shows] = by_group.get(sign.shows, 0.0) + word
        best = max((group for group in by_group if group), key=by_group.__getitem__, default="")
        counts = tuple([sign.shows in ("", best) for sign in rule.signs])
        spoken = [
            (sign, word) for sign, word, one in zip(rule.signs, words, counts, strict=True) if word and one
        ]
        beside = sum(word for sign, word in spoken if sign.asks_siblings)
        return cls(rule, seen, counts, beside, sum(word for _, word in spoken))

    @property
    def log_odds(self) -> float:
        """Log-odds of the cause by the words of its rule."""
        return PRIOR + self.words

    def signs(self) -> Iterator[tuple[Sign, bool | None, bool]]:
        """Yield each sign, whether it was seen, and whether it counts."""
        return zip(self.rule.signs, self.seen, self.counts, strict=True)


def by_words(rule: Rule, records: Sequence[Mapping[str, Value]]) -> np.ndarray:
    """Return the log-odds of a cause by the words of its rule, (n,); what other runs beside it tell is left out."""
    groups = {"": np.full(len(records), PRIOR)}
    for sign in rule.signs:
        if not sign.asks_siblings:
            seen = np.array([sign.condition.evaluate(record) is True for record in records])
            groups[sign.shows] = groups.get(sign.shows, 0.0) + seen * word_of(sign)
    shared = groups.pop("")
    return np.asarray(shared + (np.max(list(groups.values()), axis=0) if groups else 0.0))


def word_of(sign: Sign) -> float:
    """Return the log-odds that the word of a sign stands for."""
    return STRENGTH[sign.strength] * (1 if sign.side == "for" else -1)


def _seen(facts: Facts, sign: Sign) -> bool | None:
    seen = sign.condition.evaluate(facts)
    if seen is None and not any(facts.missing(name) for name in sign.condition.names):
        return False  # all was logged and the sign does not apply: a rate never cut cannot answer a cut
    return seen

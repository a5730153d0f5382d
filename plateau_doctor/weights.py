"""What each fact and each sign adds to the log-odds of a cause, as fitted on labelled trainings.

`weights.json` is written by `plateau-doctor calibrate` and read here; no scikit-learn is needed for that. The log-odds
of a cause are a base plus one term a fact and one a sign. What was not logged adds nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from plateau_doctor.facts import Value

__all__ = ["Cause", "Shape", "Weights", "shipped"]


@dataclass(frozen=True)
class Shape:
    """What one fact adds, by its value: a staircase for a number, a table for a text.

    Attributes:
        thresholds: Where the staircase steps, rising.
        jumps: Log-odds gained on passing each threshold; half is lost below it.
        words: Log-odds of each text.
    """

    thresholds: tuple[float, ...] = ()
    jumps: tuple[float, ...] = ()
    words: Mapping[str, float] = field(default_factory=dict)

    def log_odds(self, value: Value) -> float:
        """Return what a value adds; 0 for None."""
        if value is None:
            return 0.0
        if isinstance(value, str):
            return self.words.get(value, 0.0)
        return sum(j / 2 if value > t else -j / 2 for t, j in zip(self.thresholds, self.jumps, strict=True))


@dataclass(frozen=True)
class Cause:
    """The terms of one cause.

    Attributes:
        base: Log-odds where nothing was logged.
        facts: What each fact adds.
        signs: Condition of a sign -> log-odds gained when it is seen; half is lost where it is measured absent.
    """

    base: float
    facts: Mapping[str, Shape]
    signs: Mapping[str, float]


@dataclass(frozen=True)
class Weights:
    """All fitted terms.

    Attributes:
        causes: By id; a cause that is not here is judged by the words of its rule.
        named_at: Probability from which a cause is named.
        information: Kind of log (a key of NEEDS) -> cause -> how much it tells about it, in bits a run.
        fitted_on: What they were fitted on, for the foot of the report.
    """

    causes: Mapping[str, Cause]
    named_at: float
    information: Mapping[str, Mapping[str, float]]
    fitted_on: Mapping[str, int]

    @classmethod
    def read(cls, text: str) -> Weights:
        """Read the text of a weights file; the inverse of `write`."""
        data = json.loads(text)
        causes = {
            name: Cause(
                one["base"], {fact: _shape(shape) for fact, shape in one["facts"].items()}, one["signs"]
            )
            for name, one in data["causes"].items()
        }
        return cls(causes, data["named_at"], data["information"], data["fitted_on"])

    def write(self) -> str:
        """Return the text of a weights file: one line a cause and fact, so that changes can be read."""
        causes = {
            name: {
                "base": _short(one.base),
                "facts": {fact: _plain(shape) for fact, shape in sorted(one.facts.items())},
                "signs": {text: _short(w) for text, w in sorted(one.signs.items())},
            }
            for name, one in sorted(self.causes.items())
        }
        head = {"fitted_on": self.fitted_on, "named_at": self.named_at, "information": self.information}
        lines = [f' "{key}": {json.dumps(value)},' for key, value in head.items()]
        lines.append(' "causes": {')
        for i, (name, one) in enumerate(causes.items()):
            lines.append(f'  "{name}": {{"base": {json.dumps(one["base"])},')
            for key, end in (("facts", ","), ("signs", "}" + ("," if i < len(causes) - 1 else ""))):
                terms = [f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in one[key].items()]  # type: ignore[attr-defined]
                body = "{\n" + ",\n".join(terms) + "}" if terms else "{}"
                lines.append(f'   "{key}": {body}{end}')
        return "\n".join(["{", *lines, " }", "}"]) + "\n"


@cache
def shipped() -> Weights:
    """Return the weights that ship with the package."""
    return Weights.read((Path(__file__).parent / "weights.json").read_text(encoding="utf-8"))


def probability(log_odds: float) -> float:
    """Return the probability that log-odds stand for."""
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, log_odds))))


def _shape(plain: Any) -> Shape:
    if isinstance(plain, dict):
        return Shape(words=plain)
    return Shape(tuple(plain[0]), tuple(plain[1]))


def _plain(shape: Shape) -> object:
    if shape.words:
        return {word: _short(w) for word, w in sorted(shape.words.items())}
    return [list(shape.thresholds), [_short(j) for j in shape.jumps]]


def _short(value: float) -> float:
    return round(value, 3)

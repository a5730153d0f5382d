"""What each fact and each sign adds to the log-odds of a cause, as fitted on labelled trainings.

`weights.json` is written by `plateau-doctor calibrate` and read here; no scikit-learn is needed for that. The log-odds
of a cause, against a run in which nothing is wrong, are a base plus one term a fact and one a sign. What was not
logged adds nothing. There is one set of terms for each richness of logs, since what a loss curve is worth depends on
what else is known. The causes share one probability, so that each is as likely as the others leave room for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from plateau_doctor.facts import Facts, Value
from plateau_doctor.facts.needs import was_logged

__all__ = [
    "AGREED",
    "ALSO",
    "ALSO_AGREED",
    "LEVELS",
    "SURE",
    "Cause",
    "Shape",
    "Weights",
    "level_of",
    "probability",
    "shipped",
]

LIKELY, LIKELY_AGREED = 0.5, 0.3  # probability from which a cause is named; where trusted words name it too
AGREED = 1.0  # how much lower in log-odds a cause is clear that trusted words name too

# How rich a log is, the richest first, by the kinds of log (keys of NEEDS) that it has at least.
LEVELS: Mapping[str, tuple[str, ...]] = {
    "rich": ("train_loss", "layer_gradients"),
    "norm": ("train_loss", "val_loss", "learning_rate", "grad_norm"),
    "rate": ("train_loss", "val_loss", "learning_rate"),
    "accuracy": ("train_loss", "val_loss", "val_metric"),
    "val": ("train_loss", "val_loss"),
    "loss_rate": ("train_loss", "learning_rate"),
    "loss": ("train_loss",),
}


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
        words: What the log-odds of the rule's own words count, on top.
        slope: Of the log-odds of its probability over those of the cause against all others.
        shift: What is added to them.
        trusted: Whether the words of its rule, where they name it, were right often enough to count.
        clear_at: Log-odds from which the cause is clear; `AGREED` less where trusted words name it too.
    """

    base: float
    facts: Mapping[str, Shape]
    signs: Mapping[str, float]
    words: float
    slope: float
    shift: float
    trusted: bool
    clear_at: float

    def probability(self, log_odds: float, others: Iterable[float]) -> float:
        """Return the calibrated probability of the cause, given its log-odds and those of the other causes."""
        rest = [0.0, *others]  # 0: nothing is wrong
        most = max(rest)
        against = most + math.log(sum(math.exp(one - most) for one in rest))
        return probability(self.slope * (log_odds - against) + self.shift)

    def judge(
        self, log_odds: float, p: float, shown: bool, agreed: bool, first: bool
    ) -> Literal["open", "likely", "clear"]:
        """Return whether the cause is told, and how loudly.

        Clear is what few sound runs reach, and a sign of its rule shows; likely is what is as likely as not.
        Elsewhere it is left open.

        Args:
            log_odds: Of the cause, against a sound run.
            p: Probability of the cause.
            shown: Whether a sign of its rule is seen.
            agreed: Whether the words of its rule alone name it.
            first: Whether it is the likeliest of all causes.
        """
        agreed = agreed and self.trusted
        likely = p >= (LIKELY_AGREED if agreed else LIKELY)
        if log_odds >= self.clear_at - (AGREED if agreed else 0.0) and shown and (likely or first):
            return "clear"
        return "likely" if likely else "open"


@dataclass(frozen=True)
class Weights:
    """All fitted terms.

    Attributes:
        levels: Richness of the log (a key of LEVELS) -> cause -> terms; a cause that is not here is judged by the
            words of its rule.
        information: Kind of log (a key of NEEDS) -> cause -> how much it tells about it, in bits a run.
        fitted_on: What they were fitted on, for the foot of the report.
    """

    levels: Mapping[str, Mapping[str, Cause]]
    information: Mapping[str, Mapping[str, float]]
    fitted_on: Mapping[str, int]

    def causes(self, facts: Facts) -> Mapping[str, Cause]:
        """Return the terms that were fitted on logs as rich as this run's."""
        return self.levels.get(level_of(facts), {})

    @classmethod
    def read(cls, text: str) -> Weights:
        """Read the text of a weights file; the inverse of `write`."""
        data = json.loads(text)
        levels = {}
        for name, level in data["levels"].items():
            steps = {fact: tuple(at) for fact, at in level["thresholds"].items()}
            levels[name] = {
                cause: Cause(
                    one["base"],
                    {fact: _shape(steps.get(fact, ()), jumps) for fact, jumps in one["facts"].items()},
                    one["signs"],
                    one["words"],
                    one["slope"],
                    one["shift"],
                    one["trusted"],
                    one["clear_at"],
                )
                for cause, one in level["causes"].items()
            }
        return cls(levels, data["information"], data["fitted_on"])

    def write(self) -> str:
        """Return the text of a weights file, a line a term, so that changes can be read."""
        levels = {}
        for name, causes in sorted(self.levels.items()):
            shapes = {fact: shape for one in causes.values() for fact, shape in one.facts.items()}
            levels[name] = {
                "thresholds": {
                    fact: list(s.thresholds) for fact, s in sorted(shapes.items()) if s.thresholds
                },
                "causes": {
                    cause: {
                        "base": _short(one.base),
                        "words": _short(one.words),
                        "slope": _short(one.slope),
                        "shift": _short(one.shift),
                        "trusted": one.trusted,
                        "clear_at": _short(one.clear_at),
                        "facts": {fact: _plain(shape) for fact, shape in sorted(one.facts.items())},
                        "signs": {text: _short(w) for text, w in sorted(one.signs.items())},
                    }
                    for cause, one in sorted(causes.items())
                },
            }
        whole = {"fitted_on": self.fitted_on, "information": self.information, "levels": levels}
        return _lines(whole, 5) + "\n"


def level_of(facts: Facts) -> str:
    """Return the richest level all of whose logs a run has."""
    return next(
        (name for name, logs in LEVELS.items() if all(was_logged(facts.logged, log) for log in logs)), "loss"
    )


@cache
def shipped() -> Weights:
    """Return the weights that ship with the package."""
    return Weights.read((Path(__file__).parent / "weights.json").read_text(encoding="utf-8"))


def probability(log_odds: float) -> float:
    """Return the probability that log-odds stand for."""
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, log_odds))))


def _shape(thresholds: tuple[float, ...], plain: Any) -> Shape:
    return Shape(words=plain) if isinstance(plain, dict) else Shape(thresholds, tuple(plain))


def _plain(shape: Shape) -> object:
    if shape.words:
        return {word: _short(w) for word, w in sorted(shape.words.items())}
    return [_short(j) for j in shape.jumps]


def _short(value: float) -> float:
    return round(value, 3)


def _lines(value: object, depth: int, indent: int = 0) -> str:
    """Return JSON with a line for each entry down to a depth, and the rest compact."""
    if depth == 0 or not isinstance(value, dict) or not value:
        return json.dumps(value)
    inner = " " * (indent + 1)
    parts = [f"{inner}{json.dumps(k)}: {_lines(v, depth - 1, indent + 1)}" for k, v in value.items()]
    return "{\n" + ",\n".join(parts) + "\n" + " " * indent + "}"

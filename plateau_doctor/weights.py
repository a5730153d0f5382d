"""What the facts of a run say of each cause, as fitted on labelled trainings.

The files of `fitted/` are written by `plateau-doctor calibrate` and read here; no scikit-learn is needed for that. For
each richness of logs, boosted trees (`trees.py`) give each cause log-odds against a sound run, and each fact its share
of them. They are then calibrated, a cause at a time, on predictions for data sets that were not fitted on:

    log-odds of having the cause = own x (against a sound run) + among x (against all other causes and a sound run)
                                   + words x (by the words of its rule) + shift

so that two causes can both be true, and what a rule says in words counts beside what was fitted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from plateau_doctor import places
from plateau_doctor.facts import Facts
from plateau_doctor.odds import log_sum, sums_without_each
from plateau_doctor.trees import Trees
from plateau_doctor.views import views_of

__all__ = [
    "ALSO",
    "LEAST",
    "LEVELS",
    "Judged",
    "Level",
    "Terms",
    "Weights",
    "level_of",
    "shipped",
    "told",
]

ALSO, LEAST = (
    0.0,
    -math.log(4),
)  # log-odds from which a cause is told: as likely as not; one in five, where it is first
BY_WORDS = math.log(25)  # what the signs of a rule come to where its words alone name the cause

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
class Terms:
    """How the log-odds of one cause are made of what the trees and the words say.

    Attributes:
        own: Weight of the log-odds against a sound run.
        among: Weight of the log-odds against all other causes and a sound run together.
        words: Weight of the log-odds by the words of the rule.
        shift: What is added.
    """

    own: float
    among: float
    words: float
    shift: float

    def tempered(self, factor: float) -> Terms:
        """Return terms whose log-odds are a factor of these."""
        return Terms(factor * self.own, factor * self.among, factor * self.words, factor * self.shift)

    def log_odds(self, against_sound: float, others: float, by_words: float) -> float:
        """Return the calibrated log-odds; `others` are the log-odds of all else together, `log_sum` of them and 0."""
        return (
            self.own * against_sound
            + self.among * (against_sound - others)
            + self.words * by_words
            + self.shift
        )


@dataclass(frozen=True)
class Level:
    """The calibration for logs of one richness.

    Attributes:
        causes: Terms of each cause.
        clear_at: Log-odds of being sick, all causes together against a sound run, from which causes are told aloud:
            few sound runs reach it.
        told_at: The same, from which the likeliest cause is told at all.
        lean: How much the words of the rules count in ranking the causes.
        blind: Whether such a log is too poor for a cause that no sign shows.
        views: Whether the trees are asked about other views of a run, too (see `views.py`).
    """

    causes: Mapping[str, Terms]
    clear_at: float
    told_at: float
    lean: float
    blind: bool
    views: bool = False


def told(
    level: Level, log_odds: np.ndarray, sick: np.ndarray, first: np.ndarray, words: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return which causes are told aloud, and which at all; arrays are (..., causes) or broadcast to that.

    Told is the first cause of a run that is sick, unless it is unlikely itself by the fit and by the words of its rule,
    and every cause as likely as not. Aloud, of the latter, where the run stands out from sound ones and the signs that
    are seen speak for the cause: nobody is accused of what cannot be shown. Of a blind log nothing else is told at all.

    Args:
        level: The calibration.
        log_odds: Of having each cause.
        sick: Log-odds of all causes together against a sound run.
        first: Whether a cause is the one that explains most.
        words: What the signs of its rule that are seen come to, in log-odds.
    """
    likely = log_odds >= ALSO
    at_all = likely | (first & ((log_odds >= LEAST) | (words >= BY_WORDS)))
    backed = words > 0
    aloud = likely & backed & (sick >= level.clear_at)
    return aloud, at_all & (backed | (not level.blind)) & (sick >= level.told_at)


@dataclass(frozen=True, eq=False)
class Judged:
    """What the trees and the calibration say of one run.

    Attributes:
        level: Richness of its log, a key of LEVELS.
        sick: Log-odds of all causes together against a sound run.
        against_sound: Cause -> log-odds against a sound run, by which causes are ranked.
        log_odds: Cause -> calibrated log-odds of having it.
        facts: The facts that were asked.
        shares: Cause -> the share of each of these facts in them, (facts,).
        others: Cause -> share of what the other causes explain; never above 0.
        terms: Cause -> its calibration.
    """

    level: str
    sick: float
    against_sound: Mapping[str, float]
    log_odds: Mapping[str, float]
    facts: tuple[str, ...]
    shares: Mapping[str, np.ndarray]
    others: Mapping[str, float]
    terms: Mapping[str, Terms]

    def shares_of(self, cause: str) -> dict[str, float]:
        """Return fact -> its share of the log-odds of a cause, without those that have none."""
        return {fact: v for fact, v in zip(self.facts, self.shares[cause].tolist(), strict=True) if v}


@dataclass(frozen=True, eq=False)
class Weights:
    """All that was fitted.

    Attributes:
        trees: Richness of the log, a key of LEVELS -> the trees that turn its facts into log-odds.
        levels: Richness of the log -> the calibration of those; a run whose richness is not here is judged by the
            words of the rules.
        information: Kind of log (a key of NEEDS) -> cause -> how much it tells about it, in bits a run.
        fitted_on: What they were fitted on, for the foot of the report.
    """

    trees: Mapping[str, Trees]
    levels: Mapping[str, Level]
    information: Mapping[str, Mapping[str, float]]
    fitted_on: Mapping[str, int]

    def judge(
        self, facts: Facts, by_words: Mapping[str, float], beside: Mapping[str, float]
    ) -> Judged | None:
        """Judge a run; causes that are not in `by_words` are left out. None without terms for such a log.

        Args:
            facts: Of the run.
            by_words: Log-odds of each known cause by the words of its rule.
            beside: Log-odds of each known cause by what other runs tell, which trees know nothing of.
        """
        name = level_of(facts)
        if name not in self.levels:
            return None
        trees, terms = self.trees[name], self.levels[name].causes
        seen = (facts, *(views_of(facts.logged) if self.levels[name].views else ()))
        shares = np.mean([trees.shares(trees.row(one)) for one in seen], axis=0)
        shares = shares[:-1] - shares[-1]  # against a sound run
        causes = trees.classes[:-1]
        sums = shares.sum(axis=1) + [beside.get(cause, 0.0) for cause in causes]
        besides = sums_without_each(sums)
        log_odds, parts, rest = {}, {}, {}
        for k, cause in enumerate(causes):
            if cause in terms and cause in by_words:
                one, others = terms[cause], besides[k]
                log_odds[cause] = one.log_odds(float(sums[k]), others, by_words[cause])
                parts[cause] = (one.own + one.among) * shares[k, :-1]  # the last one is the base
                rest[cause] = -one.among * others
        margins = dict(zip(causes, map(float, sums), strict=True))
        return Judged(name, log_sum(sums), margins, log_odds, trees.features, parts, rest, terms)

    @classmethod
    def read(cls, folder: Path) -> Weights:
        """Read what `write` has written; the trees of a level are read when they are asked for."""
        data = json.loads((folder / "weights.json").read_text(encoding="utf-8"))
        levels = {
            name: Level(
                {cause: Terms(*terms) for cause, terms in level["causes"].items()},
                level["clear_at"],
                level["told_at"],
                level["lean"],
                level["blind"],
                level["views"],
            )
            for name, level in data["levels"].items()
        }
        return cls(_TreesOf(folder), levels, data["information"], data["fitted_on"])

    def write(self, folder: Path) -> None:
        """Write `weights.json`, a line a cause, so that changes can be read, and `LEVEL.npz` with its trees."""
        levels = {
            name: {
                "clear_at": round(level.clear_at, 3),
                "told_at": round(level.told_at, 3),
                "lean": level.lean,
                "blind": level.blind,
                "views": level.views,
                "causes": {
                    cause: [round(v, 3) for v in asdict(terms).values()]
                    for cause, terms in sorted(level.causes.items())
                },
            }
            for name, level in self.levels.items()
        }
        whole = {"fitted_on": self.fitted_on, "information": self.information, "levels": levels}
        folder.mkdir(exist_ok=True)
        (folder / "weights.json").write_text(_lines(whole, 4) + "\n", encoding="utf-8")
        for name in levels:
            self.trees[name].write(folder / f"{name}.npz")


class _TreesOf(Mapping[str, Trees]):
    """The trees of a folder, each level read when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[str, Trees] = {}

    def __getitem__(self, level: str) -> Trees:
        if level not in self.known:
            self.known[level] = Trees.read(self.folder / f"{level}.npz")
        return self.known[level]

    def __iter__(self) -> Iterator[str]:
        return iter(LEVELS)

    def __len__(self) -> int:
        return len(LEVELS)


def level_of(facts: Facts) -> str:
    """Return the richest level all of whose logs a run has."""
    return next((name for name, logs in LEVELS.items() if all(map(facts.was_logged, logs))), "loss")


@cache
def shipped() -> Weights:
    """Return the weights that ship with the package."""
    return Weights.read(places.weights_folder())


def _lines(value: object, depth: int, indent: int = 0) -> str:
    """Return JSON with a line for each entry down to a depth, and the rest compact."""
    if depth == 0 or not isinstance(value, dict) or not value:
        return json.dumps(value)
    inner = " " * (indent + 1)
    parts = [f"{inner}{json.dumps(k)}: {_lines(v, depth - 1, indent + 1)}" for k, v in value.items()]
    return "{\n" + ",\n".join(parts) + "\n" + " " * indent + "}"

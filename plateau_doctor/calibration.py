"""Calibrates what trees fitted on labeled trainings say, for each richness of logs, by scikit-learn.

A logistic regression a cause (Platt 1999) on what the trees (`fitting.py`) say, beside what the words of its rule say,
on predictions across folds: no data set is on both sides. Causes are told aloud from the log-odds of being sick at
which about two sound runs in a hundred are accused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from plateau_doctor.facts import Value, known_facts
from plateau_doctor.facts.needs import NEEDS
from plateau_doctor.fitting import (
    FOLDS,
    across_folds,
    as_columns,
    columns_of,
    fit_trees,
    margins_of,
    trees_of,
)
from plateau_doctor.labeled import Table, at_level, causes_of, examples, folds, row_weights, without
from plateau_doctor.rule import Rule
from plateau_doctor.trees import Trees
from plateau_doctor.weights import Level, Terms, told
from plateau_doctor.worded import PRIOR, by_words

__all__ = ["Predicted", "calibrated", "fit", "information"]

FEWEST_LABELS = 12  # logs with a cause that a calibration needs
ACCUSED, TOLD = 0.01, 0.145  # shares of sound runs that may be accused, or told anything at all
# How much the words count in ranking: the trees know small nets on small data alone, the words were written for others
# too. On the corpus 0.3 costs 1 % of the right first causes; of the 11 example runs, made by Keras, it saves 3.
LEAN, LEAN_OTHERWISE = {"rich": 0.3, "norm": 0.3}, 0.2
BLIND = ("loss_rate", "loss")  # without held-out data
# levels judged by several views of a run (`views.py`): those of which the corpus has runs logged in several ways
VIEWED = ("rate", "loss_rate")
OTHER_VIEWS = {"epoch": ("thinned",), "resumed": ("thinned",), "step": ("epoch", "thinned")}
CAUTION = 0.9  # factor on log-odds: a user's data differ from ours by more than ours from each other
ELSEWHERE = 0.3  # what a log in which a cause is not first counts for its calibration
ASKED_OF = ("train_loss", "val_loss", "val_metric", "learning_rate")  # what most people log


@dataclass(frozen=True, eq=False)
class Predicted:
    """What is predicted for the logs of a table.

    Attributes:
        table: The logs.
        causes: Their causes, in the order of the columns.
        odds: Log-odds against a sound run, by the trees, (n, causes).
        words: Log-odds by the words of the rules, (n, causes).
        lean: How much the words count in ranking the causes.
    """

    table: Table
    causes: Sequence[str]
    odds: np.ndarray
    words: np.ndarray
    lean: float = 0.0

    @classmethod
    def of(cls, table: Table, rules: Sequence[Rule], causes: Sequence[str], odds: np.ndarray) -> Predicted:
        """Add what the rules say in words to what the trees say, the mean over the views of a run where it has some."""
        if table.rows["level"].iat[0] in VIEWED:
            odds = _over_views(table, odds)
        known = {rule.cause: rule for rule in rules}
        records = _records(table)
        words = np.full(odds.shape, PRIOR)
        for k, cause in enumerate(causes):
            if cause in known:
                words[:, k] = by_words(known[cause], records)
        return cls(table, causes, odds, words)

    def only(self, chosen: np.ndarray) -> Predicted:
        """Return what is predicted for the chosen logs, by a mask."""
        return replace(
            self,
            table=self.table.only(chosen),
            odds=self.odds[chosen],
            words=self.words[chosen],
        )

    @property
    def sick(self) -> np.ndarray:
        """Log-odds of all causes together against a sound run, (n,)."""
        return _log_sums(self.odds)

    @property
    def others(self) -> np.ndarray:
        """Log-odds of all else together, a sound run included, against a sound run, (n, causes)."""
        nothing = np.zeros((len(self.odds), 1))
        parts = [np.hstack([np.delete(self.odds, k, axis=1), nothing]) for k in range(self.odds.shape[1])]
        return np.stack([_log_sums(part) for part in parts], axis=1)

    def calibrated(self, level: Level) -> np.ndarray:
        """Return the calibrated log-odds of having each cause, (n, causes)."""
        terms = np.array([_numbers_of(level.causes[cause]) for cause in self.causes])
        return np.asarray(
            terms[:, 0] * self.odds
            + terms[:, 1] * (self.odds - self.others)
            + terms[:, 2] * self.words
            + terms[:, 3]
        )

    @property
    def rank(self) -> np.ndarray:
        """How much each cause explains, (n, causes)."""
        return np.asarray(self.odds + self.lean * (self.words - PRIOR))

    @property
    def first(self) -> np.ndarray:
        """The cause that explains most, by place, (n,)."""
        return np.asarray(np.argmax(self.rank, axis=1))

    def told(self, level: Level) -> tuple[np.ndarray, np.ndarray]:
        """Return which causes are told aloud, and which at all, (n, causes) each, as `weights.told` has it."""
        first = np.arange(self.odds.shape[1]) == self.first[:, None]
        return told(level, self.calibrated(level), self.sick[:, None], first, self.words - PRIOR)


def calibrated(predicted: Predicted, rules: Sequence[Rule], level: str) -> Level:
    """Return the calibration of a level, by what was predicted for its logs across folds."""
    predicted = replace(predicted, lean=LEAN.get(level, LEAN_OTHERWISE))
    factor = _temper(predicted)
    causes = {cause: terms.tempered(factor) for cause, terms in _all_terms(predicted).items()}
    blind = level in BLIND
    views = level in VIEWED
    made = Level(causes, clear_at=0.0, told_at=0.0, lean=predicted.lean, blind=blind, views=views)
    loud = {rule.cause for rule in rules if rule.severity != "note"}
    aloud = [k for k, cause in enumerate(predicted.causes) if cause in loud]
    sound = predicted.only(predicted.table.sound())
    weights, sick = row_weights(sound.table), sound.sick
    clear, all_told = sound.told(replace(made, clear_at=-np.inf, told_at=-np.inf))
    told_at = _bar(sick, np.asarray(all_told.any(axis=1)), weights, TOLD)
    clear_at = _bar(sick, np.asarray(clear[:, aloud].any(axis=1)), weights, ACCUSED)
    return replace(made, clear_at=max(clear_at, told_at), told_at=told_at)


def _over_views(table: Table, odds: np.ndarray) -> np.ndarray:
    """Return log-odds (n, causes) as the mean over those of a run's other views, where all of them are in the table."""
    rows, means = table.rows.reset_index(drop=True), odds.copy()
    keys = pd.MultiIndex.from_frame(rows[["name", "seed"]])
    places = {
        axis: pd.Series(rows.index[own], keys[own]).reindex(keys).to_numpy(dtype=float)
        for axis in ("epoch", "thinned")
        for own in [(rows["axis"] == axis).to_numpy()]
    }
    for axis, others in OTHER_VIEWS.items():
        own = (rows["axis"] == axis).to_numpy()
        for other in others:
            own = own & np.isfinite(places[other])
        beside = [odds[places[other][own].astype(int)] for other in others]
        means[own] = np.mean([odds[own], *beside], axis=0)
    return means


def _all_terms(predicted: Predicted) -> dict[str, Terms]:
    return {cause: _terms(predicted, k) for k, cause in enumerate(predicted.causes)}


def _temper(predicted: Predicted) -> float:
    """Return by how much the log-odds of the first cause are to shrink, as data sets differ: 1 for not at all.

    Terms are fitted on some data sets, and it is measured on the others how often the first cause is right.
    """
    first, right = np.empty(len(predicted.odds)), np.zeros(len(predicted.odds), dtype=bool)
    places = np.arange(len(predicted.odds))
    for others, test in folds(predicted.table, FOLDS):
        level = Level(_all_terms(predicted.only(others)), 0.0, 0.0, 0.0, blind=False)
        first[test] = predicted.calibrated(level)[places, predicted.first][test]
    decided = np.ones(len(first), dtype=bool)
    for k, cause in enumerate(predicted.causes):
        own = predicted.first == k
        right[own] = predicted.table.labels(cause)[own]
        decided[own] = (right | ~predicted.table.undecided(cause))[own]
    model = LogisticRegression(C=10.0, fit_intercept=False)
    model.fit(first[decided, None], right[decided], sample_weight=row_weights(predicted.table)[decided])
    return CAUTION * float(np.clip(model.coef_[0, 0], 0.5, 1.0))


def _terms(predicted: Predicted, k: int) -> Terms:
    """Fit the terms of one cause; none of the first three is below 0."""
    cause, table = predicted.causes[k], predicted.table
    decided = ~table.undecided(cause) | table.labels(cause)
    labels = table.labels(cause)[decided]
    if labels.sum() < FEWEST_LABELS:
        return Terms(0.0, 1.0, 0.0, 0.0)
    first = predicted.first[decided] == k
    says = row_weights(table)[decided] * np.where(first, 1.0, ELSEWHERE)
    given = np.stack(
        [predicted.odds[:, k], (predicted.odds - predicted.others)[:, k], predicted.words[:, k]], axis=1
    )[decided]
    kept, terms = [0, 1, 2], np.zeros(4)
    while kept:
        model = LogisticRegression(C=10.0, max_iter=500).fit(given[:, kept], labels, sample_weight=says)
        terms[:] = 0.0
        terms[kept], terms[3] = model.coef_[0], model.intercept_[0]
        wrong = [i for i in kept if terms[i] < 0]
        if not wrong:
            break
        kept = [i for i in kept if i not in wrong]
    return Terms(*map(float, terms))


def _bar(sick: np.ndarray, told_then: np.ndarray, weights: np.ndarray, share: float) -> float:
    """Return the log-odds of being sick above which that share of the logs lies, of those told anything there."""
    order = np.argsort(-sick)
    over = np.cumsum((weights * told_then)[order]) / weights.sum() > share
    return float(sick[order][np.argmax(over)]) if over.any() else 0.0


def fit(table: Table, rules: Sequence[Rule], level: str, kept: Path | None = None) -> tuple[Trees, Level]:
    """Fit trees and calibration of a level.

    Args:
        table: The whole corpus.
        rules: The rules whose words count beside the trees.
        level: A key of LEVELS.
        kept: Folder where the trees, and what they predict across folds, are kept between calls.
    """
    causes, whole = causes_of(table), examples(table, level)
    odds = across_folds(whole, causes, kept=kept and kept / f"{level}-{FOLDS}.npy")
    own = at_level(table, level)  # comes first
    predicted = Predicted.of(own, rules, causes, odds[: len(own.rows)])
    return trees_of(whole, causes, kept and kept / f"{level}.npz"), calibrated(predicted, rules, level)


def information(table: Table) -> dict[str, dict[str, float]]:
    """Return how much each kind of log tells about each cause, in bits a run, beside what most people log.

    Measured on the data sets of one fold, rich and epoch-wise, by trees fitted on the others.
    """
    causes, whole = causes_of(table), examples(table, "rich")
    names, values = columns_of(whole)
    fits, given = fit_trees(values, whole, causes, folds(whole, FOLDS)[0][0])
    rich = at_level(table, "rich")
    judged = rich.only(folds(rich, FOLDS)[0][1] & (rich.rows["axis"] == "epoch").to_numpy())
    labels = np.stack([judged.labels(cause) for cause in causes], axis=1)

    def surprise(logged: Sequence[str]) -> np.ndarray:
        part = without(judged, [need for need in NEEDS if need not in logged], "rich")
        margins = margins_of(fits, given, as_columns(part, names), len(causes))
        nothing = np.zeros((len(margins), 1))
        shares = np.exp(margins - _log_sums(np.hstack([margins, nothing]))[:, None])
        return np.asarray(-np.log2(np.clip(np.where(labels, shares, 1 - shares), 1e-4, 1)).mean(axis=0))

    found = {}
    for need in NEEDS:
        rest = [one for one in ASKED_OF if one != need]
        gain = np.clip(surprise(rest) - surprise([*rest, need]), 0, None)
        found[need] = {cause: round(float(g), 4) for cause, g in zip(causes, gain, strict=True)}
    return found


def _numbers_of(terms: Terms) -> tuple[float, float, float, float]:
    return terms.own, terms.among, terms.words, terms.shift


def _log_sums(log_odds: np.ndarray) -> np.ndarray:
    most = log_odds.max(axis=1)
    return np.asarray(most + np.log(np.exp(log_odds - most[:, None]).sum(axis=1)))


def _records(table: Table) -> list[dict[str, Value]]:
    facts = table.facts.reindex(columns=list(known_facts())).astype(object)
    return facts.where(facts.notna(), None).to_dict("records")  # type: ignore[return-value]

"""Fits the weights of facts and signs on labelled trainings, by scikit-learn, and predicts across folds.

One regularized logistic regression a cause. A number enters as a staircase of a few thresholds, each +-1/2; what was
not logged enters as 0, so that it adds nothing. Signs enter likewise, scaled by the word of their strength, so that
the word is what the fit starts from; a sign whose weight would contradict its word is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from plateau_doctor.diagnosis import STRENGTH
from plateau_doctor.facts import Value, known_facts
from plateau_doctor.rule import Rule
from plateau_doctor.weights import Cause, Shape

__all__ = ["Table", "fit", "predict", "read_table"]

STEPS = 6  # thresholds of a fact at most, at even shares of the runs that logged it
SOFTNESS = 0.1  # C of the logistic regression
FEWEST_RUNS = 200  # logs that a fact must be known in
TEXTS = ("state.name",)
LARGEST = 1e9


@dataclass(frozen=True, eq=False)
class Table:
    """Facts and labels of many logs.

    Attributes:
        facts: One row a log, one column a fact; None or NaN where not logged.
        rows: Beside it: name, seed, level, axis.
        configs: One row a configuration, by name: task, architecture, injected, labels (sets of causes).
    """

    facts: pd.DataFrame
    rows: pd.DataFrame
    configs: pd.DataFrame

    def labels(self, cause: str) -> np.ndarray:
        """Return whether each log's configuration has a cause, shape (n,)."""
        has = self.configs["labels"].map(lambda causes: cause in causes)
        return self.rows["name"].map(has).to_numpy(dtype=bool)

    def only(self, chosen: np.ndarray) -> Table:
        """Return the chosen logs, by a mask or places of shape (n,)."""
        return Table(
            self.facts.loc[chosen].reset_index(drop=True),
            self.rows.loc[chosen].reset_index(drop=True),
            self.configs,
        )


def read_table(folder: Path) -> Table:
    """Read `facts.csv.gz` and `labels.csv.gz`, as `benchmarks/corpus.py table` writes them."""
    frame = pd.read_csv(folder / "facts.csv.gz", low_memory=False)
    configs = pd.read_csv(folder / "labels.csv.gz", keep_default_na=False).set_index("name")
    configs["labels"] = configs["labels"].map(lambda text: frozenset(p.split(":")[0] for p in text.split()))
    configs["injected"] = configs["injected"].map(lambda text: frozenset(text.split()))
    keys = ["name", "seed", "level", "axis"]
    return Table(frame.drop(columns=keys), frame[keys], configs)


def masked(table: Table, rng: np.random.Generator) -> Table:
    """Return the same logs without some of what was logged: each kind of log is left out by a coin."""
    needs = {name: fact.needs for name, fact in known_facts().items()}
    facts = table.facts.copy()
    for need in sorted(set(needs.values()) - {"train_loss"}):
        columns = [name for name in facts.columns if needs.get(name) == need]
        facts.loc[rng.random(len(facts)) < 0.4, columns] = np.nan
    return Table(facts, table.rows.assign(level="masked"), table.configs)


def joined(tables: Iterable[Table]) -> Table:
    """Return the logs of several tables of the same configurations."""
    parts = list(tables)
    return Table(
        pd.concat([t.facts for t in parts], ignore_index=True),
        pd.concat([t.rows for t in parts], ignore_index=True),
        parts[0].configs,
    )


class Design:
    """Columns of the regression: which thresholds stand for which fact, and which signs for which rule."""

    def __init__(self, table: Table, rules: Sequence[Rule]) -> None:
        self.thresholds: dict[str, tuple[float, ...]] = {}
        numbers = _numbers(table.facts)
        for name in numbers.columns:
            known = numbers[name].dropna().to_numpy()
            if len(known) >= FEWEST_RUNS:
                inner = np.quantile(known, np.linspace(0, 1, STEPS + 2)[1:-1], method="inverted_cdf")
                steps = sorted({float(f"{t:.3g}") for t in inner})
                steps = [t for t in steps if 0 < np.mean(known > t) < 1]
                if steps:
                    self.thresholds[name] = tuple(steps)
        self.words = {
            name: sorted(table.facts[name].dropna().unique()) for name in TEXTS if name in table.facts
        }
        self.rules = {rule.cause: rule for rule in rules}

    def facts(self, table: Table) -> np.ndarray:
        """Return the columns of all facts, (n, columns)."""
        numbers, columns = _numbers(table.facts), []
        for name, steps in self.thresholds.items():
            value = numbers[name].to_numpy()
            known = np.isfinite(value)
            columns += [np.where(known, np.where(value > t, 0.5, -0.5), 0.0) for t in steps]
        for name, words in self.words.items():
            columns += [(table.facts[name] == word).to_numpy(dtype=float) for word in words]
        return np.stack(columns, axis=1).astype(np.float32)

    def signs(self, table: Table, cause: str) -> np.ndarray:
        """Return the columns of a rule's signs, (n, signs), scaled by their words."""
        rule = self.rules.get(cause)
        if rule is None or not rule.signs:
            return np.empty((len(table.rows), 0), dtype=np.float32)
        records = _records(table, {name for sign in rule.signs for name in sign.condition.names})
        columns = []
        for sign in rule.signs:
            seen = [sign.condition.evaluate(record) for record in records]
            plain = np.array([0.0 if s is None else 0.5 if s else -0.5 for s in seen])
            columns.append(plain * STRENGTH[sign.strength] * (1 if sign.side == "for" else -1))
        return np.stack(columns, axis=1).astype(np.float32)

    def cause(self, cause: str, coefficients: np.ndarray, base: float) -> Cause:
        """Return the terms that fitted coefficients (columns of facts, then signs) stand for."""
        shapes, at = {}, 0
        for name, steps in self.thresholds.items():
            jumps = coefficients[at : at + len(steps)]
            at += len(steps)
            if np.abs(jumps).max() > 0.002:
                shapes[name] = Shape(steps, tuple(float(j) for j in jumps))
        for name, words in self.words.items():
            shapes[name] = Shape(words={w: float(c) for w, c in zip(words, coefficients[at:], strict=False)})
            at += len(words)
        signs: dict[str, float] = {}
        rule = self.rules.get(cause)
        for sign, weight in zip(rule.signs if rule else (), coefficients[at:], strict=True):
            scaled = STRENGTH[sign.strength] * (1 if sign.side == "for" else -1) * float(weight)
            signs[sign.condition.text] = signs.get(sign.condition.text, 0.0) + scaled
        return Cause(base, shapes, signs)


def fit(
    table: Table, rules: Sequence[Rule], causes: Sequence[str]
) -> tuple[Design, dict[str, tuple[np.ndarray, float]]]:
    """Return the design and, for each cause, its coefficients and base."""
    design = Design(table, rules)
    shared = design.facts(table)
    weights = row_weights(table)
    found = {}
    for cause in causes:
        columns = np.hstack([shared, design.signs(table, cause)])
        found[cause] = _fit_one(columns, shared.shape[1], table.labels(cause), weights)
    return design, found


def row_weights(table: Table) -> np.ndarray:
    """Return weights that give each configuration the same say, however many logs it has; mean 1."""
    counts = table.rows["name"].map(table.rows["name"].value_counts()).to_numpy(dtype=float)
    return 1 / counts * len(counts) / np.sum(1 / counts)


def _fit_one(
    columns: np.ndarray, n_facts: int, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, float]:
    coefficients = np.zeros(columns.shape[1])
    kept = np.ones(columns.shape[1], dtype=bool)
    if not labels.any():
        return coefficients, -10.0
    while True:
        model = LogisticRegression(C=SOFTNESS, max_iter=400, tol=1e-3).fit(
            columns[:, kept], labels, sample_weight=weights
        )
        coefficients[:] = 0.0
        coefficients[kept] = model.coef_[0]
        wrong = coefficients[n_facts:] < 0  # signs are scaled by their words: a negative weight contradicts
        if not wrong.any():
            return coefficients, float(model.intercept_[0])
        kept[n_facts:] &= ~wrong


def predict(design: Design, fitted: Mapping[str, tuple[np.ndarray, float]], table: Table) -> np.ndarray:
    """Return log-odds of each log and cause, (n, causes)."""
    shared = design.facts(table)
    odds = []
    for cause, (coefficients, base) in fitted.items():
        columns = np.hstack([shared, design.signs(table, cause)])
        odds.append(columns @ coefficients + base)
    return np.stack(odds, axis=1)


def _numbers(facts: pd.DataFrame) -> pd.DataFrame:
    numbers = facts.drop(columns=[name for name in TEXTS if name in facts]).apply(
        pd.to_numeric, errors="coerce"
    )
    clipped: pd.DataFrame = numbers.clip(-LARGEST, LARGEST)
    return clipped


def _records(table: Table, names: Iterable[str]) -> list[dict[str, Value]]:
    part = table.facts[[name for name in names if name in table.facts]]
    return part.astype(object).where(part.notna(), None).to_dict("records")  # type: ignore[return-value]


def log_loss_bits(labels: np.ndarray, log_odds: np.ndarray) -> float:
    """Return the mean surprise of labels under log-odds, in bits."""
    return float(np.mean(np.logaddexp(0, np.where(labels, -log_odds, log_odds))) / math.log(2))


def folds(table: Table, number: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (train, test) masks: no data set is on both sides, and no net of a data set either."""
    tasks = table.rows["name"].map(table.configs["task"]).to_numpy()
    order = np.random.default_rng(0).permutation(sorted(set(tasks)))
    tests = [np.isin(tasks, order[i::number]) for i in range(number)]
    return [(~test, test) for test in tests]


def across_folds(
    table: Table, rules: Sequence[Rule], causes: Sequence[str], number: int = 5, extra: Table | None = None
) -> np.ndarray:
    """Return log-odds (n, causes) of each log, by weights fitted without its data set; then calibrated likewise.

    `extra` logs of the same configurations are fitted on too, where theirs are, and not predicted.
    """
    odds = np.zeros((len(table.rows), len(causes)))
    for train, test in folds(table, number):
        learned = table.only(train)
        if extra is not None:
            names = set(learned.rows["name"])
            learned = joined([learned, extra.only(extra.rows["name"].isin(names).to_numpy())])
        design, fitted = fit(learned, rules, causes)
        odds[test] = predict(design, fitted, table.only(test))
    return odds


def scales(table: Table, causes: Sequence[str], odds: np.ndarray) -> np.ndarray:
    """Return slope and shift (causes, 2) that make log-odds predicted across folds into calibrated ones (Platt 1999)."""
    weights, found = row_weights(table), []
    for k, cause in enumerate(causes):
        labels = table.labels(cause)
        if labels.sum() < 20:
            found.append((1.0, 0.0))
            continue
        model = LogisticRegression(C=10.0).fit(odds[:, [k]], labels, sample_weight=weights)
        found.append((float(np.clip(model.coef_[0, 0], 0.3, 3.0)), float(model.intercept_[0])))
    return np.array(found)

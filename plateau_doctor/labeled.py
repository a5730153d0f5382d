"""Labeled logs: the facts and labels of many trainings (`benchmarks/corpus.py table`), poor copies of them, folds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from plateau_doctor.facts import known_facts
from plateau_doctor.facts.needs import NEEDS
from plateau_doctor.weights import LEVELS

__all__ = [
    "GAPS",
    "Table",
    "at_level",
    "causes_of",
    "examples",
    "folds",
    "joined",
    "read_table",
    "row_weights",
    "without",
]

KEPT = ("state.name",)  # what is known of a run whatever was logged
GAPS = "gaps"  # axis of the copies that some of what was logged is missing from
OFTEN_MISSING = 0.3  # chance that a kind of log is left out of a second copy
BY_SEED = "overfitting"  # what one seed of a configuration has and another has not
MARKS = {"labels": "1", "undecided": "?~"}
MADE = ("loss_rate",)
RICHER = {"norm": "rich", "accuracy": "rate", "val": "rate", "loss": "rate"}


@dataclass(frozen=True, eq=False)
class Table:
    """Facts and labels of many logs.

    Attributes:
        facts: One row a log, one column a fact; None or NaN where not logged.
        rows: Beside it: name, seed, level, axis.
        configs: One row a configuration, by name: task, architecture, the sets of causes injected, labels,
            undecided, and a mark for each seed (0, 1, ? and ~ where it is open) whether it overfitted.
    """

    facts: pd.DataFrame
    rows: pd.DataFrame
    configs: pd.DataFrame

    def labels(self, cause: str) -> np.ndarray:
        """Return whether each log's configuration has a cause, shape (n,)."""
        return self._in("labels", cause)

    def undecided(self, cause: str) -> np.ndarray:
        """Return whether it is open that each log's configuration has a cause, shape (n,)."""
        return self._in("undecided", cause)

    def injected(self, cause: str) -> np.ndarray:
        """Return whether a cause was injected into each log's configuration, shape (n,)."""
        return self._in("injected", cause)

    def sound(self) -> np.ndarray:
        """Return whether nothing was injected into each log's configuration, and nothing found, shape (n,)."""
        empty = [self.configs[column].map(len) == 0 for column in ("labels", "undecided", "injected")]
        return self.rows["name"].map(empty[0] & empty[1] & empty[2]).to_numpy(dtype=bool)

    def only(self, chosen: np.ndarray) -> Table:
        """Return the chosen logs, by a mask or places of shape (n,)."""
        return Table(
            self.facts.loc[chosen].reset_index(drop=True),
            self.rows.loc[chosen].reset_index(drop=True),
            self.configs,
        )

    def _in(self, column: str, cause: str) -> np.ndarray:
        if cause == BY_SEED and column in MARKS:
            marks = self.rows["name"].map(self.configs["overfitted"])
            each = [own[seed] in MARKS[column] for own, seed in zip(marks, self.rows["seed"], strict=True)]
            return np.array(each, dtype=bool)
        holds = self.configs[column].map(lambda causes: cause in causes)
        return self.rows["name"].map(holds).to_numpy(dtype=bool)


def read_table(folder: Path) -> Table:
    """Read `facts.csv.gz` and `labels.csv.gz`, as `benchmarks/corpus.py table` writes them."""
    frame = pd.read_csv(folder / "facts.csv.gz", low_memory=False)
    configs = pd.read_csv(folder / "labels.csv.gz", keep_default_na=False, dtype={"overfitted": str})
    configs = configs.set_index("name")
    configs["labels"] = configs["labels"].map(lambda text: frozenset(p.split(":")[0] for p in text.split()))
    for column in ("injected", "undecided"):
        configs[column] = configs[column].map(lambda text: frozenset(text.split()))
    keys = ["name", "seed", "level", "axis"]
    return Table(frame.drop(columns=keys), frame[keys], configs)


def at_level(table: Table, level: str) -> Table:
    """Return the logs that a level is calibrated and judged by: those of it, or made of richer ones.

    Losses and rate alone are nobody's level in the corpus: they are made of the logs that have more.
    """
    if level in MADE:
        return without(at_level(table, "rate"), _others(level), level)
    return table.only(((table.rows["level"] == level) & (table.rows["axis"] != GAPS)).to_numpy())


def examples(table: Table, level: str) -> Table:
    """Return the logs that the trees of a level are fitted on: its own, richer ones made as poor, and gaps.

    Rich logs come a second time with more of it missing.
    """
    own = at_level(table, level)
    if level == "rich":
        return joined([own, thinned(own)])
    if level in RICHER:
        return joined([own, without(at_level(table, RICHER[level]), _others(level), level)])
    return own


def _others(level: str) -> list[str]:
    """Return the kinds of log that a level lacks."""
    kept = {*LEVELS[level], *(("train_metric",) if "val_metric" in LEVELS[level] else ())}
    if level == "norm":
        kept |= {"train_metric", "val_metric"}
    return [need for need in NEEDS if need not in kept | {"batch_loss"}]


def without(table: Table, needs: Iterable[str], level: str) -> Table:
    """Return the same logs with the facts of these kinds of log left out."""
    of = {name: fact.needs for name, fact in known_facts().items()}
    gone = set(needs)
    facts = table.facts.copy()
    facts[[name for name in facts.columns if of.get(name) in gone and name not in KEPT]] = np.nan
    return Table(facts, table.rows.assign(level=level), table.configs)


def thinned(table: Table, seed: int = 0) -> Table:
    """Return the same logs, where each kind of log but the losses and the layers' gradients is left out by a coin."""
    rng, facts = np.random.default_rng(seed), table.facts.copy()
    of = {name: fact.needs for name, fact in known_facts().items()}
    for need in sorted(set(of.values()) - {"train_loss", "layer_gradients", "gradient_histograms"}):
        columns = [name for name in facts.columns if of.get(name) == need]
        facts.loc[rng.random(len(facts)) < OFTEN_MISSING, columns] = np.nan
    return Table(facts, table.rows.assign(axis=GAPS), table.configs)


def joined(tables: Iterable[Table]) -> Table:
    """Return the logs of several tables of the same configurations."""
    parts = list(tables)
    return Table(
        pd.concat([t.facts for t in parts], ignore_index=True),
        pd.concat([t.rows for t in parts], ignore_index=True),
        parts[0].configs,
    )


def causes_of(table: Table) -> list[str]:
    """Return the causes that any configuration has, in alphabetical order."""
    return sorted({cause for labels in table.configs["labels"] for cause in labels})


def row_weights(table: Table) -> np.ndarray:
    """Return weights that give each configuration the same say, however many logs it has; mean 1."""
    counts = table.rows["name"].map(table.rows["name"].value_counts()).to_numpy(dtype=float)
    return 1 / counts * len(counts) / np.sum(1 / counts)


def folds(table: Table, number: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (train, test) masks: no data set is on both sides, and so no net of a data set either.

    Data sets of one kind (those that the same nets are trained on) are dealt out evenly.
    """
    tasks = table.rows["name"].map(table.configs["task"]).to_numpy()
    nets = table.configs.groupby("task")["architecture"].agg(lambda names: " ".join(sorted(set(names))))
    order = sorted(set(tasks), key=lambda name: (nets[name], name))
    tests = [np.isin(tasks, order[i::number]) for i in range(number)]
    return [(~test, test) for test in tests]

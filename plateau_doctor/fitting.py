"""Fits boosted trees on labeled logs by scikit-learn, predicts by them across folds, and makes plain arrays of them.

Gradient boosting of a multinomial (Friedman 2001): all causes, and being sound, against each other; the mean of a few
fits that differ by the facts each node may ask (max_features). What was not logged is unknown to the trees, and takes
the branch that suits the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

from plateau_doctor.labeled import Table, folds, row_weights
from plateau_doctor.trees import LEAF, Trees

__all__ = [
    "FOLDS",
    "across_folds",
    "as_columns",
    "columns_of",
    "fit_trees",
    "margins_of",
    "plain_trees",
    "trees_of",
]

Fits = Sequence[HistGradientBoostingClassifier]

TREES = {"max_iter": 90, "learning_rate": 0.08, "max_leaf_nodes": 16, "min_samples_leaf": 15,
         "l2_regularization": 5.0, "max_bins": 64, "early_stopping": False}  # fmt: skip
# How many fits a level is the mean of, and which share of the facts their nodes may ask: the fewer, the more the fits
# differ. By the folds of benchmarks/accuracy.py poorer logs gain a little by two and by four, rich ones nothing; most
# people log losses, a metric and the rate.
FITS, ASKED = {"rich": 1, "rate": 4}, {"rich": 0.3}
FITS_OTHERWISE, ASKED_OTHERWISE = 2, 0.15
LARGEST = 1e9
FEWEST_RUNS = 200  # logs that a fact must be known in
LEFT_OUT = frozenset({
    # tell which task it is, or which writer; the state is a reading of what others measure
    "classes.count", "classes.majority", "start.loss", "batches.saw", "batches.saw_height", "batches.periodic",
    "batches.last_short", "activations.edge", "net.loss", "state.name",
    *(f"{side}_loss.{what}" for side in ("train", "val") for what in ("level", "first", "grain", "flat")),
})  # fmt: skip
# these tell more of how a run was logged, step by step, by epochs, thinned or resumed, than of the run; rich logs tell
# enough else
UNSTEADY = frozenset(
    "batches.per_epoch log.restarts log.rewound train_loss.per_epoch train_loss.zeros".split()
)
FOLDS = 5
INJECTED = 3.0  # how much more a cause that was put in counts than one that came with it


def columns_of(table: Table) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of the columns that trees may ask for, and their values, (n, columns); NaN where unknown."""
    left_out = LEFT_OUT if _level(table) == "rich" else LEFT_OUT | UNSTEADY
    numbers = [n for n in table.facts if n not in left_out and not str(n).startswith("siblings.")]
    least = min(FEWEST_RUNS, len(table.facts) // 10)
    names = tuple(str(n) for n in numbers if table.facts[n].notna().sum() >= least)
    return names, as_columns(table, names)


def fit_trees(
    values: np.ndarray, table: Table, causes: Sequence[str], chosen: np.ndarray
) -> tuple[Fits, np.ndarray]:
    """Fit trees on the chosen logs (mask, (n,)); return the fits and the places of the columns they were given.

    A log with several causes counts for each by its share.
    """
    shares = np.stack([table.labels(c) * (1 + (INJECTED - 1) * table.injected(c)) for c in causes], axis=1)
    shares = np.hstack([shares, table.sound()[:, None]]) * chosen[:, None]
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-9)
    rows, classes = np.nonzero(shares)
    differ = np.array([k for k in range(values.shape[1]) if len(np.unique(_known(values[rows, k]))) > 1])
    given, says = values[np.ix_(rows, differ)], row_weights(table)[rows] * shares[rows, classes]
    level = _level(table)
    asked, seeds = ASKED.get(level, ASKED_OTHERWISE), range(FITS.get(level, FITS_OTHERWISE))
    fits = [HistGradientBoostingClassifier(**TREES, max_features=asked, random_state=seed) for seed in seeds]
    return [fit.fit(given, classes, sample_weight=says) for fit in fits], differ


def across_folds(
    table: Table,
    causes: Sequence[str],
    number: int = FOLDS,
    tests: Iterable[int] | None = None,
    kept: Path | None = None,
) -> np.ndarray:
    """Return log-odds (n, causes) against a sound run of each log, by trees fitted without its data set.

    NaN in folds that are not in `tests`. `kept` is a file that is read where it is there, and else written.
    """
    if kept is not None and kept.exists():
        return np.asarray(np.load(kept))
    _, values = columns_of(table)
    odds = np.full((len(table.rows), len(causes)), np.nan)
    for i, (train, test) in enumerate(folds(table, number)):
        if tests is None or i in tests:
            odds[test] = margins_of(*fit_trees(values, table, causes, train), values[test], len(causes))
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, odds)
    return odds


def margins_of(fits: Fits, given: np.ndarray, values: np.ndarray, causes: int) -> np.ndarray:
    """Return log-odds (n, causes) against a sound run, by fitted trees and the places of the columns given to them."""
    raw = np.full((len(values), causes + 1), -20.0)
    raw[:, fits[0].classes_] = np.mean([fit.decision_function(values[:, given]) for fit in fits], axis=0)
    return np.asarray(raw[:, :-1] - raw[:, -1:])


def trees_of(table: Table, causes: Sequence[str], kept: Path | None = None) -> Trees:
    """Fit trees on a whole table. `kept` is a file that is read where it is there, and else written."""
    if kept is not None and kept.exists():
        return Trees.read(kept)
    columns, values = columns_of(table)
    fits, given = fit_trees(values, table, causes, np.ones(len(table.rows), dtype=bool))
    trees = plain_trees(fits, [columns[k] for k in given], causes)
    if kept is not None:
        trees.write(kept)
    return trees


def as_columns(table: Table, names: Sequence[str]) -> np.ndarray:
    """Return the named columns of a table, (n, columns)."""
    frame = table.facts[list(names)].apply(pd.to_numeric, errors="coerce").clip(-LARGEST, LARGEST)
    return np.asarray(frame.to_numpy(dtype=np.float32))


def _level(table: Table) -> str:
    """Return the richness of the logs of a table, a key of LEVELS."""
    return str(table.rows["level"].iat[0])


def _known(values: np.ndarray) -> np.ndarray:
    return np.asarray(values[~np.isnan(values)])


def plain_trees(fits: Fits, columns: Sequence[str], causes: Sequence[str]) -> Trees:
    """Return fitted trees as plain arrays, each worth its share of the mean; `columns` are those they were given."""
    parts: dict[str, list[np.ndarray]] = {
        name: [] for name in ("feature", "threshold", "missing_left", "left", "right", "value")
    }
    roots, of, size = [], [], 0
    seen = fits[0].classes_
    for stage in (stage for fit in fits for stage in fit._predictors):
        for k, tree in zip(seen, stage, strict=True):
            nodes = tree.nodes
            leaf = nodes["is_leaf"].astype(bool)
            roots.append(size)
            of.append(int(k))
            parts["feature"].append(np.where(leaf, LEAF, nodes["feature_idx"]))
            parts["threshold"].append(np.where(leaf, 0.0, nodes["num_threshold"]))
            parts["missing_left"].append(nodes["missing_go_to_left"])
            parts["left"].append(np.where(leaf, 0, nodes["left"] + size))
            parts["right"].append(np.where(leaf, 0, nodes["right"] + size))
            parts["value"].append(_expected(nodes) / len(fits))
            size += len(nodes)
    base = np.full(len(causes) + 1, -20.0)  # what was never seen
    base[seen] = fits[0]._baseline_prediction[0]  # the same for all
    arrays = {name: np.concatenate(part) for name, part in parts.items()}
    return Trees(tuple(columns), (*causes, ""), base=base, roots=np.array(roots), of=np.array(of), **arrays)


def _expected(nodes: np.ndarray) -> np.ndarray:
    """Return the log-odds expected at each node: those of its leaves, by the logs that come there."""
    value = nodes["value"].astype(float).copy()
    for i in range(len(nodes) - 1, -1, -1):  # children come after their parents
        if not nodes["is_leaf"][i]:
            left, right = nodes["left"][i], nodes["right"][i]
            counts = nodes["count"][[left, right]].astype(float)
            value[i] = float(np.average(value[[left, right]], weights=counts))
    return value

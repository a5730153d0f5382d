"""Takes fitted trees out of scikit-learn's gradient boosting, as the plain arrays that ship with the package."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from plateau_doctor.trees import LEAF, Trees

__all__ = ["from_scikit_learn"]


def from_scikit_learn(
    model: HistGradientBoostingClassifier, columns: Sequence[str], causes: Sequence[str]
) -> Trees:
    """Return fitted trees as plain arrays; `columns` are those that they were given."""
    parts: dict[str, list[np.ndarray]] = {
        name: [] for name in ("feature", "threshold", "missing_left", "left", "right", "value")
    }
    roots, of, size = [], [], 0
    for stage in model._predictors:
        for k, tree in zip(model.classes_, stage, strict=True):
            nodes = tree.nodes
            leaf = nodes["is_leaf"].astype(bool)
            roots.append(size)
            of.append(int(k))
            parts["feature"].append(np.where(leaf, LEAF, nodes["feature_idx"]))
            parts["threshold"].append(np.where(leaf, 0.0, nodes["num_threshold"]))
            parts["missing_left"].append(nodes["missing_go_to_left"])
            parts["left"].append(np.where(leaf, 0, nodes["left"] + size))
            parts["right"].append(np.where(leaf, 0, nodes["right"] + size))
            parts["value"].append(_expected(nodes))
            size += len(nodes)
    base = np.full(len(causes) + 1, -20.0)  # what was never seen
    base[model.classes_] = model._baseline_prediction[0]
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

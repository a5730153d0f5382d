"""Boosted trees as plain arrays: what each fact of a run adds to the log-odds of each cause.

Fitted by scikit-learn (`calibration.py`), read here with numpy alone. A fact that was not logged takes the branch that
the fit learned for it. The log-odds of a run are the sum of what is gained from node to node on its way down each
tree, and each gain belongs to the fact that was asked there (Saabas 2014, "Interpreting random forests"); so the
shares of the facts and a base add up to the whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from plateau_doctor.facts.registry import Value

__all__ = ["Trees"]

LEAF = -1


@dataclass(frozen=True, eq=False)
class Trees:
    """Trees of all classes, in one list of nodes.

    Attributes:
        features: The facts that are asked for, by name.
        classes: The causes, in the order of the log-odds; the last one, "", stands for a sound run.
        base: Log-odds of each class before anything is known, shape (classes,).
        roots: First node of each tree, shape (trees,).
        of: Class of each tree, shape (trees,).
        feature: Column asked at each node, LEAF where none, shape (nodes,).
        threshold: Values up to it go left, shape (nodes,).
        missing_left: Whether an unknown value goes left, shape (nodes,).
        left, right: Children, shape (nodes,).
        value: Log-odds expected at each node, shape (nodes,).
    """

    features: tuple[str, ...]
    classes: tuple[str, ...]
    base: np.ndarray
    roots: np.ndarray
    of: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray

    def row(self, facts: Mapping[str, Value]) -> np.ndarray:
        """Return what is asked of one run, shape (features,); NaN where unknown."""
        values = [facts[name] for name in self.features]
        return np.array([math.nan if v is None or isinstance(v, str) else float(v) for v in values])

    def shares(self, row: np.ndarray) -> np.ndarray:
        """Return what each column adds to each class, shape (classes, features + 1); the last column is the base."""
        width = len(self.features) + 1
        feature, children, gain = self._walk
        at, begin = (
            self.roots.astype(np.intp),
            self.of.astype(np.intp) * width,
        )  # where a class's columns begin
        last = np.arange(1, len(self.classes) + 1) * width - 1
        places, gains = [last, last[self.of]], [self.base, self.value[at]]
        while len(at):
            asked = feature[at]
            inner = np.flatnonzero(asked != LEAF)
            at, begin, asked = at[inner], begin[inner], asked[inner]
            values = row[asked]
            left = (values <= self.threshold[at]) | (np.isnan(values) & self.missing_left[at])
            at = children[2 * at + left]
            places.append(begin + asked)
            gains.append(gain[at])
        # one sum in the order of the walk
        found = np.bincount(np.concatenate(places), np.concatenate(gains), width * len(self.classes))
        return found.reshape(len(self.classes), width)

    @cached_property
    def _walk(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What a walk needs of the nodes: features (nodes,), right and left children (2 nodes,), gains (nodes,).

        The gain of a node is its value less that of its parent.
        """
        gain, inner = np.zeros_like(self.value), np.flatnonzero(self.feature != LEAF)
        for side in (self.left, self.right):
            gain[side[inner]] = self.value[side[inner]] - self.value[inner]
        children = np.stack([self.right, self.left], axis=1).ravel()
        return self.feature.astype(np.intp), children.astype(np.intp), gain

    @classmethod
    def read(cls, file: Path) -> Trees:
        """Read what `write` has written."""
        with np.load(file, allow_pickle=False) as data:
            arrays = {name: data[name] for name in ARRAYS}
            names = [tuple(map(str, data[name])) for name in ("features", "classes")]
        return cls(names[0], names[1], **arrays)

    def write(self, file: Path) -> None:
        """Write a compressed file of arrays."""
        arrays = {name: getattr(self, name).astype(kind) for name, kind in ARRAYS.items()}
        np.savez_compressed(file, features=np.array(self.features), classes=np.array(self.classes), **arrays)


ARRAYS: Mapping[str, str] = {
    "base": "f4",
    "roots": "i4",
    "of": "i2",
    "feature": "i2",
    "threshold": "f4",
    "missing_left": "?",
    "left": "i4",
    "right": "i4",
    "value": "f4",
}

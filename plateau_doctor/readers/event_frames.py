"""The `scalars` frames of runs that were read from event files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from plateau_doctor.roles import roles_of

__all__ = ["Curves", "frames_of"]

OBJECTS = np.dtype(object)
EPOCH = "epoch"
_BY_EPOCH = re.compile(r"(?:^|/)epoch_(?!.*_vs_)")  # Keras' tags whose step is the epoch


@dataclass(frozen=True, eq=False)
class Curves:
    """Scalars of a run: `names`, and arrays of as many rows."""

    names: Sequence[str]
    codes: np.ndarray
    steps: np.ndarray
    times: np.ndarray
    values: np.ndarray
    segment: np.ndarray
    live: np.ndarray


def frames_of(runs: Sequence[Curves]) -> list[tuple[pd.DataFrame, dict[str, str]]]:
    """Return the `scalars` frame of each run, and the reasons for its roles.

    A frame costs as much to make as thousands of rows do. So one is made of all runs, and cut; of a single run, its
    columns are the arrays themselves.
    """
    if not runs:
        return []
    roles = [roles_of([run.names[code] for code in _in_order(run.codes, len(run.names))]) for run in runs]
    columns = {
        "tag": [_each(run, run.names) for run in runs],
        "role": [
            _each(run, [known[name][0] if name in known else None for name in run.names])
            for run, known in zip(runs, roles, strict=True)
        ],
        "step": [run.steps for run in runs],
        "epoch": [_epochs(run) for run in runs],
        "wall_time": [run.times for run in runs],
        "value": [run.values for run in runs],
        "segment": [run.segment for run in runs],
        "live": [run.live for run in runs],
    }
    whole = _frame({name: p[0] if len(p) == 1 else np.concatenate(p) for name, p in columns.items()})
    reasons = [{name: why for name, (_, why) in known.items()} for known in roles]
    if len(runs) == 1:
        return [(whole, reasons[0])]
    ends = np.cumsum([len(run.codes) for run in runs]).tolist()
    pieces = [whole.iloc[a:b].set_axis(pd.RangeIndex(b - a)) for a, b in zip([0, *ends], ends, strict=False)]
    return list(zip(pieces, reasons, strict=True))


def _frame(columns: dict[str, np.ndarray]) -> pd.DataFrame:
    rows = pd.RangeIndex(len(columns["tag"]))
    texts = {name: pd.Series(columns[name], rows, OBJECTS, copy=False) for name in ("tag", "role")}
    return pd.DataFrame({**columns, **texts}, rows, copy=False)


def _each(run: Curves, told: Sequence[str | None]) -> np.ndarray:
    """Return what is told of the name of each row."""
    known = np.empty(len(told) + 1, dtype=object)
    known[:-1] = told
    return known.take(run.codes)


def _in_order(codes: np.ndarray, count: int) -> list[int]:
    """Return the codes that rows have, in the order in which they come first."""
    first = np.full(count, len(codes))
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    order = np.argsort(first, kind="stable")
    return [int(code) for code in order[: int((first < len(codes)).sum())]]


def _epochs(curves: Curves) -> np.ndarray:
    """Return `epoch` from the scalar of that name, by step; without one, Keras' `epoch_*` tags count epochs."""
    named = np.array([name.rpartition("/")[2] == EPOCH for name in curves.names], dtype=bool)
    usable = named[curves.codes] & np.isfinite(curves.values) if named.any() else named[:0]
    if not usable.any():
        by_epoch = np.array(["epoch_" in n and bool(_BY_EPOCH.search(n)) for n in curves.names], dtype=bool)
        if not by_epoch.any():
            return np.full(len(curves.codes), np.nan)
        return np.where(by_epoch[curves.codes], curves.steps, np.nan)
    axis = usable & (curves.codes == _most_frequent(curves.codes[usable]))
    epochs = np.full(len(curves.codes), np.nan)
    for segment in np.unique(curves.segment):
        rows = np.flatnonzero(curves.segment == segment)
        own = axis[rows].any()
        known = rows[axis[rows]] if own else np.flatnonzero(axis)
        steps, values = _last_by_step(curves.steps[known], curves.values[known])
        at = np.searchsorted(steps, curves.steps[rows], side="left")
        epochs[rows] = values[np.minimum(at, len(steps) - 1)]
    return epochs


def _most_frequent(codes: np.ndarray) -> int:
    """Return the code that most rows have; of several, the one that comes first."""
    counts = np.bincount(codes)
    return int(codes[np.argmax(counts[codes] == counts.max())])


def _last_by_step(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps, rising, and the last value at each."""
    order = np.argsort(steps, kind="stable")
    steps, values = steps[order], values[order]
    last = np.append(steps[1:] != steps[:-1], True)
    return steps[last], values[last]

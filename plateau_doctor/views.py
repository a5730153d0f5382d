"""A run as it would stand in its log had it been logged otherwise: by epochs, and half as often.

What is told of a run should not hang on how often it was logged. So the fitted trees are asked about these views too,
and the mean of their answers counts (`weights.py`). How many first causes stay when a run is logged otherwise,
`benchmarks/accuracy.py` prints.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd

from plateau_doctor.facts import Facts, Logged
from plateau_doctor.facts.logged import remembered
from plateau_doctor.run import SCALAR_COLUMNS, Run

__all__ = ["views_of"]

FEWEST_EPOCHS, FEWEST_POINTS = 10, 20  # of which a view is made
MOST_POINTS = 1_000  # half of more than that tells the same as the whole
AVERAGED = frozenset(
    {"train_loss", "train_metric", "val_loss", "val_metric"}
)  # others count at the end of an epoch
Columns = dict[str, np.ndarray]
Change = Callable[[str, Columns], Columns]  # of the rows of a tag, by its role


@remembered
def views_of(logged: Logged) -> tuple[Facts, ...]:
    """Return the facts of a run by epochs, where it was logged more often, and of every other value of that.

    Views of its scalars: histograms stay as they are. A short log has none.
    """
    by_epoch = _by_epoch(logged)
    half = _halved(by_epoch or logged)
    return tuple(Facts(one) for one in (by_epoch, half) if one is not None)


def _by_epoch(logged: Logged) -> Logged | None:
    """Return a run with one value an epoch, None where it has no more or too few epochs."""
    fine, length = logged.finest, logged.epoch_length
    if fine is None or length is None or logged.counts_epochs or len(fine.steps) < 2 * FEWEST_EPOCHS:
        return None
    stride = float(np.median(np.diff(fine.steps)))
    before = float(fine.steps[0]) - stride
    epochs = (float(fine.steps[-1]) - before) / length
    if epochs < FEWEST_EPOCHS or len(fine.steps) < 2 * epochs:
        return None

    end = float(fine.steps[-1])

    def coarse(role: str, rows: Columns) -> Columns:
        number = np.maximum(1.0, np.ceil((rows["step"] - before) / length - 1e-6))
        last = np.flatnonzero(np.diff(number, append=np.inf))
        if (np.diff(number) < 0).any() or rows["step"][-1] - before < (end - before) / 2:
            return rows  # it is not counted in the same steps
        values = rows["value"]
        values = _means(values, last) if role in AVERAGED else values[last]
        return {
            **{name: column[last] for name, column in rows.items()},
            "value": values,
            "epoch": number[last],
        }

    return _made(logged, coarse)


def _halved(logged: Logged) -> Logged | None:
    """Return a run with every other value of each tag, None where it is too short, or so long that it is all one."""
    primary = logged.primary
    if primary is None or not FEWEST_POINTS <= len(primary.values) <= MOST_POINTS:
        return None
    return _made(logged, _every_other)


def _means(values: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return the mean of the finite values up to each last one (m,) of a stretch; of none that is finite, the last."""
    finite, starts = np.isfinite(values), np.concatenate([[0], last[:-1] + 1])
    counts = np.add.reduceat(finite.astype(float), starts)
    sums = np.add.reduceat(np.where(finite, values, 0.0), starts)
    return np.where(counts > 0, sums / np.maximum(counts, 1.0), values[last])


def _every_other(_: str, rows: Columns) -> Columns:
    """Return every other row of a tag, of those with a finite value and of the others."""
    finite = np.isfinite(rows["value"])
    kept = np.sort(np.concatenate([np.flatnonzero(finite)[::2], np.flatnonzero(~finite)[::2]]))
    return {name: column[kept] for name, column in rows.items()}


def _made(logged: Logged, change: Change) -> Logged | None:
    """Return a run whose tags' live rows are changed, by role."""
    parts = []
    for tag in logged.tags:
        rows = logged.columns(tag)
        live = rows["live"]
        rows = rows if live.all() else {name: column[live] for name, column in rows.items()}
        if len(rows["value"]):
            parts.append(change(str(rows["role"][0]), rows))
    if not parts:
        return None
    frame = {name: np.concatenate([part[name] for part in parts]) for name in SCALAR_COLUMNS}
    frame["segment"] = np.zeros_like(frame["segment"])
    run: Run = dataclasses.replace(logged.run, scalars=pd.DataFrame(frame, copy=False))
    return Logged(run)

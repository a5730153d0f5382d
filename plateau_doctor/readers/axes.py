"""From a table of columns to curves: which column is the axis, and where the log starts again."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pandas as pd

from plateau_doctor.run import SCALAR_COLUMNS, scalar_frame

__all__ = ["BLANK", "curves", "trials"]

BLANK = -1.7e308  # an empty cell: nothing was logged there, whereas NaN is a value
STEPS = tuple(
    "step steps global_step iteration iterations iter iter_num total_timesteps time/total_timesteps timesteps "
    "num_timesteps frame frames batch n_iter trainer/global_step _step update updates n_updates current_iter".split()
)
EPOCHS = ("epoch", "epochs", "ep", "current_epoch", "epoch_num")
CLOCKS = ("wall time", "wall_time", "timestamp", "_timestamp")


def curves(table: pd.DataFrame) -> pd.DataFrame:
    """Return the `scalars` frame (see Run) of a table: one row a cell that was logged.

    The step is the finest axis there is: a step column, else the epoch, else the row's number, which then
    counts epochs. Where the axis falls back, a new segment begins.
    """
    step, epoch, clock = _column(table, STEPS), _column(table, EPOCHS), _column(table, CLOCKS)
    axis = step if step is not None else epoch
    rows = np.arange(len(table), dtype=float)
    epochs = (
        _filled(table[epoch])
        if epoch is not None
        else (rows if step is None else np.full(len(table), np.nan))
    )
    steps = _filled(table[axis]) if axis is not None else rows
    segment = _segments(steps)
    clocks = table[clock].to_numpy(dtype=float) if clock is not None else np.full(len(table), np.nan)
    tags, at, values_of = [], [], []
    live = []
    for name in table.columns:
        if name in (step, clock) or (name == epoch):
            continue
        values = table[name].to_numpy(dtype=float)
        logged = np.flatnonzero(values != BLANK)
        if len(logged):
            tags.append(str(name))
            at.append(logged)
            values_of.append(values[logged])
            live.append(_live(steps[logged], segment[logged]))
    if not tags:
        return scalar_frame([])
    rows_of = np.concatenate(at)
    return pd.DataFrame(
        {
            "tag": pd.Series(np.repeat(np.array(tags, dtype=object), [len(a) for a in at]), dtype="object"),
            "role": pd.Series(np.full(len(rows_of), None, dtype=object), dtype="object"),
            "step": steps[rows_of],
            "epoch": epochs[rows_of],
            "wall_time": clocks[rows_of],
            "value": np.concatenate(values_of),
            "segment": segment[rows_of],
            "live": np.concatenate(live),
        },
        columns=list(SCALAR_COLUMNS),
    )


def _column(table: pd.DataFrame, names: tuple[str, ...]) -> str | None:
    plain = {re.sub(r"\s+", " ", str(column).strip().lower()): str(column) for column in table.columns}
    return next((plain[name] for name in names if name in plain), None)


def _filled(column: pd.Series) -> np.ndarray:
    """Return an axis without holes: a blank cell takes the value of the row before, the first ones of the next."""
    values = column.where(column != BLANK).ffill().bfill()
    return values.fillna(0.0).to_numpy(dtype=float)


def trials(scalars: pd.DataFrame) -> list[pd.DataFrame]:
    """Return one `scalars` frame a training, where one file holds several that each began anew.

    A segment that starts at the axis' beginning is a training of its own when its loss starts nearer to where
    the segment before had started than to where that one had ended; else it is a resumed run.
    """
    loss = next((tag for tag in dict.fromkeys(scalars["tag"]) if "loss" in str(tag).lower()), None)
    if loss is None or scalars["segment"].max() == 0:
        return [scalars]
    rows = scalars[scalars["tag"] == loss]
    parts = [part for _, part in rows.groupby("segment", sort=True)]
    begins = [0]
    for before, after in itertools.pairwise(parts):
        first, last, new = (
            float(v) for v in (before["value"].iloc[0], before["value"].iloc[-1], after["value"].iloc[0])
        )
        anew = after["step"].iloc[0] <= rows["step"].min() and abs(new - first) < abs(new - last)
        if anew:
            begins.append(int(after["segment"].iloc[0]))
    if len(begins) == 1:
        return [scalars]
    owner = np.searchsorted(begins, scalars["segment"].to_numpy(), side="right") - 1
    return [_renumbered(scalars[owner == i]) for i in range(len(begins))]


def _renumbered(scalars: pd.DataFrame) -> pd.DataFrame:
    """Return one trial's rows with segments from 0, live as far as this trial itself has not rewritten them."""
    segment = scalars["segment"] - scalars["segment"].min()
    live = np.ones(len(scalars), dtype=bool)
    for _, at in scalars.reset_index(drop=True).groupby("tag", sort=False).indices.items():
        live[at] = _live(scalars["step"].to_numpy()[at], segment.to_numpy()[at])
    return scalars.assign(segment=segment, live=live).reset_index(drop=True)


def _segments(steps: np.ndarray) -> np.ndarray:
    """Return the segment of each row, (n,): one more wherever the axis falls back.

    A single late row, after which the axis goes on above where it was, is no restart.
    """
    segment = np.zeros(len(steps), dtype=np.int64)
    for i in (int(fall) + 1 for fall in np.flatnonzero(np.diff(steps) < 0)):
        late = i + 1 < len(steps) and steps[i + 1] > steps[i - 1]
        if not late:
            segment[i:] += 1
    return segment


def _live(steps: np.ndarray, segment: np.ndarray) -> np.ndarray:
    """Return False for the rows that a later segment rewrote: its first step or above."""
    live = np.ones(len(steps), dtype=bool)
    for number in range(int(segment.max()), 0, -1):
        start = steps[segment == number]
        if len(start):
            live &= ~((segment < number) & (steps >= start.min()))
    return live

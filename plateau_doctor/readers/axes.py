"""From a table of columns to curves: which column is the axis, and where the log starts again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from plateau_doctor.readers.texts import writable
from plateau_doctor.roles import roles_of
from plateau_doctor.run import scalar_frame

__all__ = ["BLANK", "curves", "curves_of", "trials"]

Column = tuple[np.ndarray, np.ndarray]  # the rows that a column has a value in, rising, and these values
Curves = Sequence[tuple[str, Column]]  # by name; two columns may be called alike

BLANK = -1.6999999999999998e308  # an empty cell: NaN is a value that is logged, and nobody logs this one
STEPS = tuple(
    "step steps global_step iteration iterations iter iter_num total_timesteps time/total_timesteps timesteps "
    "num_timesteps frame frames batch n_iter trainer/global_step _step update updates n_updates current_iter".split()
)
EPOCHS = ("epoch", "epochs", "ep", "current_epoch", "epoch_num")
CLOCKS = ("wall time", "wall_time", "timestamp", "_timestamp")
OBJECTS = np.dtype(object)


@dataclass(frozen=True, eq=False)
class _Axes:
    """Where each row of a table stands, (rows,); None for what is unknown."""

    steps: np.ndarray
    epochs: np.ndarray | None
    clocks: np.ndarray | None


def curves(table: Mapping[str, np.ndarray]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the `scalars` frame (see Run) of a table, one row a cell that was logged and is not `BLANK`.

    Its roles are filled in, and the reasons for them come second.
    """
    columns: dict[str, Column] = {}
    size = len(next(iter(table.values()), ()))
    every = np.arange(size)
    for name, values in table.items():
        there = values != BLANK
        logged = every if there.all() else np.flatnonzero(there)
        columns[name] = (logged, values if logged is every else values[logged])
    held, axes = _axes(columns, size)
    roles = roles_of([name for name, _ in held])
    scalars = _frame(held, axes, [roles[name][0] for name, _ in held])
    return scalars, {name: why for name, (_, why) in roles.items()}


def curves_of(columns: Mapping[str, Column], size: int) -> pd.DataFrame:
    """Return the `scalars` frame of columns that have a value in some of `size` rows; its roles are left open."""
    held, axes = _axes(columns, size)
    return _frame(held, axes, [None] * len(held))


def _axes(columns: Mapping[str, Column], size: int) -> tuple[Curves, _Axes]:
    """Return the columns that are curves, and the axes of the rows.

    The step is the finest axis there is: a step column, else the epoch, else the row's number, which then
    counts epochs. Where the axis falls back, a new segment begins.
    """
    step, epoch, clock = (_column(columns, names) for names in (STEPS, EPOCHS, CLOCKS))
    axis = step if step is not None else epoch
    steps = _filled(columns[axis], size) if axis is not None else np.arange(size, dtype=float)
    epochs = _filled(columns[epoch], size) if epoch is not None else None
    if axis is None:
        epochs = steps
    if step is not None and epochs is not None:
        steps = _counted_on(steps, epochs)
    clocks = None
    if clock is not None:
        clocks = np.full(size, np.nan)
        clocks[columns[clock][0]] = columns[clock][1]
    names = (name for name in columns if name not in (step, epoch, clock) and len(columns[name][0]))
    return [(writable(name), columns[name]) for name in names], _Axes(steps, epochs, clocks)


def _frame(held: Curves, axes: _Axes, roles: Sequence[str | None]) -> pd.DataFrame:
    """Return the frame of curves, which stand one behind the other, each with its role.

    A table of millions of cells is read in the time that it takes to get memory for this: none is taken twice.
    """
    if not held:
        return scalar_frame([])
    logged = [rows for _, (rows, _) in held]
    counts = [len(rows) for rows in logged]
    segment = _segments(axes.steps)
    again = bool(segment[-1])
    live = [_live(axes.steps[rows], segment[rows]) for rows in logged] if again else []
    index = pd.RangeIndex(sum(counts))
    unknown = pd.Series(
        np.full(len(index), np.nan), index, copy=False
    )  # pandas copies it when it is written to
    frame = {
        "tag": pd.Series(_blocks([name for name, _ in held], counts), index, OBJECTS, copy=False),
        "role": pd.Series(_blocks(roles, counts), index, OBJECTS, copy=False),
        "step": _in_each(axes.steps, logged),
        "epoch": unknown if axes.epochs is None else _in_each(axes.epochs, logged),
        "wall_time": unknown if axes.clocks is None else _in_each(axes.clocks, logged),
        "value": _end_to_end([values for _, (_, values) in held]),
        "segment": _in_each(segment, logged) if again else np.zeros(len(index), dtype=np.int64),
        "live": np.concatenate(live) if again else np.ones(len(index), dtype=bool),
    }
    return pd.DataFrame(frame, index, copy=False)


def _blocks(values: Sequence[str | None], counts: Sequence[int]) -> np.ndarray:
    """Return each value so many times, one behind the other."""
    found = np.empty(sum(counts), dtype=object)
    at = 0
    for value, count in zip(values, counts, strict=True):
        found[at : at + count] = value
        at += count
    return found


def _in_each(axis: np.ndarray, logged: Sequence[np.ndarray]) -> np.ndarray:
    """Return the part of an axis that each column has a value in, one behind the other."""
    if all(len(rows) == len(axis) for rows in logged):
        return np.tile(axis, len(logged))
    found: np.ndarray = axis[np.concatenate(logged)]
    return found


def _end_to_end(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return arrays one behind the other: themselves, where they stand so in one block of memory, else a copy."""
    block, counts = parts[0].base, [len(part) for part in parts]
    if isinstance(block, np.ndarray) and block.dtype == parts[0].dtype and block.flags.c_contiguous:
        first, size = block.ctypes.data, block.itemsize
        places = [(part.ctypes.data - first) // size for part in parts]
        follow = places[1:] == [at + n for at, n in zip(places, counts, strict=True)][:-1]
        if follow and all(part.base is block and part.flags.c_contiguous for part in parts):
            found: np.ndarray = block.reshape(-1)[places[0] : places[0] + sum(counts)]
            return found
    return np.concatenate(parts)


def _column(columns: Iterable[str], names: tuple[str, ...]) -> str | None:
    plain = {re.sub(r"\s+", " ", column.strip().lower()): column for column in columns}
    return next((plain[name] for name in names if name in plain), None)


def _filled(column: Column, size: int) -> np.ndarray:
    """Return an axis without holes: a blank cell takes the value of the row before, the first ones of the next."""
    logged, values = column
    if len(logged) == size and not np.isnan(values).any():
        return values
    dense = np.full(size, np.nan)
    dense[logged] = values
    return pd.Series(dense).ffill().bfill().fillna(0.0).to_numpy(dtype=float)


def _counted_on(steps: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Return steps that go on, where a log counts them anew in each epoch and falls back nowhere else."""
    with np.errstate(invalid="ignore"):  # two infinite steps
        change, grown = np.diff(steps), np.diff(epochs)
    falls = np.flatnonzero(change < 0) + 1
    if not len(falls) or (grown < 0).any() or not (grown[falls - 1] > 0).all():
        return steps
    stride = change[change > 0].min() if (change > 0).any() else 1.0
    last = steps[falls - 1] + np.where(steps[falls] == 0, stride, 0.0)
    before = np.zeros(len(steps))
    before[falls] = last
    return steps + np.cumsum(before)


def trials(scalars: pd.DataFrame) -> list[pd.DataFrame]:
    """Return one `scalars` frame a training, where one file holds several that each began anew.

    A segment that starts at the axis' beginning is a training of its own when its loss starts nearer to where
    the segment before had started than to where that one had ended; else it is a resumed run.
    """
    if scalars["segment"].max() == 0:
        return [scalars]
    loss = next((tag for tag in dict.fromkeys(scalars["tag"]) if "loss" in str(tag).lower()), None)
    if loss is None:
        return [scalars]
    rows = scalars[scalars["tag"] == loss]
    value, step, segment = (rows[name].to_numpy() for name in ("value", "step", "segment"))
    starts = np.flatnonzero(np.diff(segment, prepend=segment[0] - 1))
    first, last = value[starts], value[np.append(starts[1:], len(value)) - 1]
    with np.errstate(invalid="ignore"):  # a loss may be infinite at both ends
        nearer = np.abs(first[1:] - first[:-1]) < np.abs(first[1:] - last[:-1])
    anew = nearer & (step[starts[1:]] <= step.min())
    begins = [0, *segment[starts[1:]][anew]]
    if len(begins) == 1:
        return [scalars]
    owner = np.searchsorted(begins, scalars["segment"].to_numpy(), side="right") - 1
    return [_renumbered(one) for _, one in scalars.groupby(owner, sort=True)]


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
    falls = (
        np.flatnonzero(steps[1:] < steps[:-1]) + 1
    )  # a difference of two infinite steps would be a warning
    if not len(falls):
        return np.zeros(len(steps), dtype=np.int64)
    after = np.minimum(falls + 1, len(steps) - 1)
    late = (after > falls) & (steps[after] > steps[falls - 1])
    begins = np.zeros(len(steps), dtype=np.int64)
    begins[falls[~late]] = 1
    return np.cumsum(begins)


def _live(steps: np.ndarray, segment: np.ndarray) -> np.ndarray:
    """Return False for the rows that a later segment rewrote: its first step or above. Segments never fall."""
    if not len(steps) or segment[0] == segment[-1]:
        return np.ones(len(steps), dtype=bool)
    starts = np.flatnonzero(np.diff(segment, prepend=segment[0] - 1))
    lowest = np.minimum.reduceat(steps, starts)
    later = np.append(np.minimum.accumulate(lowest[::-1])[::-1][1:], np.nan)  # nothing comes after the last
    sizes = np.diff(np.append(starts, len(steps)))
    live: np.ndarray = ~(steps >= np.repeat(later, sizes))
    return live

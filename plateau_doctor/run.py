"""A training run as pandas frames: what every reader makes and everything else reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pandas as pd

__all__ = [
    "HISTOGRAM_COLUMNS",
    "SCALAR_COLUMNS",
    "Problem",
    "Run",
    "block_starts",
    "histogram_frame",
    "scalar_frame",
]

SCALAR_COLUMNS = {
    "tag": "object",
    "role": "object",
    "step": "float64",
    "epoch": "float64",
    "wall_time": "float64",
    "value": "float64",
    "segment": "int64",
    "live": "bool",
}
HISTOGRAM_COLUMNS = {
    "tag": "object",
    "layer": "object",
    "kind": "object",
    "step": "float64",
    "wall_time": "float64",
    "count": "float64",
    "mean": "float64",
    "std": "float64",
    "norm": "float64",
    "low": "float64",
    "high": "float64",
    "zeros": "float64",
    "edge": "float64",
    "first_bin": "int64",
    "n_bins": "int64",
}


@dataclass(frozen=True)
class Problem:
    """Something that could not be read: where it is, what it is, and why.

    `offset` and `length` are bytes in the file at `path`, where the trouble has a place.
    """

    path: str
    what: str
    why: str
    offset: int | None = None
    length: int | None = None


@cache
def _no_histograms() -> pd.DataFrame:
    return _typed(
        pd.DataFrame(), HISTOGRAM_COLUMNS, {"first_bin": 0, "n_bins": 0}
    ).copy()  # columns of a kind joined


@dataclass(frozen=True, eq=False)
class Run:
    """One training run.

    Attributes:
        name: What a reader of the report calls it, unique in one analysis.
        source: The file or folder it was read from.
        format: The format's short name: `tensorboard`, `csv`, `huggingface`, ...
        scalars: One row a logged value, in the order logged within each tag. Columns: `tag`; `role` (see
            `roles.py`, None when unknown); `step` (the log's own axis, NaN never: row number where none was
            logged); `epoch` (NaN where unknown); `wall_time` (seconds since 1970, NaN where unknown); `value`;
            `segment` (0 for the first stretch, +1 after each restart); `live` (False where a later segment
            rewrote that step).
        histograms: One row a logged histogram. Columns: `tag`; `layer`; `kind` (`gradient`, `weight`,
            `activation` or `other`); `step`; `wall_time`; `count`; `mean`; `std`; `norm` (Euclidean, of all
            elements); `low`, `high`; `zeros` (share of the mass at exactly 0, as well as the bins can tell);
            `edge` (share in the outermost 5 % of the range at both ends); `first_bin` and `n_bins`, a slice of `bins`.
        bins: Shape (n, 3): left edge, right edge and count of every bin of every histogram.
        settings: Hyper-parameters as logged: learning_rate, batch_size, optimizer, samples, classes ...
        problems: What could not be read.
        reasons: tag -> why it got its role, for `inspect`.
    """

    name: str
    source: str
    format: str
    scalars: pd.DataFrame
    histograms: pd.DataFrame = field(default_factory=lambda: histogram_frame([]))
    bins: np.ndarray = field(default_factory=lambda: np.empty((0, 3)))
    settings: Mapping[str, float | str | bool] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)


def scalar_frame(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Make the `scalars` frame of a Run from rows; columns left out get their neutral value.

    Neutral values: role None, epoch and wall_time NaN, segment 0, live True; step the row number within its tag.
    """
    return _typed(pd.DataFrame(list(rows)), SCALAR_COLUMNS, {"segment": 0, "live": True, "role": None})


def histogram_frame(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Make the `histograms` frame of a Run from rows; numbers left out are NaN, the slice empty."""
    held = list(rows)
    if not held:
        return _no_histograms().copy(deep=False)  # it has no values that could be written to
    return _typed(pd.DataFrame(held), HISTOGRAM_COLUMNS, {"first_bin": 0, "n_bins": 0})


def block_starts(column: np.ndarray) -> np.ndarray:
    """Return the rows at which a column (n,) changes its value, the first one too."""
    return np.flatnonzero(np.append([True], column[1:] != column[:-1]))[: len(column)]


def _typed(
    frame: pd.DataFrame, columns: Mapping[str, str], neutral: Mapping[str, int | bool | None]
) -> pd.DataFrame:
    if "step" not in frame and "tag" in frame:
        frame["step"] = frame.groupby("tag", sort=False).cumcount().astype("float64")
    for name in columns:
        if name not in frame:
            frame[name] = neutral.get(name, np.nan)
    return frame[list(columns)].astype(dict(columns))

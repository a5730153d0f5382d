"""The curve that stands for a role in one run, made comparable between ways of logging it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from plateau_doctor.roles import higher_is_better, rank_of
from plateau_doctor.run import Run

__all__ = [
    "FEWEST_POINTS",
    "Array",
    "Curve",
    "curve_of",
    "finest_curve_of",
    "first_level",
    "noise_of",
    "primary_curve",
]

Array = np.ndarray

MOST_BINS = 60
FEWEST_POINTS = 6


@dataclass(frozen=True, eq=False)
class Curve:
    """One series made comparable: its points, and the same in at most 60 bins.

    Attributes:
        role: Its role.
        tag: Its tag.
        steps: Shape (n,), rising, one entry a distinct step.
        values: Shape (n,), finite; the median where a step was logged more than once.
        epochs: Shape (n,), NaN where unknown.
        bin_steps: Shape (m,), the first step of each bin.
        bins: Shape (m,), the mean of each bin without its outer tenths; smaller is better (metrics are negated).
        sign: -1 for a series that improves by rising, else 1.
        lost: Points that were NaN or Inf, and the number of those after the last finite one.
    """

    role: str
    tag: str
    steps: Array
    values: Array
    epochs: Array
    bin_steps: Array
    bins: Array
    sign: int
    lost: tuple[int, int]

    @property
    def noise(self) -> float:
        """Standard deviation of one bin around its neighbors, from successive differences (von Neumann 1941)."""
        return noise_of(self.bins)


def noise_of(values: Array) -> float:
    """Return a robust standard deviation of `values` around a smooth trend; 0 for fewer than three."""
    if len(values) < 3:
        return 0.0
    bends = values[2:] - 2 * values[1:-1] + values[:-2]  # second differences: a straight trend cancels
    return float(1.4826 * np.median(np.abs(bends)) / math.sqrt(6))


def curve_of(run: Run, role: str) -> Curve | None:
    """Return the curve that stands for a role, None where the role was not logged.

    Of several tags of one role the total comes before its parts, the epoch's mean before single steps,
    and the first logged before the rest; a tag with fewer than three points stands back.
    """
    rows = run.scalars[(run.scalars["role"] == role) & run.scalars["live"]]
    if rows.empty:
        return None
    sizes = rows.groupby("tag", sort=False)["step"].nunique()
    order = {tag: i for i, tag in enumerate(sizes.index)}
    best = min(sizes.index, key=lambda tag: (sizes[tag] < 3, _rank(tag, sizes), order[tag]))
    return _curve(role, str(best), rows[rows["tag"] == best])


def finest_curve_of(run: Run, role: str) -> Curve | None:
    """Return the curve of a role with the most points: of single steps where they were logged.

    Only tags that stand as near to the role as the one of `curve_of` count: no part of a total, no copy.
    """
    chosen = curve_of(run, role)
    if chosen is None:
        return None
    rows = run.scalars[(run.scalars["role"] == role) & run.scalars["live"]]
    near = [tag for tag in rows["tag"].unique() if rank_of(tag)[0] <= rank_of(chosen.tag)[0]]
    sizes = rows[rows["tag"].isin(near)].groupby("tag", sort=False)["step"].nunique()
    finest = str(sizes.idxmax())
    if finest == chosen.tag or sizes[finest] <= len(chosen.values):
        return chosen
    return _curve(role, finest, rows[rows["tag"] == finest])


def primary_curve(run: Run) -> Curve | None:
    """Return the series that the run's state is judged by.

    An agent's reward where there is one (the loss of an agent does not tell how well it does); else the
    training loss, the validation loss, a validation metric, a training metric.
    """
    for role in ("reward", "train_loss", "val_loss", "val_metric", "train_metric"):
        curve = curve_of(run, role)
        if curve is not None and (len(curve.values) >= FEWEST_POINTS or role == "train_metric"):
            return curve
    return next((c for r in ("train_loss", "val_loss", "val_metric") if (c := curve_of(run, r))), None)


def first_level(bins: Array) -> float:
    """Return the level of the first 5 % of bins (m,), at least one."""
    return float(np.median(bins[: max(1, round(len(bins) * 0.05))]))


def _rank(tag: str, sizes: pd.Series) -> tuple[int, int, bool]:
    extra, fine = rank_of(tag)
    return extra, fine, bool(sizes[tag] < FEWEST_POINTS)


def _curve(role: str, tag: str, rows: pd.DataFrame) -> Curve:
    finite = np.isfinite(rows["value"].to_numpy())
    tail = int(len(finite) - 1 - np.flatnonzero(finite)[-1]) if finite.any() else len(finite)
    kept = rows[finite].groupby("step", sort=True).agg({"value": "median", "epoch": "last"})
    steps, values = kept.index.to_numpy(dtype=float), kept["value"].to_numpy(dtype=float)
    rising = role == "reward" or (role.endswith("_metric") and higher_is_better(tag))
    sign = -1 if rising else 1
    bin_steps, bins = _binned(steps, sign * values)
    lost = (int((~finite).sum()), tail)
    return Curve(role, tag, steps, values, kept["epoch"].to_numpy(dtype=float), bin_steps, bins, sign, lost)


def _binned(steps: Array, values: Array) -> tuple[Array, Array]:
    if len(values) <= MOST_BINS:
        return steps, values
    edges = np.linspace(steps[0], steps[-1], MOST_BINS + 1)
    which = np.clip(np.searchsorted(edges, steps, side="right") - 1, 0, MOST_BINS - 1)
    starts = np.flatnonzero(np.diff(which, prepend=-1))
    parts = np.split(values, starts[1:])
    return steps[starts], np.array([_trimmed(part) for part in parts])


def _trimmed(values: Array) -> float:
    if len(values) < 5:
        return float(np.mean(values))
    low, high = np.quantile(values, (0.1, 0.9))
    inside = values[(values >= low) & (values <= high)]
    return float(np.mean(inside)) if len(inside) else float(np.median(values))

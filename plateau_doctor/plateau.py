"""Where a curve goes flat, diverges or turns, and the state of a run that follows from it.

A curve is first reduced to at most 60 bins of equal width in steps, so that the per-step and the
per-epoch log of one run look alike. It is flat where neither of two horizons (an eighth and a quarter of
the run) gains more than noise and more than a small share of the progress so far.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from plateau_doctor.roles import higher_is_better, rank_of
from plateau_doctor.run import Run

__all__ = ["Curve", "Plateau", "State", "curve_of", "find_plateaus", "primary_curve", "state_of"]

State = Literal["improving", "plateaued", "converged", "diverged", "too_short", "not_a_training_run"]
Array = np.ndarray

MOST_BINS = 60
FEWEST_POINTS = 6
GAIN_OF_PROGRESS = 0.012  # a horizon that gains less than this share of the progress so far is flat
GAIN_OF_LEVEL = 0.004  # ... or less than this share of the first level, for runs without progress
ONSET_BAND = 0.03
CONVERGED_DROP = 0.8  # share of the first level removed; trainspotter 0.2.6 uses the same bar
CONVERGED_RATE = 0.3  # learning rate against its peak; likewise


@dataclass(frozen=True)
class Plateau:
    """A flat stretch of one series, in the units of the log.

    Attributes:
        series: Role of the series: `train_loss`, `val_loss` or a metric.
        tag: Tag it was logged under.
        start_step: First step of the stretch.
        end_step: Last step of the stretch.
        start_epoch: Epoch at the start, None where the log has none.
        level: Median value in the stretch.
        slope: Change of the value per step, robust.
        noise: Standard deviation of one bin, from successive differences.
        confidence: How sure, 0..1: share of the stretch's bins that agree; not a probability.
    """

    series: str
    tag: str
    start_step: float
    end_step: float
    start_epoch: float | None
    level: float
    slope: float
    noise: float
    confidence: float


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


def find_plateaus(curve: Curve) -> tuple[Plateau, ...]:
    """Return the flat stretches of a curve, in order; the last one may reach the end."""
    bins, n = curve.bins, len(curve.bins)
    if n < FEWEST_POINTS:
        return ()
    horizon = max(2, round(n / 8))
    flat = np.array([_flat_at(bins, i, horizon, curve.noise) for i in range(n)])
    flat &= np.array([_flat_at(bins, i, 2 * horizon, curve.noise) for i in range(n)])
    stretches = [(a, b) for a, b in _runs(flat) if b - a >= max(2, horizon)]
    found: list[tuple[int, int]] = []
    for a, b in stretches:
        start = _onset(bins, a, b, horizon, curve.noise)
        while found and start < found[-1][1]:  # one shelf, which noise had cut in two
            start = min(start, found.pop()[0])
        found.append((start, b))
    return tuple(_plateau(curve, start, b, flat) for start, b in found)


def state_of(
    curve: Curve | None, plateaus: tuple[Plateau, ...], rate_left: float | None, guess: float | None = None
) -> State:
    """Return the state of a run from its primary curve, that curve's plateaus and the learning rate left.

    `rate_left` is the last learning rate as a share of its peak, `guess` the loss of guessing all classes
    alike (ln C); None where not logged.
    """
    if curve is None:
        return "not_a_training_run"
    if curve.lost[1] > 0 and curve.lost[1] >= 0.02 * len(curve.values):
        return "diverged"
    if len(curve.values) < FEWEST_POINTS:
        return "too_short"
    if _diverged(curve):
        return "diverged"
    ends_flat = bool(plateaus) and plateaus[-1].end_step >= curve.bin_steps[-1]
    if not ends_flat:
        return "improving"
    if guess is not None and curve.role.endswith("_loss") and plateaus[-1].level > 0.8 * guess:
        return "plateaued"
    return "converged" if _converged(curve, plateaus[-1], rate_left) else "plateaued"


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


def _flat_at(bins: Array, i: int, horizon: int, noise: float) -> bool:
    """Whether the blocks on either side of bin i differ by less than noise and than a share of the progress.

    Near the ends the blocks are moved inward, so that they are always whole.
    """
    width = min(horizon, len(bins) // 2)
    middle = min(max(i, width), len(bins) - width)
    before, after = bins[middle - width : middle], bins[middle : middle + width]
    gain = float(np.median(before) - np.median(after))
    first = _first_level(bins)
    progress = max(0.0, first - float(np.median(after)))
    doubt = 2.5 * noise * math.sqrt(2 / width)
    return abs(gain) < max(doubt, GAIN_OF_PROGRESS * progress, GAIN_OF_LEVEL * abs(first))


def _first_level(bins: Array) -> float:
    return float(np.median(bins[: max(1, round(len(bins) * 0.05))]))


def _runs(flags: Array) -> list[tuple[int, int]]:
    """Return (first, one past last) of each run of True, a single False between two being forgiven."""
    filled = flags.copy()
    filled[1:-1] |= flags[:-2] & flags[2:]
    edges = np.flatnonzero(np.diff(np.concatenate(([0], filled.astype(int), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _onset(bins: Array, a: int, b: int, horizon: int, noise: float) -> int:
    """Return where the curve enters the plateau's band for good, searched around the first flat bin.

    The band is three noise widths or 3 % of the progress made until then, whichever is wider.
    """
    level = float(np.median(bins[(a + b) // 2 : b]))
    band = max(3 * noise, ONSET_BAND * abs(_first_level(bins) - level), GAIN_OF_LEVEL * abs(level))
    outside = np.flatnonzero(np.abs(_smooth(bins) - level)[: min(b - 1, a + 2 * horizon)] > band)
    return min(int(outside[-1]) + 1 if len(outside) else 0, b - 2)


def _plateau(curve: Curve, a: int, b: int, flat: Array) -> Plateau:
    start = float(curve.bin_steps[a])
    end = float(curve.steps[-1]) if b >= len(curve.bins) else float(curve.bin_steps[b - 1])
    inside = (curve.steps >= start) & (curve.steps <= end)
    epochs = curve.epochs[inside]
    epoch = float(epochs[0]) if len(epochs) and math.isfinite(epochs[0]) else None
    slope = 0.0
    if b - a >= 2 and end > start:
        half = (b - a) // 2
        late, early = np.median(curve.bins[b - half : b]), np.median(curve.bins[a : a + half])
        slope = curve.sign * float(late - early) / ((end - start) / 2)
    level = float(np.median(curve.values[inside]))
    return Plateau(
        curve.role,
        curve.tag,
        start,
        end,
        epoch,
        level,
        slope,
        noise_of(curve.bins[a:b]),
        float(np.mean(flat[a:b])),
    )


def _diverged(curve: Curve) -> bool:
    """Whether the curve ends clearly above where it began, or far above where it has been."""
    bins = curve.bins
    if curve.role not in ("train_loss", "reward"):
        return False
    tail = float(np.median(bins[-max(2, len(bins) // 8) :]))
    first, best = _first_level(bins), float(np.min(_smooth(bins)))
    scale = max(abs(first - best), 0.02 * abs(first), 4 * curve.noise)
    if curve.role == "reward":
        return tail - best > 0.7 * scale and first - best > 8 * curve.noise
    return (tail > first + 0.2 * abs(first) + 2 * curve.noise) or (
        tail - best > 0.8 * scale and tail > 2 * abs(best)
    )


def _smooth(bins: Array) -> Array:
    width = 3 if len(bins) < 30 else 5
    padded = np.pad(bins, width // 2, mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1))


def _converged(curve: Curve, plateau: Plateau, rate_left: float | None) -> bool:
    if curve.role == "reward":
        return False
    if curve.role.endswith("_metric"):
        return curve.sign < 0 and plateau.level >= (0.95 if plateau.level <= 1 else 95)
    first = _first_level(curve.bins)
    drop = (first - plateau.level) / abs(first) if first else 0.0
    if drop >= CONVERGED_DROP:
        return True
    return rate_left is not None and rate_left <= CONVERGED_RATE and drop >= CONVERGED_DROP / 2

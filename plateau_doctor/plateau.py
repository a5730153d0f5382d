"""Where a curve goes flat, diverges or turns, and the state of a run that follows from it.

A curve is first reduced to the means of its epochs, or to at most 60 bins of equal width in steps, and then read
at 60 even places, so that the per-step, the per-epoch and the thinned log of one run look alike. It is flat where
one horizon (an eighth of the run) gains no more than noise, or than a small share of the progress so far, and where
the halves of the stretch agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from plateau_doctor.series import (
    FEWEST_POINTS,
    MOST_BINS,
    Array,
    Curve,
    first_level,
    median,
    noise_of,
    share_of,
    smooth,
    windows,
)

__all__ = ["CONVERGED_DROP", "Plateau", "State", "find_plateaus", "state_of"]

State = Literal["improving", "plateaued", "converged", "diverged", "too_short", "not_a_training_run"]

GAIN_OF_PROGRESS = 0.012  # a horizon that gains less than this share of the progress so far is flat
GAIN_OF_LEVEL = 0.004  # ... or less than this share of the first level, for runs without progress
ONSET_BAND = 0.05
GRID = MOST_BINS
HORIZON = 8  # places of the grid
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


def find_plateaus(curve: Curve) -> tuple[Plateau, ...]:
    """Return the flat stretches of a curve, in order; the last one may reach the end."""
    if not curve.long_enough:
        return ()
    steps, bins = curve.evenly(curve.bin_steps), curve.evenly(curve.bins)
    noise = _noise(curve)
    # two points that were logged: between fewer, a curve read from few is straight, and its noise its own bend
    horizon = max(HORIZON, math.ceil(2 * (GRID - 1) / (len(curve.bins) - 1)))
    found = _shelves(bins, horizon, noise)
    # a shelf in mid-run may be shorter than one the run ends in
    for a, b in _shelves(bins, horizon // 2, noise) if horizon == HORIZON else ():
        if b < len(bins) and all(b <= start or a >= end for start, end in found):
            found.append((a, b))
    return tuple(
        _plateau(curve, steps, bins, _change_point(bins, a, b, horizon), b) for a, b in sorted(found)
    )


def _noise(curve: Curve) -> float:
    """Return the standard deviation of one place of the grid around a smooth trend.

    From second differences over a 25th of the run, so that single steps, epochs and every second epoch show the
    same wavering. Thinning takes points away, not the noise of the training: as many count as epochs passed.
    """
    bins, n = curve.bins, float(len(curve.bins))
    lag = max(1, round(n / 25))
    noise = noise_of(bins[-3:]) if len(bins) < FEWEST_POINTS else noise_of(bins, lag)
    if np.isfinite(curve.epochs[[0, -1]]).all():
        first, last = np.ceil(curve.epochs[[0, -1]] - 1e-6)
        n = max(n, min(float(last - first) + 1, 2 * n, GRID))
    return noise * math.sqrt(GRID / n)


def moment(step: float, epoch: float | None) -> str:
    """Return a place in a run in words: its epoch and step, once where they are counted alike."""
    if epoch is None or not math.isfinite(epoch):
        return f"step {step:.0f}"
    alike = abs(epoch - step) <= 1  # steps are epochs, counted from 0 or between two of them
    return f"epoch {epoch:.0f}" if alike else f"epoch {epoch:.0f} (step {step:.0f})"


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
    if not curve.long_enough:
        return "too_short"
    if _diverged(curve):
        return "diverged"
    ends_flat = bool(plateaus) and plateaus[-1].end_step >= curve.bin_steps[-1]
    if not ends_flat:
        return "improving"
    if guess is not None and curve.role.endswith("_loss") and plateaus[-1].level > 0.8 * guess:
        return "plateaued"
    return "converged" if _converged(curve, plateaus[-1], rate_left) else "plateaued"


def _shelves(bins: Array, horizon: int, noise: float) -> list[tuple[int, int]]:
    """Return (first, one past last) bin of each flat stretch at one horizon, joined where noise had cut one."""
    flat = _flat(bins, horizon, noise)
    found: list[tuple[int, int]] = []
    for a, b in _runs(flat):
        start = _steady(bins, a, b, horizon, noise)
        if b - start < max(2, horizon):
            continue
        onset = _onset(bins, start, b, horizon, noise)
        fall, doubt = _fall(bins[onset:b], HORIZON, noise)  # where it begins is asked at one scale
        if onset > start or abs(fall) <= max(doubt, 2 * _share(bins, bins[start:b])):
            start = onset
        while found and start < found[-1][1]:
            start = min(start, found.pop()[0])
        found.append((start, b))
    return found


def _flat(bins: Array, horizon: int, noise: float) -> Array:
    """Whether the blocks on either side of each bin differ by less than noise and than a share of the progress.

    Near the ends the blocks are moved inward, so that they are always whole.
    """
    width = min(horizon, len(bins) // 2)
    ranked = np.sort(windows(bins, width), axis=1)
    levels = ranked[:, width // 2] if width % 2 else (ranked[:, width // 2 - 1] + ranked[:, width // 2]) / 2
    middle = np.clip(np.arange(len(bins)), width, len(bins) - width)
    before, after = levels[middle - width], levels[middle]
    progress = np.maximum(0.0, first_level(bins) - after)
    share = np.maximum(GAIN_OF_PROGRESS * progress, GAIN_OF_LEVEL * abs(first_level(bins)))
    return np.asarray(np.abs(before - after) < np.maximum(2.5 * noise * math.sqrt(2 / width), share))


def _steady(bins: Array, a: int, b: int, horizon: int, noise: float) -> int:
    """Return the first bin from which a line through the stretch is level, b where none is.

    Many bins tell a slow fall that two blocks cannot: per-step and per-epoch logs of one run then agree.
    """
    fewest = max(2, horizon)
    for start in range(a, b - fewest + 1):
        if start > a and b - start < 2 * horizon:
            return b
        fall, doubt = _fall(bins[start:b], horizon, noise)
        after = bins[(start + b) // 2 : b]
        if abs(fall) <= max(doubt, _share(bins, after)):
            return start if abs(fall) <= doubt or _slowed(bins, start, b, fall, horizon) else b
    return b


def _fall(values: Array, horizon: int, noise: float) -> tuple[float, float]:
    """Return by how much a line through `values` falls in one horizon, and 2.5 standard errors of that."""
    n = len(values)
    places = np.arange(n) - (n - 1) / 2
    slope = float(places @ values) * 12 / (n * (n * n - 1))
    return -slope * horizon, 2.5 * noise * math.sqrt(12 / n**3) * horizon


def _slowed(bins: Array, a: int, b: int, fall: float, horizon: int) -> bool:
    """Whether a stretch falls at most half as fast as the curve did before it.

    One that begins with the run has no before: it may fall by 2 % of its first level in all.
    """
    if a < 2:
        return abs(fall) * (b - a) / horizon <= 5 * GAIN_OF_LEVEL * abs(first_level(bins))
    earlier = bins[max(0, a - (b - a)) : a + 1]
    return abs(fall) <= 0.5 * abs(_fall(earlier, horizon, 0.0)[0])


def _share(bins: Array, after: Array) -> float:
    """Return the gain of a horizon that counts as none: a share of the progress so far, or of the first level."""
    first = first_level(bins)
    progress = max(0.0, first - median(after))
    return max(GAIN_OF_PROGRESS * progress, GAIN_OF_LEVEL * abs(first))


def _runs(flags: Array) -> list[tuple[int, int]]:
    """Return (first, one past last) of each run of True, a single False between two being forgiven."""
    filled = flags.copy()
    filled[1:-1] |= flags[:-2] & flags[2:]
    edges = np.flatnonzero(np.diff(np.concatenate(([0], filled.astype(int), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _onset(bins: Array, a: int, b: int, horizon: int, noise: float) -> int:
    """Return where the curve enters the plateau's band for good, searched around the first flat bin.

    The band is three noise widths or 5 % of the progress made until then, whichever is wider.
    """
    level = median(bins[(a + b) // 2 : b])
    band = max(3 * noise, ONSET_BAND * abs(first_level(bins) - level), GAIN_OF_LEVEL * abs(level))
    outside = np.flatnonzero(np.abs(smooth(bins, 5) - level)[: min(b - 1, a + 2 * horizon)] > band)
    return min(int(outside[-1]) + 1 if len(outside) else 0, b - 2)


def _change_point(bins: Array, a: int, b: int, horizon: int) -> int:
    """Return the bin at or after `a` from which one level fits best, and a parabola what comes before it."""
    if a < 3:
        return a
    begin = max(0, a - 2 * horizon)
    best, least = a, math.inf
    for at in range(a, min(a + horizon, b - max(2, horizon // 2)) + 1):
        before, after = bins[begin : at + 1], bins[at:b]
        basis = _parabolas(len(before))
        rest = before - basis @ (before @ basis)
        off = after - np.add.reduce(after) / len(after)  # np.var costs five times as much on so few
        error = float(rest @ rest) + float(np.add.reduce(off * off) / len(after)) * len(after)
        if error < least * (1 - 1e-9):
            best, least = at, error
    return best


@cache
def _parabolas(n: int) -> Array:
    """Return an orthonormal basis of the parabolas over n places, shape (n, 3)."""
    places = np.linspace(-1, 1, n)
    return np.linalg.qr(np.stack([np.ones(n), places, places**2], axis=1))[0]


def _plateau(curve: Curve, steps: Array, bins: Array, a: int, b: int) -> Plateau:
    start = float(steps[a])
    end = float(curve.steps[-1]) if b >= len(bins) else float(steps[b - 1])
    inside = (curve.steps >= start) & (curve.steps <= end)
    epochs = curve.epochs[inside]
    epoch = float(epochs[0]) if len(epochs) and math.isfinite(epochs[0]) else None
    slope = 0.0
    if b - a >= 2 and end > start:
        half = (b - a) // 2
        slope = curve.sign * (median(bins[b - half : b]) - median(bins[a : a + half])) / ((end - start) / 2)
    level = median(curve.values[inside] if inside.any() else curve.sign * bins[a:b])
    noise = noise_of(curve.bins[(curve.bin_steps >= start) & (curve.bin_steps <= end)])
    near = np.abs(bins[a:b] - median(bins[a:b])) <= max(3 * noise, GAIN_OF_PROGRESS * np.ptp(bins))
    return Plateau(curve.role, curve.tag, start, end, epoch, level, slope, noise, share_of(near))


def _diverged(curve: Curve) -> bool:
    """Whether the curve ends clearly above where it began, or far above where it has been."""
    bins = curve.bins
    if curve.role not in ("train_loss", "reward"):
        return False
    tail = median(bins[-max(2, len(bins) // 8) :])
    first, best = first_level(bins), float(np.min(smooth(bins, 3 if len(bins) < 30 else 5)))
    scale = max(abs(first - best), 0.02 * abs(first), 4 * curve.noise)
    if curve.role == "reward":
        return tail - best > 0.7 * scale and first - best > 8 * curve.noise
    return (tail > first + 0.2 * abs(first) + 2 * curve.noise) or (
        tail - best > 0.8 * scale and tail > 2 * abs(best)
    )


def _converged(curve: Curve, plateau: Plateau, rate_left: float | None) -> bool:
    if curve.role == "reward":
        return False
    if curve.role.endswith("_metric"):
        return curve.sign < 0 and plateau.level >= (0.95 if plateau.level <= 1 else 95)
    first = first_level(curve.bins)
    drop = (first - plateau.level) / abs(first) if first else 0.0
    if drop >= CONVERGED_DROP:
        return True
    return rate_left is not None and rate_left <= CONVERGED_RATE and drop >= CONVERGED_DROP / 2

"""Facts about a falling learning rate: when it fell, and what the loss was doing then."""

from __future__ import annotations

import numpy as np

from plateau_doctor.facts.logged import Logged, remembered
from plateau_doctor.facts.loss import drop, first_level
from plateau_doctor.facts.rate import budget
from plateau_doctor.facts.registry import Value, fact
from plateau_doctor.series import median, smooth


@fact("rate.mean", "share of the peak", "learning_rate")
def mean(logged: Logged, _: str) -> Value:
    """Learning rate averaged over the run, over its peak: 1 for a constant rate, 0.5 for a cosine."""
    curve = logged.curve("learning_rate")
    if curve is None or curve.values.max() <= 0 or curve.steps[-1] <= curve.steps[0]:
        return None
    area = float(np.trapezoid(curve.values, curve.steps))
    return area / float(curve.steps[-1] - curve.steps[0]) / float(curve.values.max())


@fact("rate.turns", "count", "learning_rate")
def turns(logged: Logged, _: str) -> Value:
    """How often the rate rose again by a tenth of its peak after it had fallen so far: 0 for all but cycles."""
    curve = logged.curve("learning_rate")
    if curve is None or curve.values.max() <= 0:
        return None
    swing, count, falling = 0.1 * float(curve.values.max()), 0, False
    turn = float(curve.values[0])  # the last high, or the last low
    turning = np.flatnonzero(np.diff(np.sign(np.diff(curve.values)))) + 1  # between them nothing can turn
    for value in [*curve.values[turning].tolist(), float(curve.values[-1])]:
        turn = min(turn, value) if falling else max(turn, value)
        if abs(value - turn) >= swing:
            count, falling, turn = count + int(falling), not falling, value
    return float(count)


@fact("rate.half_at", "share of the run", "learning_rate")
def half_at(logged: Logged, _: str) -> Value:
    """Where the rate fell below half of its peak for good; 1 where it never did."""
    return _fell_below(logged, 0.5)


@fact("rate.low_at", "share of the run", "learning_rate")
def low_at(logged: Logged, _: str) -> Value:
    """Where the rate fell below a tenth of its peak for good; 1 where it never did."""
    return _fell_below(logged, 0.1)


def _fell_below(logged: Logged, share: float) -> float | None:
    curve = logged.curve("learning_rate")
    if curve is None or curve.values.max() <= 0 or curve.steps[-1] <= curve.steps[0]:
        return None
    high = np.flatnonzero(curve.values >= share * curve.values.max())
    if high[-1] == len(curve.values) - 1:
        return 1.0
    return float((curve.steps[high[-1] + 1] - curve.steps[0]) / (curve.steps[-1] - curve.steps[0]))


@fact("rate.gain_before", "share of the level", "learning_rate")
def gain_before(logged: Logged, _: str) -> Value:
    """Loss gained in a tenth of the run just before the rate fell below half of its peak, by a line through it.

    None where the rate never fell so far, or within the first points. A cut after a flat stretch gives 0.
    """
    parts = _around(logged)
    if parts is None:
        return None
    bins, _cut, slope = parts
    return slope * len(bins) / 10


@fact("rate.gain_after", "share of the level", "learning_rate")
def gain_after(logged: Logged, _: str) -> Value:
    """Loss gained in each tenth of the run after that cut, from right behind it to the end."""
    parts = _around(logged)
    if parts is None:
        return None
    bins, cut, _slope = parts
    gained = (float(smooth(bins)[cut]) - _end(bins)) / abs(float(bins[cut - 1]))
    return gained / (len(bins) - 1 - cut) * len(bins) / 10


@fact("rate.shortfall", "share of the level", "learning_rate")
def shortfall(logged: Logged, _: str) -> Value:
    """What the slope before the cut promised for the rest of the run, less what came of it.

    The promise is exponential: the same share of the loss in every step. Near 0 for a cut on a flat loss.
    """
    parts = _around(logged)
    if parts is None:
        return None
    bins, cut, slope = parts
    promised = 1 - (1 - min(max(slope, 0.0), 0.9)) ** (len(bins) - cut)
    level = median(bins[max(0, cut - 2) : cut])
    return promised - (level - _end(bins)) / abs(level)


def _end(bins: np.ndarray) -> float:
    return median(bins[-(len(bins) // 8) :])


@remembered
def _around(logged: Logged) -> tuple[np.ndarray, int, float] | None:
    """Return the loss at even places (n,), the first after the rate had halved for good, and the relative fall a place.

    The fall is that of a line through the eighth of the run before.
    """
    rate, train, at = logged.curve("learning_rate"), logged.curve("train_loss"), half_at(logged, "")
    if rate is None or train is None or not isinstance(at, float) or at == 1:
        return None
    step = rate.steps[0] + at * (rate.steps[-1] - rate.steps[0])
    last = int(np.searchsorted(train.bin_steps, step))  # bins before the cut
    bins, places = train.evenly(train.bins), train.evenly(train.bin_steps)
    cut = int(np.searchsorted(places, step))
    if last < 3 or last > len(train.bins) - 3 or bins[cut - 1] == 0:
        return None
    window = bins[max(0, cut - len(bins) // 8) : cut]
    places = np.arange(len(window)) - (len(window) - 1) / 2
    slope = -float(places @ window) / max(float(places @ places), 1e-12)
    return bins, cut, slope / abs(median(window))


@fact("rate.payoff", "share of the budget", "grad_norm")
def gained_of_budget(logged: Logged, _: str) -> Value:
    """Share of `rate.budget` that became a lower loss; 3e-2 in healthy small nets, 7e-4 on a noise floor."""
    spent, lost = budget(logged, ""), drop(logged, "train_loss")
    if not isinstance(spent, float) or not isinstance(lost, float) or spent <= 0:
        return None
    return lost / spent


@fact("train_loss.kink", "share", "train_loss")
def kink(logged: Logged, _: str) -> Value:
    """How suddenly a steady fall stops: 1 for a straight line that goes flat, at most 0.25 for an exponential.

    The largest product of (slope here over slope before, at most 1) and (1 less slope after over slope here).
    A cut of the rate, a frozen layer or a rule of the schedule makes one; a net that has learned does not.
    """
    return _kink(logged)[0]


@fact("train_loss.kink_at", "share of the run", "train_loss")
def kink_at(logged: Logged, _: str) -> Value:
    """Where that is."""
    return _kink(logged)[1]


@remembered
def _kink(logged: Logged) -> tuple[float | None, float | None]:
    curve = logged.curve("train_loss")
    if curve is None or len(curve.bins) < 12 or first_level(curve) == 0:
        return None, None
    bins = curve.evenly(curve.calm)
    n, width = len(bins), len(bins) // 12
    least = max(4 * curve.noise, 0.03 * float(np.ptp(bins)), 1e-12)
    best, place = 0.0, None
    for k in range(2 * width, n - width):
        before, here, after = (float(bins[a] - bins[a + width]) for a in (k - 2 * width, k - width, k))
        if here > least and before > 0:
            sharp = min(here / before, before / here, 1.0) * (1 - max(after, 0.0) / here)
            if sharp > best:
                best, place = sharp, k / (n - 1)
    return best, place

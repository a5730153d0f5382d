"""Facts about what logging does to a curve: repeats, rounding, zeros, restarts."""

from __future__ import annotations

import numpy as np

from plateau_doctor.facts.logged import Logged
from plateau_doctor.facts.loss import LOSSES
from plateau_doctor.facts.registry import Value, fact
from plateau_doctor.series import share_of

MOST_DIGITS = 8


@fact("repeats", "share of points", "{series}", *LOSSES)
def repeats(logged: Logged, series: str) -> Value:
    """Share of points that equal the one before to the last digit."""
    curve = logged.curve(series)
    return None if curve is None else share_of(np.diff(curve.values) == 0)


@fact("zeros", "share of points", "{series}", *LOSSES)
def zeros(logged: Logged, series: str) -> Value:
    """Share of points that are exactly 0 while most are not; 0 for a loss that has come down to 0."""
    curve = logged.curve(series)
    if curve is None:
        return None
    exact = curve.values == 0
    stays = bool(exact[-1]) and bool(exact[int(np.argmax(exact)) :].all())
    return 0.0 if stays else share_of(exact)


@fact("grain", "share of the late range", "{series}", *LOSSES)
def grain(logged: Logged, series: str) -> Value:
    """Size of the last digit that was written over the range of the last half; 1 where one digit is all it moves.

    0 where the values are not rounded to eight decimals or fewer; None where they do not move.
    """
    curve = logged.curve(series)
    if curve is None:
        return None
    values = curve.values
    span = float(np.ptp(values[len(values) // 2 :]))
    if span <= 0:
        return None
    if not _rounded(values, MOST_DIGITS):
        return 0.0
    digits = next(digits for digits in range(MOST_DIGITS + 1) if _rounded(values, digits))
    return min(1.0, 10.0**-digits / span)


def _rounded(values: np.ndarray, digits: int) -> bool:
    """Whether values (n,) have no more decimals, as far as a float32 tells."""
    return bool(np.all(np.abs(values - np.round(values, digits)) <= 2e-7 * np.abs(values)))


@fact("log.restarts", "count", "train_loss")
def restarts(logged: Logged, _: str) -> Value:
    """How often the log went back to an earlier step: a resumed run, or two runs in one file."""
    segment = logged.column("segment", logged.tags_of("train_loss"))
    return float(segment.max()) if len(segment) else None


@fact("log.rewound", "share of points", "train_loss")
def rewound(logged: Logged, _: str) -> Value:
    """Share of the training loss that a later stretch wrote again."""
    live = logged.column("live", logged.tags_of("train_loss"))
    return share_of(~live) if len(live) else None


@fact("crowded", "share of steps", "{series}", *LOSSES)
def crowded(logged: Logged, series: str) -> Value:
    """Share of steps at which the loss was written more than once with different values.

    Single batches of an evaluation under one step do that, and several processes in one file.
    """
    curve = logged.curve(series)
    if curve is None:
        return None
    rows = logged.columns(curve.tag)
    steps, values = rows["step"], rows["value"]
    if (np.diff(steps) > 0).all():
        return 0.0
    kept = rows["live"] & np.isfinite(values)
    order = np.lexsort((values[kept], steps[kept]))
    steps, values = steps[kept][order], values[kept][order]
    starts = np.flatnonzero(np.diff(steps, prepend=np.nan) != 0)
    ends = np.append(starts[1:], len(steps)) - 1
    return share_of(values[ends] > values[starts])

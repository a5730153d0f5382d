"""The dose of a fix of the learning rate: how far the rate is moved, by the size of the control's own first steps.

A tenth of a rate that is a thousand times too high is still too high. The control recorded its update ratios, the size
of a step over the size of the weights. So a fix moves the rate at least as far as its file says, and on until the first
steps would be of usual size. What is usual was chosen by hand on the small nets of `benchmarks/verified.py`, which
tells how often a fix is confirmed, and helps.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from plateau_doctor.facts import Logged
from plateau_doctor.facts.rate import update_ratios
from plateau_doctor.fix import Fix
from plateau_doctor.run import Run

__all__ = ["dosed", "first_ratio"]

LARGEST, SMALLEST = 1e-2, 5e-3  # usual ratios, which a rate is lowered or raised to
LEAST, MOST = 1e-3, 100.0  # scales beyond which nothing is tried
START = 0.25  # of what was recorded


def dosed(fix: Fix, control: Run | None) -> Fix:
    """Return a fix that scales the learning rate with the dose that a control calls for; any other as it is."""
    scale = None if fix.change is None else fix.change.learning_rate_scale
    ratio = None if control is None else first_ratio(control)
    if fix.change is None or scale is None or not ratio:
        return fix
    lowers = scale < 1
    wanted = max(LEAST, LARGEST / ratio) if lowers else min(MOST, SMALLEST / ratio)
    new = float(f"{wanted:.1g}")
    if not (new < scale if lowers else new > scale):
        return fix
    size = "large" if lowers else "small"
    return replace(
        fix,
        title=f"{'Lower' if lowers else 'Raise'} the learning rate to {new:g} times what it is",
        advice=f"Multiply your rate by {new:g}: the first steps of the control changed the weights by {ratio:.1g} of "
        f"their size, which is {size} for a start. {fix.advice.rpartition('. ')[2]}",
        snippets={name: code.replace(f"{scale}", f"{new:g}") for name, code in fix.snippets.items()},
        change=replace(fix.change, learning_rate_scale=new),
    )


def first_ratio(run: Run) -> float | None:
    """Return the update ratio of a run's first steps, median over them and over layers; None where none is known."""
    ratios = update_ratios(Logged(run))
    if ratios is None or not len(ratios):
        return None
    first = ratios[: max(1, round(START * len(ratios)))]
    known = first[np.isfinite(first)]
    return float(np.median(known)) if len(known) else None

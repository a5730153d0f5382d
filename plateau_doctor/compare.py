"""Is HEAD worse than BASE, the last good run, beyond what another seed would do?

Runs that differ in the seed alone are one group. A group of HEAD is worse where it ends higher by at least the
tolerance and the lower end of the difference's interval over seeds is above 0: the rule that a verdict on a fix
follows as well. With one run on each side the noise of seeds is unknown, the tolerance stands in for it, and the
answer says so.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from plateau_doctor.examination import Examination, RunExamination
from plateau_doctor.facts.loss import first_level, last_level
from plateau_doctor.findings import Finding, findings_of
from plateau_doctor.letters import UsageError
from plateau_doctor.series import Curve, curve_of

__all__ = ["Comparison", "Measure", "Pair", "compare"]

Unit = Literal["share", "points"]

ROLES = ("reward", "val_metric", "val_loss", "train_metric", "train_loss")  # the first that both have decides
TOLERANCE: Mapping[Unit, float] = {"share": 0.05, "points": 1.0}  # as for a verdict
SLOWER = 0.25  # share of BASE's time by which HEAD reaches BASE's level later
REACHED = 0.95  # share of BASE's progress that counts as its level, unless the tolerance is wider
CONFIDENCE = 0.95  # one-sided
_SEED = re.compile(r"[^A-Za-z0-9/]?(?:random|rng|manual|global)?[_-]?seed[=_-]?\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Measure:
    """One quantity on both sides; a change above 0 is worse.

    Attributes:
        what: `level` or `time`.
        tag: The series.
        base: Median of BASE's runs, in the units of the log (`time`: steps or epochs).
        head: Median of HEAD's, NaN where it went to NaN or never got there.
        change: How much worse, as a share, or in points of a metric; infinite where HEAD has no number.
        low: Lower end of its interval over seeds, None with one run on each side.
        unit: `share`, or `points`.
        tolerance: Least change that counts.
        decides: Whether HEAD is worse when this is.
        axis: `step` or `epoch`, of a time.
    """

    what: Literal["level", "time"]
    tag: str
    base: float
    head: float
    change: float
    low: float | None
    unit: Unit
    tolerance: float
    decides: bool
    axis: str = ""

    @property
    def worse(self) -> bool:
        """Whether the change counts, beyond the noise of seeds where that is known."""
        return self.change >= self.tolerance and (self.low is None or self.low > 0)


@dataclass(frozen=True)
class Pair:
    """A group of runs on both sides: what was measured, and findings that only HEAD has."""

    name: str
    base: tuple[str, ...]
    head: tuple[str, ...]
    measures: tuple[Measure, ...]
    new: tuple[Finding, ...]
    gone: tuple[str, ...]

    @property
    def worse(self) -> bool:
        """Whether HEAD is worse by a measure that decides, or has a new finding that fails."""
        return any(one.worse for one in self.measures if one.decides) or any(one.stops for one in self.new)


@dataclass(frozen=True)
class Comparison:
    """All pairs, and groups that one side lacks."""

    pairs: tuple[Pair, ...]
    only_base: tuple[str, ...] = ()
    only_head: tuple[str, ...] = ()

    @property
    def worse(self) -> bool:
        """Whether any pair is worse."""
        return any(one.worse for one in self.pairs)


def compare(base: Examination, head: Examination, tolerance: float | None = None) -> Comparison:
    """Compare the runs of two examinations; HEAD's gate says which of its new findings fail.

    Args:
        base: The last good runs.
        head: The runs to judge.
        tolerance: Least share by which a level counts as worse; 5 %, or a point of a metric, when None.

    Raises:
        UsageError: No group of runs is on both sides.
    """
    before, after = _groups(base), _groups(head)
    shared = sorted(before.keys() & after.keys())
    pairs = [(name, before[name], after[name]) for name in shared]
    if not shared and len(before) == len(after) == 1:
        pairs = [(next(iter(after)), next(iter(before.values())), next(iter(after.values())))]
    elif not shared:
        names = f"BASE has {', '.join(sorted(before))}; HEAD has {', '.join(sorted(after))}"
        raise UsageError(f"no run of HEAD has the name of one of BASE: {names}")
    found = findings_of(head)
    compared = tuple(_pair(name, old, new, found, tolerance) for name, old, new in pairs)
    if not shared:
        return Comparison(compared)
    return Comparison(compared, *(tuple(sorted(x.keys() - set(shared))) for x in (before, after)))


def _groups(examination: Examination) -> dict[str, list[RunExamination]]:
    groups: dict[str, list[RunExamination]] = defaultdict(list)
    for one in examination.runs:
        groups[_SEED.sub("", one.run.name) or one.run.name].append(one)
    return groups


def _pair(
    name: str,
    before: Sequence[RunExamination],
    after: Sequence[RunExamination],
    found: Sequence[Finding],
    tolerance: float | None,
) -> Pair:
    measures: list[Measure] = []
    for role in ROLES:
        old, new = _curves(before, role), _curves(after, role)
        if old and new:
            decides = not measures
            level = _level(old, new, tolerance, decides)
            measures.append(level)
            if decides:
                measures += _time(old, new, level)
    known = {d.cause for one in before for d in one.diagnoses}
    names = {one.run.name for one in after}
    mine = [one for one in found if one.run in names]
    return Pair(
        name,
        tuple(one.run.name for one in before),
        tuple(sorted(names)),
        tuple(measures),
        tuple(one for one in mine if one.cause not in known),
        tuple(sorted(known - {one.cause for one in mine})),
    )


def _curves(runs: Sequence[RunExamination], role: str) -> list[Curve]:
    found = [curve_of(one.run, role) for one in runs]
    return [curve for curve in found if curve is not None and (len(curve.values) >= 3 or curve.lost[1])]


def _level(old: Sequence[Curve], new: Sequence[Curve], tolerance: float | None, decides: bool) -> Measure:
    base, head = _levels(old), _levels(new)
    metric = old[0].role.endswith("_metric")
    unit: Unit = "points" if metric else "share"
    bar = TOLERANCE[unit] if tolerance is None else tolerance * (100 if metric else 1)
    scale = 100.0 if metric and all(abs(v) <= 1.5 for v in (*base, *head) if math.isfinite(v)) else 1.0
    change, low = _difference(base, head, (lambda v: scale * v) if metric else _log_share(base, head))
    sign = old[0].sign
    return Measure(
        "level", new[0].tag, sign * _median(base), sign * _median(head), change, low, unit, bar, decides
    )


def _levels(curves: Sequence[Curve]) -> list[float]:
    return [math.inf if one.lost[1] or not len(one.bins) else last_level(one) for one in curves]


def _median(values: Sequence[float]) -> float:
    middle = float(np.median(values))
    return middle if math.isfinite(middle) else math.nan


def _log_share(base: Sequence[float], head: Sequence[float]) -> Callable[[float], float]:
    """Return what makes levels comparable as shares: the logarithm, or for any sign a share of BASE's median."""
    if all(value > 0 for value in (*base, *head)):
        return lambda value: math.log(value) if math.isfinite(value) else math.inf
    size = abs(_median(base))
    return lambda value: value / (size or 1.0)


def _difference(
    base: Sequence[float], head: Sequence[float], scale: Callable[[float], float]
) -> tuple[float, float | None]:
    """Return how much higher HEAD is and the lower end of its interval (Student's t, pooled variance)."""
    old, new = [np.array([scale(v) for v in values if math.isfinite(v)]) for values in (base, head)]
    if 2 * len(new) <= len(head) or not len(old):
        return (math.inf, None) if len(old) else (0.0, None)
    change, free = float(new.mean() - old.mean()), len(old) + len(new) - 2
    if free < 1:
        return change, None
    from scipy import stats

    pooled = math.sqrt(float((len(old) * old.var() + len(new) * new.var()) / free))
    half = float(stats.t.ppf(CONFIDENCE, free)) * pooled * math.sqrt(1 / len(old) + 1 / len(new))
    return change, change - half


def _time(old: Sequence[Curve], new: Sequence[Curve], level: Measure) -> list[Measure]:
    """Return how long each side takes to BASE's level; nothing where BASE made no progress to measure by.

    What is within the tolerance of that level counts as there.
    """
    good = [one for one in old if not one.lost[1] and len(one.bins)]
    if not good:
        return []
    first, last = (float(np.median([f(one) for one in good])) for f in (first_level, last_level))
    if not first > last:
        return []
    slack = level.tolerance / 100 if level.unit == "points" else level.tolerance * abs(last)
    bar = last + max((1 - REACHED) * (first - last), slack)
    axis = "epoch" if all(np.isfinite(one.epochs).all() for one in (*old, *new)) else "step"
    base, head = ([_reached(one, bar, axis) for one in curves] for curves in (old, new))
    if not math.isfinite(_median(base)):
        return []
    change, low = _difference(base, head, lambda value: math.log1p(max(0.0, value)))
    tag, late = new[0].tag, math.log1p(SLOWER)
    return [Measure("time", tag, _median(base), _median(head), change, low, "share", late, True, axis)]


def _reached(curve: Curve, bar: float, axis: str) -> float:
    """Return the first step or epoch at which a curve is at or below a level; infinite where it never is."""
    there = np.flatnonzero(curve.bins <= bar)
    if not len(there):
        return math.inf
    step = float(curve.bin_steps[there[0]])
    return step if axis == "step" else float(np.interp(step, curve.steps, curve.epochs))

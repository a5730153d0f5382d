"""What one run tells its siblings, and what seeds of one training have in common."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from plateau_doctor.names import Setting
from plateau_doctor.plateau import State

__all__ = ["ESCAPED", "Seeds", "Summary", "key_of", "of_one_scale"]

ESCAPED = 0.1  # share of the level of the stuck by which a run that escaped ends lower
SAME_LEVEL = 0.05  # ... within which seeds end at the same level
SAME_OF_FIRST = 0.02  # ... or share of the first level, for losses near 0
ONE_SCALE = 10.0  # first levels of one loss lie within this factor of their median


@dataclass(frozen=True)
class Summary:
    """What one run tells its siblings.

    Attributes:
        name: Its name in the report.
        settings: What it was set to, by canonical key.
        state: Its state.
        tag: Tag of its primary series.
        level: Where that ended, smaller being better (metrics are negated); None where it went to NaN.
        first: Where it began, likewise.
        lowest: The lowest it was, likewise.
        held_out: Level of the validation loss, None where not logged.
        steps: Its length.
        since: Where the flat stretch that it ends in begins, None where it ends in none.
        unit: `epoch` or `step`, the unit of `since`.
        sign: -1 where the level was negated.
    """

    name: str
    settings: Mapping[str, Setting]
    state: State
    tag: str = ""
    level: float | None = None
    first: float | None = None
    lowest: float | None = None
    held_out: float | None = None
    steps: float = 0.0
    since: float | None = None
    unit: str = "step"
    sign: int = 1

    @property
    def stuck(self) -> bool:
        """Whether it is flat before its time, or diverged."""
        return self.state in ("plateaued", "diverged")

    @property
    def judged(self) -> bool:
        """Whether it is long enough to count as evidence."""
        return self.state not in ("too_short", "not_a_training_run")


@dataclass(frozen=True, eq=False)
class Seeds:
    """Two or more runs that differ in the seed alone."""

    members: tuple[Summary, ...]

    @cached_property
    def spread(self) -> float | None:
        """Range of the final levels over the size of their median; None unless two are known."""
        levels = self._levels
        middle = abs(float(np.median(levels))) if levels else 0.0
        return (max(levels) - min(levels)) / middle if len(levels) >= 2 and middle > 0 else None

    @cached_property
    def share_a_floor(self) -> bool:
        """Whether all members end flat and at the same level."""
        levels = self._levels
        flat = all(one.state in ("plateaued", "converged") for one in self.members)
        if len(levels) < len(self.members) or not flat:
            return False
        first = max((abs(one.first) for one in self.members if one.first is not None), default=0.0)
        same = max(SAME_LEVEL * abs(float(np.median(levels))), SAME_OF_FIRST * first)
        return max(levels) - min(levels) <= same

    def escaped(self, one: Summary) -> float | None:
        """Return the share of the others that are not stuck and ended clearly lower than one member."""
        if one.level is None:
            return None
        bar = one.level - ESCAPED * abs(one.level)
        return float(np.searchsorted(self._unstuck, bar)) / (len(self.members) - 1)

    @cached_property
    def _levels(self) -> list[float]:
        return [one.level for one in self.members if one.level is not None]

    @cached_property
    def _unstuck(self) -> np.ndarray:
        return np.sort([one.level for one in self.members if one.level is not None and not one.stuck])


def key_of(one: Summary, but: set[str]) -> Hashable:
    """Return what a run was set to but for some keys, as something to group by."""
    return tuple(sorted((key, str(value)) for key, value in one.settings.items() if key not in but))


def of_one_scale(members: Sequence[Summary]) -> list[int]:
    """Return the places of members whose loss has the scale that most have.

    A run fits by its first or by its lowest level: one that blew up in its first epoch comes down to the
    others' scale. Levels that are not positive, as those of metrics and rewards, have none to compare.
    """
    scales = [one.first for one in members if one.first is not None and one.first > 0]
    if not scales:
        return list(range(len(members)))
    middle = math.exp(float(np.median(np.log(scales))))

    def fits(one: Summary) -> bool:
        levels = [level for level in (one.first, one.lowest) if level is not None and level > 0]
        return not levels or any(1 / ONE_SCALE <= level / middle <= ONE_SCALE for level in levels)

    return [i for i, one in enumerate(members) if fits(one)]

"""What siblings say of each other: which are stuck, which escaped, and which one setting tells them apart.

A Family holds one Summary a run and computes everything once for all of its members, so that the evidence of
10,000 siblings costs no more than 10,000 times that of one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from plateau_doctor.names import Setting
from plateau_doctor.summary import ESCAPED, Seeds, Summary, key_of

__all__ = ["Family", "Separation", "Siblings"]

SHORTEST = 0.5  # share of the longest run's steps below which a final level is not compared
STEP_OF_RATE = 1.2  # rates nearer than this are one rate
HELD_OUT_DECIDES = frozenset({"weight_decay", "dropout", "l2"})  # less of them lowers any training loss
NOT_COMPARED = frozenset({"label_smoothing", "epochs"})  # they change the loss itself, or the length


@dataclass(frozen=True)
class Separation:
    """One numeric setting that tells the stuck from those that escaped: the range where they did."""

    key: str
    low: float
    high: float

    def side(self, value: Setting | None) -> str | None:
        """Return where the escaped lie as seen from a value: `lower`, `higher`, or None from among them."""
        if not isinstance(value, float) or self.low <= value <= self.high:
            return None
        return "lower" if value > self.high else "higher"


class Family:
    """Runs that are siblings. Everything is computed at first use and kept."""

    def __init__(self, members: Sequence[Summary]) -> None:
        self.members = tuple(members)

    @cached_property
    def judged(self) -> tuple[Summary, ...]:
        """Members that count as evidence."""
        return tuple(one for one in self.members if one.judged)

    @cached_property
    def common(self) -> tuple[str, str]:
        """The folders that all names begin with, and the slash and file that all end with; either can be empty."""
        parts = [one.name.split("/") for one in self.members]
        shortest = min(map(len, parts))
        before = next((i for i in range(shortest) if len({tuple(p[: i + 1]) for p in parts}) > 1), 0)
        behind = parts[0][-1] if before < shortest - 1 and len({p[-1] for p in parts}) == 1 else ""
        return "".join(f"{part}/" for part in parts[0][:before]), f"/{behind}" if behind else ""

    @cached_property
    def stuck(self) -> tuple[Summary, ...]:
        """Members that are plateaued or diverged."""
        return tuple(one for one in self.judged if one.stuck)

    @cached_property
    def escaped(self) -> tuple[Summary, ...]:
        """Members that are not stuck and ended clearly lower than those that are; empty where none is stuck."""
        levels = [one.level for one in self.stuck if one.level is not None]
        if not self.stuck:
            return ()
        middle = float(np.median(levels)) if levels else math.inf
        bar = middle - ESCAPED * abs(middle) if levels else math.inf
        return tuple(
            one for one in self.judged if not one.stuck and one.level is not None and one.level < bar
        )

    @cached_property
    def separation(self) -> Separation | None:
        """The one setting that separates the stuck from the escaped; None where none or several do.

        A text or an unnamed number that separates them as well leaves open which one did it. For decay and
        dropout the validation loss must have escaped too: the training loss alone would fall with any less.
        """
        both = (*self.stuck, *self.escaped)
        if not self.stuck or not self.escaped:
            return None
        keys = sorted({key for one in both for key in one.settings} - {"seed"})
        found = [(key, self._range(key)) for key in keys if self._apart(key)]
        if len(found) != 1 or found[0][1] is None or found[0][0] in NOT_COMPARED:
            return None
        key, (low, high) = found[0][0], found[0][1]
        return Separation(key, low, high) if key not in HELD_OUT_DECIDES or self._held_out() else None

    @cached_property
    def seeds(self) -> Mapping[Hashable, Seeds]:
        """Judged members that differ in the seed alone, by what they share; two seeds at least."""
        known = [one for one in self._long if "seed" in one.settings]
        return {
            key: Seeds(tuple(group))
            for key, group in self._by_settings(known, {"seed"}).items()
            if len({one.settings["seed"] for one in group}) == len(group) >= 2
        }

    @cached_property
    def best(self) -> tuple[Summary, ...]:
        """The two judged members that ended lowest."""
        known = [one for one in self.judged if one.level is not None]
        return tuple(sorted(known, key=lambda one: (one.level, one.name))[:2])

    def seeds_of(self, one: Summary) -> Seeds | None:
        """Return a member and those that differ from it in the seed alone; None without any."""
        found = self.seeds.get(key_of(one, {"seed"})) if "seed" in one.settings else None
        return found if found is not None and one.steps >= SHORTEST * self._longest else None

    def best_at(self, one: Summary, side: str) -> float | None:
        """Return the lowest level reached at a lower or higher learning rate with all else but the seed equal.

        Of several seeds at one rate the median counts.
        """
        rate = one.settings.get("learning_rate")
        if not isinstance(rate, float):
            return None
        rates, below, above = self._by_rate.get(key_of(one, {"seed", "learning_rate"}), _NO_RATES)
        if side == "lower":
            at = int(np.searchsorted(rates, rate / STEP_OF_RATE, side="right"))
            return float(below[at - 1]) if at > 0 else None
        at = int(np.searchsorted(rates, rate * STEP_OF_RATE, side="left"))
        return float(above[at]) if at < len(rates) else None

    @cached_property
    def _by_rate(self) -> Mapping[Hashable, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Rates, and the lowest level at or below and at or above each, by what members share but rate and seed."""
        found = {}
        known = [one for one in self._long if one.level is not None]
        for key, group in self._by_settings(known, {"seed", "learning_rate"}).items():
            levels: dict[float, list[float]] = defaultdict(list)
            for one in group:
                rate = one.settings.get("learning_rate")
                if isinstance(rate, float) and one.level is not None:
                    levels[rate].append(one.level)
            rates = np.array(sorted(levels))
            medians = np.array([np.median(levels[rate]) for rate in rates.tolist()])
            found[key] = (
                rates,
                np.minimum.accumulate(medians),
                np.minimum.accumulate(medians[::-1])[::-1],
            )
        return found

    @cached_property
    def _long(self) -> tuple[Summary, ...]:
        return tuple(one for one in self.judged if one.steps >= SHORTEST * self._longest)

    @cached_property
    def _longest(self) -> float:
        return max((one.steps for one in self.judged), default=0.0)

    def _by_settings(self, members: Iterable[Summary], but: set[str]) -> Mapping[Hashable, list[Summary]]:
        groups: dict[Hashable, list[Summary]] = defaultdict(list)
        for one in members:
            groups[key_of(one, but)].append(one)
        return groups

    def _apart(self, key: str) -> bool:
        """Whether no stuck member has a value that an escaped one has, nor one within their range."""
        stuck = {one.settings.get(key) for one in self.stuck}
        if stuck & {one.settings.get(key) for one in self.escaped}:
            return False
        span = self._range(key)
        return span is None or not any(isinstance(v, float) and span[0] <= v <= span[1] for v in stuck)

    def _range(self, key: str) -> tuple[float, float] | None:
        """Return the lowest and highest value of a setting among the escaped; None unless all have a number."""
        values = [one.settings.get(key) for one in (*self.stuck, *self.escaped)]
        if not all(isinstance(value, float) for value in values):
            return None
        escaped = [float(one.settings[key]) for one in self.escaped]
        return min(escaped), max(escaped)

    def _held_out(self) -> bool:
        stuck = [one.held_out for one in self.stuck if one.held_out is not None]
        escaped = [one.held_out for one in self.escaped if one.held_out is not None]
        if not stuck or len(escaped) < len(self.escaped):
            return False
        middle = float(np.median(stuck))
        return max(escaped) < middle - ESCAPED * abs(middle)


@dataclass(frozen=True, eq=False)
class Siblings:
    """One member of a family, and the family: what a run knows of its siblings."""

    family: Family
    mine: Summary

    @property
    def others(self) -> int:
        """Number of other members that count as evidence."""
        return len(self.family.judged) - self.mine.judged

    @property
    def seeds(self) -> Seeds | None:
        """This run and those that differ from it in the seed alone; None without any."""
        return self.family.seeds_of(self.mine)

    def lower(self, level: float | None) -> float | None:
        """Return how much lower a level is than this run's, as a share of this run's; negative for a higher one."""
        own = self.mine.level
        return None if level is None or own is None or own == 0 else (own - level) / abs(own)


_NO_RATES = (np.empty(0), np.empty(0), np.empty(0))

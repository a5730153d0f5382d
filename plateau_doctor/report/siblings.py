"""What siblings say of each other, in a sentence or two a family: how many are stuck, and what the others had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from plateau_doctor.report.words import counted, number

if TYPE_CHECKING:
    from plateau_doctor.examination import Examination
    from plateau_doctor.siblings import Family, Separation
    from plateau_doctor.summary import Summary

__all__ = ["families_say", "first_families_say"]

MOST_NAMED, MOST_FAMILIES = 3, 12


def families_say(examination: Examination) -> tuple[str, ...]:
    """Return a line for each family in which a run is stuck, in the order of the runs."""
    return tuple(f"{_who(family)}: {said}" for family in examination.families if (said := _said(family)))


def first_families_say(examination: Examination) -> list[str]:
    """Return the first dozen of these lines, and how many groups are left."""
    said = families_say(examination)
    more = len(said) - MOST_FAMILIES
    return [*said[:MOST_FAMILIES], *([f"{counted(more, 'more group')} of siblings"] if more > 0 else [])]


def _said(family: Family) -> str:
    """Return the sentence, or nothing where no member is stuck, or only one could be judged."""
    if not family.stuck or len(family.judged) < 2:
        return ""
    rest = [one for one in family.judged if not one.stuck]
    return f"{_stuck(family)}{_rest(family, rest) if rest else _all(family)}.{_luck(family)}"


def _stuck(family: Family) -> str:
    members, noun = family.judged, _noun(family)
    flat = [one for one in family.stuck if one.state == "plateaued"]
    diverged = len(family.stuck) - len(flat)
    if not flat:
        return f"{_of(diverged, len(members), noun)} diverged"
    verb = "is" if len(flat) == 1 else "are"
    said = f"{_of(len(flat), len(members), noun)} {verb} stuck{_since(flat)}"
    return f"{said}, {diverged} diverged" if diverged else said


def _of(some: int, all_: int, noun: str) -> str:
    return f"{'both' if all_ == 2 else f'all {all_}'} {noun}" if some == all_ else f"{some} of {all_} {noun}"


def _noun(family: Family) -> str:
    return "seeds" if any(len(s.members) == len(family.judged) for s in family.seeds.values()) else "siblings"


def _since(flat: Sequence[Summary]) -> str:
    starts = sorted({one.since for one in flat if one.since is not None})
    units = {one.unit for one in flat if one.since is not None}
    if not starts or len(units) != 1:
        return ""
    unit = units.pop()
    if len(starts) == 1:
        return f" from {unit} {starts[0]:.0f}"
    return f" from {unit}s {starts[0]:.0f} to {starts[-1]:.0f}"


def _rest(family: Family, rest: Sequence[Summary]) -> str:
    """Say of those that are not stuck which they are: by the setting that separates them, else by name."""
    diverged = all(one.state == "diverged" for one in family.stuck)
    verb = "did" if diverged else "is" if len(rest) == 1 else "are"
    separation = family.separation
    if separation is not None and len(family.escaped) == len(rest):
        who = f"the {_noun(family).removesuffix('s') if len(rest) == 1 else f'{len(rest)} {_noun(family)}'}"
        return f"; {who} at {_range(separation)} {verb} not{_levels(family)}"
    few = len(rest) <= MOST_NAMED
    who = _listed([_short(family, one) for one in rest]) if few else f"the other {len(rest)}"
    return f"; {who} {verb} not{_levels(family) if family.escaped else ''}"


def _range(separation: Separation) -> str:
    low, high = number(separation.low), number(separation.high)
    return f"{separation.key} {low}" if low == high else f"{separation.key} {low} to {high}"


def _levels(family: Family) -> str:
    """Return the levels that both ended at, where one tag stands for all."""
    stuck = sorted(one.level for one in family.stuck if one.level is not None)
    best = family.best[0] if family.best else None
    tags = {one.tag for one in family.judged}
    if not stuck or best is None or best.level is None or len(tags) != 1:
        return ""
    low, high = best.sign * best.level, best.sign * stuck[len(stuck) // 2]
    return f" ({best.tag} {low:.3g} at best, against {high:.3g})"


def _all(family: Family) -> str:
    for seeds in family.seeds.values():
        if len(seeds.members) == len(family.judged) and seeds.share_a_floor and seeds.spread is not None:
            return f", within {seeds.spread:.1%} of one level: the seed does not decide"
    return ""


def _luck(family: Family) -> str:
    """Say of seeds within a sweep that some are stuck and some are not."""
    within = [seeds.members for seeds in family.seeds.values() if len(seeds.members) < len(family.judged)]
    split = [members for members in within if 0 < sum(one.stuck for one in members) < len(members)]
    if not split:
        return ""
    stuck = sum(one.stuck for members in split for one in members)
    verb = "is" if stuck == 1 else "are"
    first = " and ".join(_short(family, one) for one in (split[0][0], split[0][-1]))
    return f" Of {sum(map(len, split))} that differ in the seed alone ({first}, ...), {stuck} {verb} stuck."


def _who(family: Family) -> str:
    """Name the members, and once the folder that all lie in."""
    names = [_short(family, one) for one in family.members]
    few = len(names) <= MOST_NAMED
    said = _listed(names) if few else f"{names[0]} to {names[-1]} ({counted(len(names), 'run')})"
    return family.common[0] + said


def _short(family: Family, one: Summary) -> str:
    """Return a name without the folder that all lie in, and without a file name that all have."""
    before, behind = family.common
    return one.name.removeprefix(before).removesuffix(behind)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

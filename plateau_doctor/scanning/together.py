"""Looks at the outlines of all parts together: which runs are copies of one another, which are siblings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from plateau_doctor.examination import in_order, placed, unused
from plateau_doctor.facts.siblings import siblings_of, told_by
from plateau_doctor.readers import formats
from plateau_doctor.readers.joined import copies, losses_of
from plateau_doctor.run import Problem, Run
from plateau_doctor.scanning.parts import Part
from plateau_doctor.scanning.work import Key, Outline, Outlined, Wanted
from plateau_doctor.siblings import Family

__all__ = ["Together", "together"]

Found = tuple[int, Outline, tuple[Problem, ...]]  # the part, the run, and all of its problems


@dataclass(frozen=True)
class Together:
    """What the runs of a scan are to each other.

    Attributes:
        wanted: By part, what each of its runs is examined with; copies and what is no training log are left out.
        ranks: By part, the place of each of its runs in the order of the names.
        families: Runs that are siblings, in that order.
        problems: Files that are no run, or could not be read.
    """

    wanted: Sequence[Mapping[Key, Wanted]]
    ranks: Sequence[Mapping[Key, int]]
    families: tuple[Family, ...]
    problems: tuple[Problem, ...]


def together(
    parts: Sequence[Part],
    outlines: Sequence[Outlined],
    several: bool,
    reread: Callable[[Part, Key], Run],
    problems: Sequence[Problem] = (),
) -> Together:
    """Say what the runs of all parts are to each other.

    Args:
        parts: The parts.
        outlines: What was found in each.
        several: Whether the parts have several roots.
        reread: Gives a run of a part: of those that are likely copies all values are compared.
        problems: What was found before the parts were read.
    """
    told = [*problems, *(problem for found in outlines for problem in found.problems)]
    named: dict[str, Found] = {}
    for root in sorted({part.root for part in parts}):
        own = [i for i, part in enumerate(parts) if part.root == root]
        for found in _without_copies(own, parts, outlines, reread):
            place, one, said = found
            if one.no_curve is not None:
                told += [one.no_curve, *said]
                continue
            name = placed(one.sketch.name, parts[place].units[0].root, several)
            named[unused(name, named)] = found
    ordered = [named[name] for name in sorted(named)]
    siblings = siblings_of([one.place for _, one, _ in ordered], lambda i: ordered[i][1].summary)
    wanted: list[dict[Key, Wanted]] = [{} for _ in parts]
    ranks: list[dict[Key, int]] = [{} for _ in parts]
    for rank, (place, one, said) in enumerate(ordered):
        beside = told_by(siblings[rank]) if rank in siblings else None
        wanted[place][one.key], ranks[place][one.key] = Wanted(beside, said), rank
    families = tuple(dict.fromkeys(siblings[i].family for i in sorted(siblings)))
    return Together(wanted, ranks, families, in_order(told))


def _without_copies(
    own: Sequence[int],
    parts: Sequence[Part],
    outlines: Sequence[Outlined],
    reread: Callable[[Part, Key], Run],
) -> Iterator[Found]:
    """Yield the runs of some parts, which have one root, but for copies; in the order `readers.read` has."""
    order = [module.NAME for module in formats()]
    runs = [(i, one) for i in own for one in outlines[i].runs]
    runs.sort(key=lambda pair: order.index(pair[1].key[0]))
    sketches = [one.sketch for _, one in runs]
    for kept, left in copies(sketches, lambda k: losses_of(reread(parts[runs[k][0]], runs[k][1].key))):
        place, one = runs[kept]
        yield place, one, (*one.problems, *(said for k in left for said in runs[k][1].problems))

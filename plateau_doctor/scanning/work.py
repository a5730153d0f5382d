"""What is done with one part of a scan, here or elsewhere: first its runs are outlined, then they are examined.

Between the two all outlines are looked at together: which runs are copies of one another, and which are siblings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from plateau_doctor.examination import RunExamination, examine, load_rules, placed
from plateau_doctor.facts import Logged, Value
from plateau_doctor.facts.siblings import summary_of
from plateau_doctor.kinship import Place, place_of
from plateau_doctor.readers import no_curve, read_with_roles
from plateau_doctor.readers.joined import Sketch, losses_of, sketch_of
from plateau_doctor.readers.remote import Label, labeled, shown, shown_run
from plateau_doctor.rule import Rule
from plateau_doctor.run import Problem, Run
from plateau_doctor.scanning.parts import Part
from plateau_doctor.summary import Summary

__all__ = [
    "Examined",
    "How",
    "Key",
    "Outline",
    "Outlined",
    "Read",
    "Wanted",
    "examined",
    "keyed",
    "named",
    "outlined",
    "thin",
]

Key = tuple[str, str, str, int]  # format, source, name, and a number where these are alike
Read = Callable[[Part, "How"], Iterator[Run | Problem]]


@dataclass(frozen=True)
class How:
    """What every part is examined by.

    Attributes:
        tag_map: A user's words for tags.
        rule_folders: Folders with rules of her own.
        version: Of the package.
        several: Whether the parts have several roots.
        labels: What is shown in place of the paths of copies.
    """

    tag_map: Mapping[str, str] = field(default_factory=dict)
    rule_folders: tuple[str, ...] = ()
    version: str = ""
    several: bool = False
    labels: tuple[Label, ...] = ()


@dataclass(frozen=True)
class Outline:
    """What is kept of a run until all have been read.

    Attributes:
        key: What finds it again in its part.
        sketch: For its copies.
        place: For its siblings.
        summary: What it tells them.
        problems: What of it could not be read.
        no_curve: What is told in its place where it is no training log.
    """

    key: Key
    sketch: Sketch
    place: Place
    summary: Summary
    problems: tuple[Problem, ...]
    no_curve: Problem | None


@dataclass(frozen=True)
class Outlined:
    """The runs of a part, and the files that are none."""

    runs: tuple[Outline, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Wanted:
    """What a run is examined with: what its siblings told, and all of its problems."""

    beside: Mapping[str, Value] | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Examined:
    """A run that was examined; its curves were dropped."""

    key: Key
    run: RunExamination


def read(part: Part, how: How) -> Iterator[Run | Problem]:
    """Yield what a part holds."""
    return read_with_roles(part.units, how.tag_map)


def outlined(part: Part, how: How, read: Read = read) -> tuple[Outlined]:
    """Read a part and keep what its copies and siblings elsewhere ask for."""
    runs: list[Outline] = []
    problems: list[Problem] = []
    for key, one in keyed(read(part, how), how):
        if isinstance(one, Problem):
            problems.append(shown(one, how.labels))
            continue
        run = named(one, part, how)
        runs.append(
            Outline(
                key,
                sketch_of(one, losses_of(one)),
                place_of(run),
                summary_of(Logged(run)),
                run.problems,
                no_curve(run),
            )
        )
    return (Outlined(tuple(runs), tuple(problems)),)


def examined(asked: tuple[Part, Mapping[Key, Wanted]], how: How, read: Read = read) -> Iterator[Examined]:
    """Read a part again and yield each run that is wanted, examined."""
    part, wanted = asked
    for key, one in keyed(read(part, how), how):
        own = wanted.get(key)
        if own is None or isinstance(one, Problem):
            continue
        run = replace(named(one, part, how), problems=own.problems)
        found = examine(run, _rules(how.rule_folders), beside=own.beside)
        yield Examined(key, replace(found, run=thin(run)))


def thin(run: Run) -> Run:
    """Return a run without its curves: a row a tag tells the roles, and settings and problems stay."""
    return Run(
        run.name,
        run.source,
        run.format,
        run.scalars.drop_duplicates("tag").reset_index(drop=True),
        settings=run.settings,
        problems=run.problems,
    )


def keyed(found: Iterator[Run | Problem], how: How) -> Iterator[tuple[Key, Run | Problem]]:
    """Yield each run with its key."""
    seen: Counter[tuple[str, str, str]] = Counter()
    for one in found:
        if isinstance(one, Problem):
            yield ("", one.path, one.what, 0), one
            continue
        own = (one.format, labeled(one.source, how.labels), one.name)
        yield (*own, seen[own]), one
        seen[own] += 1


def named(run: Run, part: Part, how: How) -> Run:
    """Return a run by the name that it has among those of all roots, and where the user knows it to lie."""
    return replace(shown_run(run, how.labels), name=placed(run.name, part.units[0].root, how.several))


@cache
def _rules(folders: Sequence[str]) -> Sequence[Rule]:
    return load_rules([Path(folder) for folder in folders])

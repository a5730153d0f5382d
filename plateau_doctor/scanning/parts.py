"""The parts of a scan: at most fifty runs or so each, that are read and examined by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from plateau_doctor.readers.remote import Label, Place, labeled, shown
from plateau_doctor.readers.survey import Unit, surveyed
from plateau_doctor.run import Problem

__all__ = ["Part", "parts_of"]

MOST_UNITS = 50
MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Part:
    """Some of the logs below one root.

    Attributes:
        root: The place of the root among those of the scan.
        units: The logs.
        files: (path as it is shown, size, time of the last change in nanoseconds) of every file.
    """

    root: int
    units: tuple[Unit, ...]
    files: tuple[tuple[str, int, int], ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size, _ in self.files)


def parts_of(places: Sequence[Place]) -> tuple[list[Part], list[Problem]]:
    """Return the parts of everything at or below some places, in the order of the runs' names as far as paths tell.

    Raises:
        FileNotFoundError: A path does not exist.
    """
    parts: list[Part] = []
    problems: list[Problem] = []
    for root, place in enumerate(places):
        found = surveyed(place.path)
        problems += [*place.problems, *(shown(problem, place.labels) for problem in found.problems)]
        parts += _cut(root, sorted(found.units, key=lambda unit: str(unit.paths[0])), place.labels)
    return parts, problems


def _cut(root: int, units: Iterable[Unit], labels: Sequence[Label]) -> Iterator[Part]:
    chosen: list[Unit] = []
    files: list[tuple[str, int, int]] = []
    for together in _grouped(units):
        own = [_stamp(path, labels) for unit in together for path in unit.paths]
        size = sum(size for _, size, _ in (*files, *own))
        if chosen and (len(chosen) + len(together) > MOST_UNITS or size > MOST_BYTES):
            yield Part(root, tuple(chosen), tuple(files))
            chosen, files = [], []
        chosen += together
        files += own
    if chosen:
        yield Part(root, tuple(chosen), tuple(files))


def _grouped(units: Iterable[Unit]) -> list[list[Unit]]:
    """Group units that share a home, where one may hold the gradients of another; a group stands where it begins."""
    groups: dict[int, list[Unit]] = {}
    group_of: dict[Path, int] = {}
    for place, unit in enumerate(units):
        homes = frozenset[Path]() if unit.crowded else unit.homes
        met = sorted({group_of[home] for home in homes if home in group_of})
        own = met[0] if met else place
        for other in met[1:]:  # this unit lies in homes of both
            groups[own] += groups.pop(other)
            group_of.update({home: own for home, group in group_of.items() if group == other})
        group_of.update(dict.fromkeys(homes, own))
        groups.setdefault(own, []).append(unit)
    return [groups[own] for own in sorted(groups)]


def _stamp(path: Path, labels: Sequence[Label]) -> tuple[str, int, int]:
    try:
        found = path.stat()
    except OSError:  # it went away meanwhile; reading it will say so
        return labeled(str(path), labels), 0, 0
    return labeled(str(path), labels), found.st_size, found.st_mtime_ns

"""What is kept of logs between two readings of them, so that the second one reads what is new alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from plateau_doctor.readers.marks import Mark, Stamp, stamp_of
from plateau_doctor.readers.survey import HEAD, Survey, Unit, formats, surveyed
from plateau_doctor.run import Problem, Run

__all__ = ["Kept"]


@dataclass(frozen=True)
class _Head:
    """The beginning of a file, which tells its format."""

    stamp: Stamp
    mark: Mark
    head: bytes


class Kept:
    """What was read before below one path. What is no longer found there is forgotten.

    A format whose files grow has `follow(paths, root, tails)`, which yields what `read` does, and keeps in `tails`,
    a mapping of paths, what it needs to go on from where a file ended. Files of other formats are read again when any
    that belongs to them has changed.
    """

    def __init__(self) -> None:
        self._heads: dict[Path, _Head] = {}
        self._units: dict[Unit, tuple[list[Stamp], list[Run | Problem]]] = {}
        self._tails: dict[str, dict[Path, object]] = {}

    def surveyed(self, place: Path) -> Survey:
        """Return what `survey.surveyed` does.

        Raises:
            FileNotFoundError: There is nothing at `place`.
        """
        before, self._heads = self._heads, {}

        def head_of(file: Path) -> bytes:
            self._heads[file] = kept = _head(file, before.get(file))
            return kept.head

        return surveyed(place, head_of)

    def read_units(self, units: Sequence[Unit]) -> Iterator[Run | Problem]:
        """Yield what `survey.read_units` does."""
        before, self._units = self._units, {}
        modules = {module.NAME: module for module in formats()}
        for unit in units:
            stamps = _stamps(unit.paths)
            known = before.get(unit)
            if known is None or stamps is None or known[0] != stamps:
                known = (stamps or [], list(self._read(modules[unit.format], unit)))
            if stamps is not None:
                self._units[unit] = known
            yield from known[1]
        present = {(unit.format, path) for unit in units for path in unit.paths}
        for name, tails in self._tails.items():
            self._tails[name] = {path: tail for path, tail in tails.items() if (name, path) in present}

    def _read(self, module: ModuleType, unit: Unit) -> Iterator[Run | Problem]:
        follow = getattr(module, "follow", None)
        if follow is None:
            yield from module.read(unit.paths, unit.root)
        else:
            yield from follow(unit.paths, unit.root, self._tails.setdefault(unit.format, {}))


def _head(file: Path, before: _Head | None) -> _Head:
    stamp = stamp_of(file)
    if before and before.stamp == stamp:
        return before
    with file.open("rb", buffering=0) as stream:  # a buffer would read on
        head = before.head if before and before.mark.holds(stream) else b""
        stream.seek(len(head))
        head += stream.read(HEAD - len(head))
        return _Head(stamp, Mark.at(stream, len(head)), head)


def _stamps(paths: Sequence[Path]) -> list[Stamp] | None:
    """Return the stamp of each file, None where one is gone."""
    try:
        return [stamp_of(path) for path in paths]
    except OSError:
        return None

"""Runs that were read once and are needed again soon, as far as there is room: small scans read nothing twice."""

from __future__ import annotations

from collections.abc import Iterator

from plateau_doctor.run import Problem, Run
from plateau_doctor.scanning.parts import MOST_BYTES, Part
from plateau_doctor.scanning.work import How, read

__all__ = ["Shelf"]


class Shelf:
    """Reads parts, and holds what was read until it is asked for again; 64 MiB of files at most."""

    def __init__(self) -> None:
        self._held: dict[Part, list[Run | Problem]] = {}
        self._room = MOST_BYTES

    def read(self, part: Part, how: How) -> Iterator[Run | Problem]:
        """Yield what a part holds."""
        if part in self._held:
            self._room += part.size
            return iter(self._held.pop(part))
        if part.size > self._room:
            return read(part, how)
        self._room -= part.size
        self._held[part] = list(read(part, how))
        return iter(self._held[part])

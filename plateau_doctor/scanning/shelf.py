"""Runs that were read once and are needed again soon: small scans read nothing twice, long ones hold little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from plateau_doctor.run import Problem, Run
from plateau_doctor.scanning.parts import Part
from plateau_doctor.scanning.work import How, read

__all__ = ["Shelf"]

MOST_HELD = 2


class Shelf:
    """Reads parts; what was read of the first two is held until it is asked for again."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._wanted = frozenset(parts[:MOST_HELD])
        self._held: dict[Part, list[Run | Problem]] = {}

    def read(self, part: Part, how: How) -> Iterator[Run | Problem]:
        """Yield what a part holds."""
        if part in self._held:
            return iter(self._held.pop(part))
        if part not in self._wanted:
            return read(part, how)
        self._held[part] = list(read(part, how))
        return iter(self._held[part])

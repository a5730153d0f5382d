"""An event file that is read again and again while it grows."""

from __future__ import annotations

from pathlib import Path

from plateau_doctor.readers.event_file import EventFile, Reading
from plateau_doctor.readers.marks import Mark, Stamp, stamp_of
from plateau_doctor.readers.small_files import POINTER, Found, refusal

__all__ = ["EventTail"]


class EventTail:
    """One event file, and what was read of it so far, up to its last whole record."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reading = Reading(EventFile(path), at_once=True)
        self._mark: Mark | None = None
        self._stamp: Stamp | None = None
        self._found: Found = self._reading.file

    def read(self) -> Found:
        """Return the file with all its rows so far, why it is not worth reading, or the error that was met."""
        try:
            stamp = stamp_of(self._path)
            if stamp != self._stamp:
                self._stamp = None
                self._found = self._read_on()
                self._stamp = stamp
        except OSError as error:
            return error
        return self._found

    def _read_on(self) -> Found:
        mark, self._mark = self._mark, None  # what an interrupt breaks off is begun anew
        with self._path.open("rb") as file:
            if mark is None or not mark.holds(file):
                self._reading = Reading(EventFile(self._path), at_once=True)
            if not self._reading.end:
                file.seek(0)
                if refused := refusal(self._path, file.read(len(POINTER))):
                    return refused
            found = self._reading.read_on(file)
            self._mark = Mark.at(file, self._reading.end)
        return found

"""A table of nothing but numbers that is read at once, and read again while it grows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

from plateau_doctor.readers.axes import BLANK
from plateau_doctor.readers.bulk.grid import Stretch, numbers_in
from plateau_doctor.readers.marks import Mark

__all__ = ["Header", "Table", "TableTail", "numbers_below", "table_of"]

LONG = 1 << 20  # bytes of a table that is read in pieces
Table = dict[str, np.ndarray]  # equally long columns of numbers by name


@dataclass(frozen=True)
class Header:
    """The columns of a table.

    Attributes:
        line: The first line, with its end.
        names: Their names; one without any is left out.
        separator: What stands between two cells.
        settled: Whether all this stays, whatever lines are still to come.
    """

    line: bytes
    names: tuple[str, ...]
    separator: str
    settled: bool


class TableTail:
    """One table, and what was read of it so far: its whole lines, as long as they are nothing but numbers.

    Args:
        path: The file.
        header_of: Tells the columns by the beginning of a file, None where it is no table of plain numbers.
        keeps: Whether it will be read again: what was read is kept then, and what is returned is a copy.
    """

    def __init__(
        self, path: Path, header_of: Callable[[bytes], Header | None], *, keeps: bool = True
    ) -> None:
        self._path, self._header_of, self._keeps = path, header_of, keeps
        self._kept: tuple[Header, list[np.ndarray], Mark] | None = None

    def read(self) -> Table | bytes:
        """Return the table with all its rows so far; of a file that is none, or not of numbers alone, its content.

        A last line that is half written makes it none: this once the file is read whole.

        Raises:
            OSError: The file cannot be read.
        """
        kept, self._kept = self._kept, None  # what an interrupt breaks off is begun anew
        with self._path.open("rb") as file:
            if kept and kept[2].holds(file):
                file.seek(kept[2].end)
                table = self._grown(*kept, kept[0].line + file.read())
                if table is not None:
                    return table
            table = self._in_pieces(file)
            if table is not None:
                return table
            mark = Mark.at(file, 0)
            file.seek(0)
            content = file.read()
        header = self._header_of(content)
        if header is None:
            return content
        found = self._grown(header, [], mark.behind(header.line), content)
        return content if found is None else found

    def _in_pieces(self, file: BinaryIO) -> Table | None:
        """Return a long table that ends with a whole line and does not change meanwhile, its bytes never all in memory.

        Memory for them would take as long as a third of pandas' reading.
        """
        told = os.fstat(file.fileno())
        if told.st_size <= LONG:
            return None
        file.seek(0)
        header = self._header_of(file.read(LONG))
        file.seek(told.st_size - 1)
        if header is None or not header.settled or file.read(1) != b"\n":
            return None
        columns = numbers_in(
            Stretch(file, told.st_size), len(header.line), len(header.names), header.separator
        )
        mark, now = Mark.at(file, told.st_size), os.fstat(file.fileno())
        if columns is None or (told.st_size, told.st_mtime_ns) != (now.st_size, now.st_mtime_ns):
            return None
        if self._keeps:
            self._kept = (header, list(columns), mark)
        return self._shown(header, list(columns))

    def _shown(self, header: Header, columns: Sequence[np.ndarray]) -> Table:
        """Return a table that can be written to."""
        return table_of(header, [column.copy() for column in columns] if self._keeps else columns)

    def _grown(self, header: Header, before: list[np.ndarray], mark: Mark, content: bytes) -> Table | None:
        """Return the table with new lines, None where these are not plain, and keep it up to the last whole one.

        `content` is the header and the new lines: millions of these are not copied to be put behind it.
        """
        whole = content[: content.rfind(b"\n") + 1]
        columns = _with_rows(before, header, whole)
        if columns is None:
            return None
        if header.settled and self._keeps:
            self._kept = (header, columns, mark.behind(memoryview(whole)[len(header.line) :]))
        shown = _with_rows(columns, header, header.line + content[len(whole) :])
        return None if shown is None else self._shown(header, shown)


def numbers_below(header: Header, content: bytes) -> list[np.ndarray] | None:
    """Return the columns of the lines under a header, NaN in blank cells; None unless each cell of them is plain."""
    found = numbers_in(BytesIO(content), len(header.line), len(header.names), header.separator)
    return None if found is None else list(found)


def table_of(header: Header, columns: Sequence[np.ndarray]) -> Table:
    """Return the columns that have a name and a number, `BLANK` in blank cells."""
    written = [~np.isnan(values) for values in columns]
    return {
        name: values if there.all() else np.where(there, values, BLANK)
        for name, values, there in zip(header.names, columns, written, strict=True)
        if name and there.any()
    }


def _with_rows(before: list[np.ndarray], header: Header, content: bytes) -> list[np.ndarray] | None:
    if len(content) == len(header.line):
        return before
    new = numbers_below(header, content)
    if new is None or not before:
        return new
    return [np.concatenate(pair) for pair in zip(before, new, strict=True)]

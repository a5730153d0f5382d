"""Reads a table that is nothing but numbers all at once, by pandas: the quick twin of `table`'s walk over cells.

The bytes are read twice, piece by piece: to see that they are such a table, and how long, and then by pandas, straight
to where its numbers stay. To get memory for its bytes or its numbers once more would take longer than that.

Numbers come out as pandas reads them, whose last bit may differ from the nearest one.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

import numpy as np
import pandas as pd

__all__ = ["NEVER", "Stretch", "numbers_in"]

# quotes, comments, zeros, and ends of lines that pandas does not know
NEVER = b'"#\x0b\x0c\x1c\x1d\x1e\0'
IN_WORDS = b"rRlL"  # in true and false, which pandas takes for 1 and 0; in no number
LINE_END, RETURN, FIRST_PRINTED, FIRST_OF_NUMBERS, FIRST_LETTER = 0x0A, 0x0D, 0x20, 0x24, 0x41
IN_CACHE = 1 << 17  # bytes looked at in one go
ROWS_AT_ONCE = 1 << 14  # parsed in one go: many more leave the processor's cache


class Stretch:
    """The first bytes of a file that may grow."""

    def __init__(self, file: BinaryIO, end: int) -> None:
        self._file, self._left, self._end = file, 0, end

    def seek(self, to: int) -> None:
        """Go on from a byte."""
        self._file.seek(to)
        self._left = max(0, self._end - to)

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        found = self._file.read(min(size, self._left))
        self._left -= len(found)
        return found

    def readinto(self, buffer: bytearray) -> int:
        """Read the next bytes to the beginning of a buffer; return how many they are."""
        with memoryview(buffer) as whole:
            count: int = self._file.readinto(whole[: self._left])  # type: ignore[attr-defined]
        self._left -= count
        return count


class _Bytes:
    """Bytes to read from; an `io` object would be decoded on the way, at twice the cost."""

    def __init__(self, file: BytesIO | Stretch) -> None:
        self.read = file.read

    def __iter__(self) -> Iterator[bytes]:
        return iter(())


def numbers_in(file: BytesIO | Stretch, header: int, width: int, separator: str) -> np.ndarray | None:
    """Return the columns under the first line, shape (width, rows), NaN in blank cells.

    None unless each row has `width` plain cells.

    Args:
        file: A table.
        header: Bytes of its first line.
        width: How many columns it has.
        separator: What stands between the cells.
    """
    most = _rows_in(file, header, width, separator.encode())
    if most is None:
        return None
    file.seek(0)
    numbers, rows = np.empty((width, most)), 0
    try:
        with pd.read_csv(
            _Bytes(file),  # type: ignore[call-overload]
            engine="c",
            sep=separator,
            header=0,  # without one, pandas takes a tenth longer
            names=range(width),  # of texts, it would make an index anew for each piece
            dtype=np.float64,
            na_values=[""],
            keep_default_na=False,
            low_memory=False,
            chunksize=ROWS_AT_ONCE,
        ) as pieces:
            for piece in pieces:
                behind = rows + len(piece)
                if behind > most or not isinstance(piece.index, pd.RangeIndex):
                    return None  # of an index, a row has a cell more than names
                numbers[:, rows:behind] = piece.to_numpy().T
                rows = behind
    except (ValueError, OverflowError):  # a cell is no number, or a row too long
        return None
    numbers = numbers[:, :rows]
    return numbers if rows and _is_whole(file, header, numbers, separator.encode()) else None


def _rows_in(file: BytesIO | Stretch, header: int, width: int, separator: bytes) -> int | None:
    """Return how many rows the lines under the first may be; None unless pandas reads them as the walk does."""
    buffer, mask = bytearray(IN_CACHE), np.empty(IN_CACHE, dtype=bool)
    size = lines = 0
    last = LINE_END
    file.seek(header)
    while count := file.readinto(buffer):
        raw, found = np.frombuffer(buffer, np.uint8, count), mask[:count]
        ends = int(np.count_nonzero(np.equal(raw, LINE_END, out=found)))
        odd = np.count_nonzero(np.less(raw, FIRST_OF_NUMBERS, out=found)) > ends
        if last == RETURN and raw[0] != LINE_END:
            return None
        if (odd or raw.max() >= FIRST_LETTER) and not _is_plain(raw, separator):
            return None
        size, lines, last = size + count, lines + ends, int(raw[-1])
    if last == RETURN:
        return None
    lines += last != LINE_END
    return min(lines, (size + 1) // width)  # empty lines ask for no memory


def _is_plain(raw: np.ndarray, separator: bytes) -> bool:
    """Whether pandas reads a piece of the lines as the walk does, or not at all.

    A lone carriage return is not plain: pandas skips a blank cell behind it. One at the end may be half of a pair.
    """
    piece = raw.tobytes()
    returns = piece.count(b"\r")
    tabs = piece.count(b"\t") if separator == b"\t" else 0
    low = np.count_nonzero(raw < FIRST_PRINTED)
    if not piece.isascii() or low != piece.count(b"\n") + returns + tabs:
        return False
    if returns != piece.count(b"\r\n") + piece.endswith(b"\r"):
        return False
    return not any(byte in piece for byte in b'"#' + IN_WORDS)


def _is_whole(file: BytesIO | Stretch, header: int, numbers: np.ndarray, separator: bytes) -> bool:
    """Whether pandas has filled up no row that is too short, and taken none that is a blank line to the walk."""
    if not np.isnan(numbers[-1]).any():
        return True
    if separator == b"\t" and np.isnan(numbers).all(axis=0).any():
        return False  # to the walk a line of nothing but tabs is a blank line
    file.seek(header)
    found = sum(piece.count(separator) for piece in iter(lambda: file.read(IN_CACHE), b""))
    return bool(found == (len(numbers) - 1) * numbers.shape[1])

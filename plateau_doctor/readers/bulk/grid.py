"""Reads a table that is nothing but numbers all at once, by pandas: the quick twin of `table`'s walk over cells.

Numbers come out as pandas reads them, whose last bit may differ from the nearest one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

__all__ = ["NEVER", "numbers_in"]

# quotes, comments, zeros, and ends of lines that pandas does not know
NEVER = b'"#\x0b\x0c\x1c\x1d\x1e\0'
IN_WORDS = b"rRlL"  # in true and false, which pandas takes for 1 and 0; in no number
LINE_END, FIRST_PRINTED, FIRST_LETTER = 0x0A, 0x20, 0x41
IN_CACHE = 1 << 17  # bytes counted in one go


class _Bytes:
    """Bytes to read from; an `io.BytesIO` would be decoded on the way, at twice the cost."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def read(self, size: int = -1) -> bytes:
        end = self._at + size if size >= 0 else len(self._content)
        piece = self._content[self._at : end]
        self._at += len(piece)
        return piece

    def __iter__(self) -> Iterator[bytes]:
        return iter(())


def numbers_in(content: bytes, width: int, separator: str) -> list[np.ndarray] | None:
    """Return the columns under the first line, NaN in blank cells; None unless each row has `width` plain cells."""
    if not _is_plain(content, separator.encode()):
        return None
    names = [str(place) for place in range(width)]
    try:
        table = pd.read_csv(
            _Bytes(content),  # type: ignore[call-overload]
            engine="c",
            sep=separator,
            header=0,  # without one, pandas takes a tenth longer
            names=names,
            dtype=np.float64,
            na_values=[""],
            keep_default_na=False,
        )
    except (ValueError, OverflowError):  # a cell is no number, or a row too long
        return None
    if not len(table) or not isinstance(table.index, pd.RangeIndex):  # else a row has a cell more than names
        return None
    rows = table.to_numpy()
    columns = list(rows.T)  # each in one piece: pandas keeps a column's values together
    if np.isnan(columns[-1]).any():  # as where a row is too short
        if separator == "\t" and np.isnan(rows).all(axis=1).any():
            return None  # to the walk a line of nothing but tabs is a blank line
        cells = (len(table) + 1) * (width - 1)
        return columns if content.count(separator.encode()) == cells else None
    return columns


def _is_plain(content: bytes, separator: bytes) -> bool:
    """Whether pandas reads the lines under the first as the walk does, or not at all.

    A lone carriage return is not plain: pandas skips a blank cell behind it.
    """
    body = content.find(b"\n") + 1
    low, ends, letters = _tally(np.frombuffer(content, dtype=np.uint8)[body:])
    returns = content.count(b"\r", body) if low > ends else 0
    tabs = content.count(b"\t", body) if separator == b"\t" else 0
    if not content.isascii() or low != ends + returns + tabs:
        return False
    if returns and content.count(b"\r\n", body) != returns:
        return False
    return not any(content.find(byte, body) >= 0 for byte in b'"#' + (IN_WORDS if letters else b""))


def _tally(raw: np.ndarray) -> tuple[int, int, int]:
    """Return how many bytes are not printed, how many of them end lines, and how many may be letters."""
    low = ends = letters = 0
    for at in range(0, len(raw), IN_CACHE):
        piece = raw[at : at + IN_CACHE]
        low += int(np.count_nonzero(piece < FIRST_PRINTED))
        ends += int(np.count_nonzero(piece == LINE_END))
        letters += int(np.count_nonzero(piece >= FIRST_LETTER))
    return low, ends, letters

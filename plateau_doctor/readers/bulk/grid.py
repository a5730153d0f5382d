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
FIRST_PRINTED, FIRST_LETTER = 0x20, 0x41


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
    try:
        table = pd.read_csv(
            _Bytes(content),  # type: ignore[call-overload]
            engine="c",
            sep=separator,
            header=None,
            skiprows=1,
            names=range(width),
            dtype=np.float64,
            na_values=[""],
            keep_default_na=False,
        )
    except (ValueError, OverflowError):  # a cell is no number, or a row too long
        return None
    if not len(table) or content.count(separator.encode()) != (len(table) + 1) * (width - 1):
        return None
    return [table[column].to_numpy() for column in range(width)]


def _is_plain(content: bytes, separator: bytes) -> bool:
    """Whether pandas reads the lines under the first as the walk does, or not at all.

    A lone carriage return is not plain: pandas skips a blank cell behind it.
    """
    body = content.find(b"\n") + 1
    raw = np.frombuffer(content, dtype=np.uint8)[body:]
    ends = content.count(b"\n", body)
    returns = content.count(b"\r", body)
    tabs = content.count(b"\t", body) if separator == b"\t" else 0
    if not content.isascii() or np.count_nonzero(raw < FIRST_PRINTED) != ends + returns + tabs:
        return False
    if returns and content.count(b"\r\n", body) != returns:
        return False
    words = IN_WORDS if np.count_nonzero(raw >= FIRST_LETTER) else b""
    return not any(content.find(byte, body) >= 0 for byte in b'"#' + words)

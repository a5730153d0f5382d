"""Reads a table that is nothing but numbers all at once, by pandas: the quick twin of `table`'s walk over cells.

Numbers come out as pandas reads them, whose last bit may differ from the nearest one.
"""

from __future__ import annotations

import io

import numpy as np
import pandas as pd

__all__ = ["NEVER", "numbers_in"]

# quotes, comments, zeros, and ends of lines that pandas does not know
NEVER = b'"#\x0b\x0c\x1c\x1d\x1e\0'
IN_WORDS = b"rRlL"  # in true and false, which pandas takes for 1 and 0; in no number


def numbers_in(content: bytes, width: int, separator: str) -> list[np.ndarray] | None:
    """Return the columns under the first line, NaN in blank cells; None unless each row has `width` plain cells."""
    body = content.find(b"\n") + 1
    if not content.isascii() or any(content.find(byte, body) >= 0 for byte in NEVER + IN_WORDS):
        return None
    if b"\r" in content and content.count(b"\r") != content.count(b"\r\n"):
        return None  # pandas skips a blank cell behind a lone carriage return
    try:
        table = pd.read_csv(
            io.BytesIO(content),
            sep=separator,
            header=None,
            skiprows=1,
            names=range(width),
            dtype=np.float64,
            na_values=[""],
            keep_default_na=False,
            low_memory=False,
        )
    except (ValueError, OverflowError):  # a cell is no number, or a row too long
        return None
    if not len(table) or content.count(separator.encode()) != (len(table) + 1) * (width - 1):
        return None
    return [table[column].to_numpy() for column in range(width)]

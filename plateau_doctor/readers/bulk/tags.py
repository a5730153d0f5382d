"""Which of many stretches of bytes are alike."""

from __future__ import annotations

import numpy as np
import pandas as pd

from plateau_doctor.readers.bulk.cursors import Bytes, Places, overlapping

__all__ = ["distinct", "rows_of"]

SHORT = 32  # bytes of tags that are looked at together, whatever their sizes
_LOW_BYTES = np.array([(1 << 8 * size) - 1 for size in range(9)], dtype="<u8")
_ODD = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5], dtype="<u8")


def distinct(raw: Bytes, at: Places, ends: Places) -> tuple[Places, Places]:
    """Number the stretches `raw[at[i]:ends[i]]` so that equal bytes have equal numbers.

    Returns:
        A number for each stretch, and for each number the first stretch that has it.
    """
    sizes = ends - at
    if len(sizes) and int(sizes.max()) <= SHORT:
        return _numbered(_windows(raw, at, sizes))
    codes = np.zeros(len(at), dtype=np.int64)
    firsts: list[Places] = []
    known = 0
    order = np.argsort(sizes, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(sizes[order])) + 1):
        if len(members):
            own, first = _numbered(list(rows_of(raw, at[members], int(sizes[members[0]])).T))
            codes[members] = own + known
            firsts.append(members[first])
            known += len(first)
    return codes, np.concatenate(firsts) if firsts else np.empty(0, dtype=np.int64)


def _windows(raw: Bytes, at: Places, sizes: Places) -> list[np.ndarray]:
    """Return words that tell stretches apart: their sizes, and eight bytes from every eighth on, or the last eight."""
    words = overlapping(raw, "<u8")
    last = np.maximum(sizes - 8, 0)
    found = [words[at]] + [words[at + np.minimum(last, k)] for k in range(8, int(sizes.max()), 8)]
    if int(sizes.min()) < 8:
        within = _LOW_BYTES[np.minimum(sizes, 8)]
        found = [word & within for word in found]
    return [sizes.astype("<u8"), *found]


def rows_of(raw: Bytes, at: Places, size: int) -> np.ndarray:
    """Return the bytes of stretches of one size, shape (n, words), as words that zeros fill up."""
    words = -(-size // 8)
    if not words:
        return np.zeros((len(at), 1), dtype="<u8")
    if len(raw) < 8 * words + int(at.max(initial=0)):
        raw = np.concatenate([raw, np.zeros(8 * words, dtype=np.uint8)])
    rows = overlapping(raw, f"V{8 * words}")[at].view("<u8").reshape(len(at), words)
    if size % 8:
        rows[:, -1] &= np.uint64((1 << 8 * (size % 8)) - 1)
    return rows


def _numbered(columns: list[np.ndarray]) -> tuple[Places, Places]:
    """Number rows of words alike that are equal, by a hash that is then held against the words themselves."""
    count = len(columns[0])
    columns = [column for column in columns if not (column == column[0]).all()]
    if not columns:
        return np.zeros(count, dtype=np.int64), np.zeros(1, dtype=np.int64)
    marks = columns[0] * _ODD[0]
    for k, column in enumerate(columns[1:], start=1):
        marks = (marks ^ (marks >> np.uint64(29))) * _ODD[k % 4] + column
    codes, uniques = pd.factorize(marks)
    firsts = np.empty(len(uniques), dtype=np.int64)
    firsts[codes[::-1]] = np.arange(len(codes))[::-1]
    if not all((column == column[firsts][codes]).all() for column in columns):
        rows = np.stack(columns, axis=1)
        _, firsts, codes = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return codes.reshape(-1).astype(np.int64, copy=False), firsts

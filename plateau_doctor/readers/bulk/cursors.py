"""A place in each of many messages at once, read and moved on together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["PADDING", "Bytes", "Cursors", "Places", "overlapping", "padded"]

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]

PADDING = 64  # bytes behind the data, so that a cursor may look beyond its message before it is dropped
_TOPS = np.uint64(0x8080808080808080)  # the bit of each byte that says that a varint goes on


def padded(data: bytes, end: int) -> Bytes:
    """Return the bytes, of which those from `end` on are not looked at, with at least `PADDING` more behind these."""
    if end + PADDING <= len(data):
        return np.frombuffer(data, dtype=np.uint8)
    return np.frombuffer(data + bytes(PADDING), dtype=np.uint8)


def overlapping(raw: Bytes, kind: str) -> np.ndarray:
    """Return the value of this type at every byte of `raw` that has enough bytes from there on."""
    size = np.dtype(kind).itemsize
    return np.ndarray(max(0, len(raw) - size + 1), dtype=kind, buffer=raw, strides=(1,))


class Cursors:
    """Cursors in messages that end at `ends`; a message that is not as asked for is dropped.

    Attributes:
        at: Where each cursor stands.
        ends: Where its message ends.
        held: What was read so far, one array each, kept in step with the cursors.
    """

    def __init__(self, raw: Bytes, at: Places, ends: Places, **held: np.ndarray) -> None:
        self._raw, self._words, self._doubles = raw, overlapping(raw, "<u8"), overlapping(raw, "<f8")
        self.at, self.ends, self.held = at, ends, held

    def keep(self, kept: np.ndarray) -> None:
        """Drop the messages that are not `kept`, a mask."""
        if not kept.all():
            chosen = np.flatnonzero(kept)
            self.at, self.ends = self.at[chosen], self.ends[chosen]
            self.held = {name: values[chosen] for name, values in self.held.items()}

    def enter(self, key: int, whole: bool = False) -> Places:
        """Step into a field of bytes and return where it ends; `whole`: it is the last of its message."""
        words = self._words[self.at]
        lengths, sizes = _varints(words >> np.uint64(8))
        at = self.at + 1 + sizes
        ends = at + lengths
        fits = ends == self.ends if whole else ends <= self.ends
        kept = ((words & np.uint64(255)) == key) & fits
        self.at = at
        self.keep(kept)
        return ends if kept.all() else ends[kept]

    def number(self, key: int) -> Places:
        """Return a field that is a varint of at most 7 bytes and move on; 0 where it was left out."""
        words = self._words[self.at]
        there = (words & np.uint64(255)) == key
        values, sizes = _varints(words >> np.uint64(8))
        if there.all():
            self.at = self.at + 1 + sizes
            kept = sizes < 8
        else:
            values = np.where(there, values, 0)
            self.at = np.where(there, self.at + 1 + sizes, self.at)
            kept = (sizes < 8) | ~there
        self.keep(kept)
        return values if kept.all() else values[kept]

    def double(self, key: int) -> np.ndarray:
        """Return a field that is a double and move on; 0 where it was left out."""
        there = self._raw[self.at] == key
        values: np.ndarray = self._doubles[self.at + 1]
        if there.all():
            self.at = self.at + 9
        else:
            values = np.where(there, values, 0.0)
            self.at = self.at + 9 * there
        return values


def _varints(words: np.ndarray) -> tuple[Places, Places]:
    """Return the varints that begin the words, and their sizes; 8 for one of more than the word's 7 bytes."""
    if not (words & np.uint64(0x80)).any():
        return (words & np.uint64(0x7F)).astype(np.int64), np.ones(len(words), dtype=np.int64)
    stops = ~words & _TOPS  # the words are seven bytes, so there is a stop at the eighth
    below = (stops & (~stops + np.uint64(1))) - np.uint64(1)  # all bits below the first stop
    sizes = np.ones(len(words), dtype=np.int64)
    values = words & np.uint64(0x7F)
    for k in range(1, 8):
        more = below >= np.uint64((1 << (8 * k)) - 1)
        if not more.any():
            break
        sizes += more
        part = (words & below) >> np.uint64(k) & np.uint64(0x7F << (7 * k))
        values |= part
    return values.astype(np.int64), sizes

"""Shells of events: an event without the bytes of its pictures, sounds, texts and graphs, of which nothing is kept.

They are most of some files. So a long event is walked over where it lies in the file, and only the bytes are read
that say what stands where. What has any value to keep is no shell: it is read whole, with its checksum, which is the
plain twin of this.
"""

from __future__ import annotations

from collections.abc import Callable

from plateau_doctor.readers.event_walk import OTHER_EVENTS, OTHER_VALUES
from plateau_doctor.readers.wire import BYTES, FIXED64, VARINT, WireError, fields

__all__ = ["Shells"]

PIECE = 256  # bytes read around a place that is looked at
LONGEST = 2048  # bytes of a shell that is worth making, and of a name in it
SUMMARY, VALUE, TAG, NODE, METADATA = 5, 1, 1, 7, 9  # fields of an Event, a Summary and its values
TENSOR, DTYPE, TEXTS = 8, 1, 8  # another of a value, and fields of a TensorProto
STRING = 7  # the type of its elements


class Shells:
    """Makes shells of the events in a file."""

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        """`read` returns so many bytes from an offset on, fewer at the end of the file."""
        self._data = _Pieces(read)
        self._told: set[bytes] = set()

    def of(self, start: int, end: int) -> bytes | None:
        """Return the event at `start` to `end` in the file as a shorter message of the same meaning to us.

        None where it holds anything that is kept. Metadata tell what all later values of a tag are, so the first
        event that brings them is to be read whole, too.
        """
        try:
            shell = self._event(start, end)
        except WireError:
            return None
        return shell if shell is not None and len(shell) <= LONGEST else None

    def _event(self, start: int, end: int) -> bytes | None:
        kept = b""
        for number, kind, a, b in fields(self._data, start, end):
            if (number, kind) == (1, FIXED64):
                kept += b"\x09" + self._data.between(a, b)
            elif (number, kind) == (2, VARINT):
                kept += b"\x10" + _varint(a)
            elif number in OTHER_EVENTS and kind == BYTES:
                kept += _field(number, b"")
            elif (number, kind) == (SUMMARY, BYTES) and (summary := self._summary(a, b)) is not None:
                kept += _field(number, summary)
            else:
                return None
        return kept

    def _summary(self, start: int, end: int) -> bytes | None:
        kept = b""
        for number, kind, a, b in fields(self._data, start, end):
            value = self._value(a, b) if (number, kind) == (VALUE, BYTES) else None
            if value is None or len(kept) > LONGEST:
                return None
            kept += _field(VALUE, value)
        return kept

    def _value(self, start: int, end: int) -> bytes | None:
        kept, told = b"", False
        for number, kind, a, b in fields(self._data, start, end):
            if kind != BYTES:
                return None
            if number in (TAG, NODE, METADATA) and b - a <= LONGEST:
                kept += _field(number, self._data.between(a, b))
                told = told or number == METADATA
            elif number in OTHER_VALUES:
                kept += _field(number, b"")
            elif number == TENSOR and self._is_text(a, b):
                kept += _field(number, _varint(DTYPE << 3) + _varint(STRING))
            else:
                return None
        if told and kept not in self._told:
            self._told.add(kept)
            return None
        return kept

    def _is_text(self, start: int, end: int) -> bool:
        """Whether a tensor holds texts, which TensorFlow 2 writes pictures as."""
        code = 0
        for number, kind, a, b in fields(self._data, start, end):
            if (number, kind) == (DTYPE, VARINT):
                code = a
            elif (number, kind) != (TEXTS, BYTES) and b - a > LONGEST:
                return False
        return code == STRING


class _Pieces:
    """Bytes of a file, of which only those are read that are looked at."""

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._read, self._begin, self._held = read, 0, b""

    def __getitem__(self, at: int) -> int:
        if not self._begin <= at < self._begin + len(self._held):
            self._begin, self._held = at, self._whole(at, at + 1, PIECE)
        return self._held[at - self._begin]

    def between(self, start: int, end: int) -> bytes:
        if self._begin <= start and end <= self._begin + len(self._held):
            return self._held[start - self._begin : end - self._begin]
        return self._whole(start, end, end - start)

    def _whole(self, start: int, end: int, size: int) -> bytes:
        data = self._read(start, size)
        if len(data) < end - start:
            raise WireError("the file became shorter while it was read")
        return data


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])

"""Framing of TensorFlow's record files: finds every whole record, and names every stretch that is none.

A record is its length (8 bytes, little-endian), the masked CRC-32C of these, the payload, and the payload's
masked CRC-32C. After damage the search goes on, byte by byte, for the next record of which both checksums hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from plateau_doctor.readers.batches import LARGE, Batch, Gathering
from plateau_doctor.readers.bulk.checks import all_hold
from plateau_doctor.readers.crc import crc32c_of_ranges, crc32c_of_words, masked, masked_crc32c
from plateau_doctor.readers.framing import FRAME, HEAD, LONGEST, TAIL, length_at

__all__ = ["Gap", "first_payload", "read_records"]

SMALL = 1 << 14  # bytes read at once just after damage


@dataclass(frozen=True)
class Gap:
    """Bytes of the file that hold no whole record, and why they do not."""

    offset: int
    length: int
    why: str


def read_records(file: BinaryIO, size: int, whole: bool = False, begin: int = 0) -> Iterator[Batch | Gap]:
    """Yield the whole records among the first `size` bytes of a file, in order, and the gaps between them.

    Time is linear in `size`, whatever the lengths in the file claim; memory is that of the longest record. A long
    record without anything to keep comes as its shell (see `bulk/shells.py`), and its checksum is not held: damage
    within the bytes of a picture that leaves them as many is not noticed.

    Args:
        file: The file.
        size: How much of it is read.
        whole: Whether every record is read in full and its checksum held: the plain twin of leaving pictures out.
        begin: Where to begin: at the start of a record, or of a gap.

    Raises:
        OSError: The file cannot be read.
    """
    search = _Search(file, size)
    gathering = Gathering(search.bytes_at, size, whole)
    at, limit = begin, LARGE
    while at < size:
        batch, wanted, short = gathering.batch_at(at, limit)
        good = _first_bad(batch.data, batch.starts, batch.ends)
        if not good and short:
            yield Gap(at, size - at, "the file became shorter while it was read")
            return
        if good:
            yield batch.before(good)
            at = sum(batch.span(good - 1))
        if good < len(batch.starts) or wanted == 0:
            behind = search.next_record(at + 1) if at < size else size
            if behind > at:
                yield Gap(at, behind - at, _why(search, at, behind))
            at, limit = behind, SMALL
        else:
            limit = min(2 * limit, LARGE)


def first_payload(head: bytes) -> bytes | None:
    """Return as much of the first record's payload as `head` holds; None where its length's checksum fails."""
    length = length_at(head, 0)
    if length is None:
        return None
    payload = head[HEAD : HEAD + length]
    whole = head[HEAD : HEAD + length + TAIL]
    if len(whole) == length + TAIL and masked_crc32c(payload) != int.from_bytes(whole[-TAIL:], "little"):
        return None
    return payload


def _first_bad(data: bytes, starts: np.ndarray, ends: np.ndarray) -> int:
    """Return the index of the first payload whose checksum fails, or how many there are."""
    raw = np.frombuffer(data, dtype=np.uint8)
    if all_hold(raw, starts, ends):
        return len(starts)
    found = masked(crc32c_of_ranges(raw, starts, ends))
    stored = raw[ends[:, None] + np.arange(TAIL)].view("<u4")[:, 0]
    bad = np.flatnonzero(found != stored)
    return int(bad[0]) if len(bad) else len(starts)


def _why(search: _Search, at: int, behind: int) -> str:
    head = search.bytes_at(at, HEAD)
    length = length_at(head, 0)
    if behind == search.size and length is not None and at + FRAME + length > search.size:
        return f"the last record is cut: {behind - at} bytes of {FRAME + length}"
    if search.spent:
        return "too many false starts of records to search on"
    if behind == search.size and len(head) < HEAD:
        return f"the last record is cut: {behind - at} bytes, less than its head"
    if length is not None:
        return "the checksum of the record does not match"
    if not any(search.bytes_at(at, min(behind - at, SMALL))):
        return "zero bytes, no record"
    return "no record begins here"


class _Search:
    """A file to look for records in.

    The payloads of false starts are read in vain; there is a limit to their sum, so that a file made of
    them cannot take quadratic time.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.size = file, size
        self._vain = 4 * size + (1 << 20)

    @property
    def spent(self) -> bool:
        return self._vain < 0

    def bytes_at(self, at: int, count: int) -> bytes:
        self._file.seek(at)
        return self._file.read(min(count, self.size - at))

    def next_record(self, at: int) -> int:
        """Return where the next whole record at or after `at` begins, or the size of the file."""
        width = 256
        while at + FRAME <= self.size and not self.spent:
            data = self.bytes_at(at, width + HEAD - 1)
            if len(data) < HEAD:
                break
            for place, length in _heads_in(data, self.size - at):
                if self._is_whole(at + place, length):
                    return at + place
            at, width = at + len(data) - HEAD + 1, min(4 * width, 1 << 20)
        return self.size

    def _is_whole(self, at: int, length: int) -> bool:
        if self.spent:
            return False
        body = self.bytes_at(at + HEAD, length + TAIL)
        stored = int.from_bytes(body[length:], "little")
        whole = len(body) == length + TAIL and masked_crc32c(body[:length]) == stored
        if not whole:
            self._vain -= length + 64
        return whole


def _heads_in(data: bytes, left: int) -> list[tuple[int, int]]:
    """Return (place, length) of every place where a length and its checksum stand, and the record fits."""
    raw = np.frombuffer(data, dtype=np.uint8)
    words = np.empty(len(raw) - 3, dtype=np.uint32)
    for lane in range(4):
        part = raw[lane : lane + (len(raw) - lane) // 4 * 4].view("<u4")
        words[lane::4] = part
    low, high, check = words[: len(words) - 8], words[4 : len(words) - 4], words[8:]
    places = np.flatnonzero((high == 0) & (low < LONGEST))
    places = places[places + FRAME + low[places].astype(np.int64) <= left]
    found = masked(crc32c_of_words(low[places], high[places])) == check[places]
    return [(int(p), int(low[p])) for p in places[found]]

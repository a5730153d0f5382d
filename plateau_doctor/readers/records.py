"""Framing of TensorFlow's record files: finds every whole record, and names every stretch that is none.

A record is its length (8 bytes, little-endian), the masked CRC-32C of these, the payload, and the payload's
masked CRC-32C. After damage the search goes on, byte by byte, for the next record of which both checksums hold.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

import numpy as np

from plateau_doctor.readers.crc import crc32c_of_ranges, crc32c_of_words, masked, masked_crc32c

__all__ = ["Batch", "Gap", "first_payload", "read_records"]

HEAD, TAIL = 12, 4  # bytes around a payload
FRAME = HEAD + TAIL
SMALL, LARGE = 1 << 14, 1 << 23  # bytes read at once: just after damage, and on a clean stretch
LONGEST = 1 << 31  # a protobuf message is shorter than 2 GiB; a longer length is damage


@dataclass(frozen=True)
class Batch:
    """Whole records: payload i is `data[starts[i]:ends[i]]`; `offset` is where `data` stands in the file."""

    data: bytes
    starts: list[int]
    ends: list[int]
    offset: int


@dataclass(frozen=True)
class Gap:
    """Bytes of the file that hold no whole record, and why they do not."""

    offset: int
    length: int
    why: str


def read_records(file: BinaryIO, size: int) -> Iterator[Batch | Gap]:
    """Yield the whole records among the first `size` bytes of a file, in order, and the gaps between them.

    Time is linear in `size`, whatever the lengths in the file claim; memory is that of the longest record.

    Raises:
        OSError: The file cannot be read.
    """
    search = _Search(file, size)
    at, window = 0, SMALL
    while at < size:
        data = search.bytes_at(at, window)
        starts, ends, wanted = _walk(data, size - at)
        good = _first_bad(data, starts, ends)
        if not good and len(data) < min(window, size - at):
            yield Gap(at, size - at, "the file became shorter while it was read")
            return
        if good:
            yield Batch(data, starts[:good], ends[:good], at)
        at += ends[good - 1] + TAIL if good else 0
        if good < len(starts) or wanted == 0:
            behind = search.next_record(at + 1) if at < size else size
            if behind > at:
                yield Gap(at, behind - at, _why(search, at, behind))
            at, window = behind, SMALL
        else:
            window = max(wanted, min(2 * window, LARGE))


def first_payload(head: bytes) -> bytes | None:
    """Return as much of the first record's payload as `head` holds; None where its length's checksum fails."""
    length = _length_at(head, 0)
    if length is None:
        return None
    payload = head[HEAD : HEAD + length]
    whole = head[HEAD : HEAD + length + TAIL]
    if len(whole) == length + TAIL and masked_crc32c(payload) != int.from_bytes(whole[-TAIL:], "little"):
        return None
    return payload


def _walk(data: bytes, left: int) -> tuple[list[int], list[int], int]:
    """Follow the lengths from the start of `data`.

    Returns:
        Starts and ends of the payloads that lie in `data` whole, and how many bytes the next record wants;
        0 where there is no record, or one that would reach beyond the `left` bytes of the file.
    """
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    while True:
        if len(data) - at < HEAD:
            enough = at < left and len(data) < left
            return starts, ends, HEAD if enough or at == left else 0
        length = _length_at(data, at)
        if length is None or at + FRAME + length > left:
            return starts, ends, 0
        if at + FRAME + length > len(data):
            return starts, ends, FRAME + length
        starts.append(at + HEAD)
        ends.append(at + HEAD + length)
        at += FRAME + length


def _length_at(data: bytes, at: int) -> int | None:
    if len(data) - at < HEAD:
        return None
    length, check = struct.unpack_from("<QI", data, at)
    return int(length) if length < LONGEST and _check_of(length) == check else None


@lru_cache(maxsize=1 << 16)
def _check_of(length: int) -> int:
    return masked_crc32c(struct.pack("<Q", length))


def _first_bad(data: bytes, starts: list[int], ends: list[int]) -> int:
    """Return the index of the first payload whose checksum fails, or how many there are."""
    if not starts:
        return 0
    raw = np.frombuffer(data, dtype=np.uint8)
    last = np.array(ends)
    found = masked(crc32c_of_ranges(raw, np.array(starts), last))
    stored = raw[last[:, None] + np.arange(TAIL)].view("<u4")[:, 0]
    bad = np.flatnonzero(found != stored)
    return int(bad[0]) if len(bad) else len(starts)


def _why(search: _Search, at: int, behind: int) -> str:
    head = search.bytes_at(at, HEAD)
    length = _length_at(head, 0)
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

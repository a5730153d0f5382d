"""A record's frame, taken plainly: one record after another, as the lengths in the file say.

`bulk/frames.py` is the quick twin of `walk`.
"""

from __future__ import annotations

import struct
from functools import lru_cache

from plateau_doctor.readers.crc import masked_crc32c

__all__ = ["FRAME", "HEAD", "LONGEST", "TAIL", "length_at", "step", "walk"]

HEAD, TAIL = 12, 4  # bytes around a payload
FRAME = HEAD + TAIL
LONGEST = 1 << 31  # a protobuf message is shorter than 2 GiB; a longer length is damage


def walk(data: bytes, left: int) -> tuple[list[int], list[int], int]:
    """Follow the lengths from the start of `data`.

    Returns:
        Starts and ends of the payloads that lie in `data` whole, and how many bytes the next record wants;
        0 where there is no record, or one that would reach beyond the `left` bytes of the file.
    """
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    while True:
        behind, wanted = step(data, at, left)
        if behind is None:
            return starts, ends, wanted
        starts.append(at + HEAD)
        ends.append(behind - TAIL)
        at = behind


def step(data: bytes, at: int, left: int) -> tuple[int | None, int]:
    """Return where the record at `at` ends, or None and how many bytes it wants, as `walk` does."""
    if len(data) - at < HEAD:
        enough = at < left and len(data) < left
        return None, HEAD if enough or at == left else 0
    length = length_at(data, at)
    if length is None or at + FRAME + length > left:
        return None, 0
    if at + FRAME + length > len(data):
        return None, FRAME + length
    return at + FRAME + length, 0


def length_at(data: bytes, at: int) -> int | None:
    """Return the length of the payload whose frame begins at `at`; None where its checksum fails."""
    if len(data) - at < HEAD:
        return None
    length, check = struct.unpack_from("<QI", data, at)
    return int(length) if length < LONGEST and _check_of(length) == check else None


@lru_cache(maxsize=1 << 16)
def _check_of(length: int) -> int:
    return masked_crc32c(struct.pack("<Q", length))

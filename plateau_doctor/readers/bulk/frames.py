"""Finds all records of a window at once: the quick twin of `framing.walk`.

Nearly every record begins with the wall time of its event, whose key is the byte 9. So each such byte behind 12
others may begin a payload; where the length before it has its checksum, it is a candidate. A chain of candidates,
each of which ends where the next begins, is what the walk would find. Where it breaks, the walk goes on by itself.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from plateau_doctor.readers.bulk.cursors import Places, overlapping
from plateau_doctor.readers.crc import Registers, crc32c_of_words, masked
from plateau_doctor.readers.framing import FRAME, HEAD, TAIL, step

__all__ = ["followed"]

WALL_TIME = 9
LEAST, MOST = (
    1 << 12,
    1 << 18,
)  # bytes looked through at once: behind a long record, and on a row of short ones
SHORT = 1 << 14  # lengths of candidates; a longer record takes so long to read that a step more is nothing


def followed(data: bytes, left: int) -> tuple[Places, Places, int]:
    """Return what `framing.walk` returns, as arrays."""
    starts: list[Places] = []
    ends: list[Places] = []
    at, wanted = 0, 0
    chain = _Chain(data)
    while True:
        begins, behind = chain.links_at(at)
        if len(begins):
            starts.append(begins + HEAD)
            ends.append(behind - TAIL)
            at = int(behind[-1])
            continue
        found, wanted = step(data, at, left)
        if found is None:
            break
        starts.append(np.array([at + HEAD]))
        ends.append(np.array([found - TAIL]))
        at = found
    if not starts:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), wanted
    return np.concatenate(starts), np.concatenate(ends), wanted


class _Chain:
    """The candidates of some data, looked for piece by piece where the walk has come to, so not in long records."""

    def __init__(self, data: bytes) -> None:
        self._raw = np.frombuffer(data, dtype=np.uint8)
        self._words, self._halves = overlapping(self._raw, "<u8"), overlapping(self._raw, "<u4")
        self._begins = self._behind = self._breaks = np.empty(0, dtype=np.int64)
        self._piece = MOST
        self._seen = 0  # candidates that begin before here are known, from where the piece begins

    def links_at(self, at: int) -> tuple[Places, Places]:
        """Return where the frames of the chain that begins at `at` begin and end, none if there is no candidate."""
        if at >= self._seen:
            if not self._is_short(at):
                return self._begins[:0], self._behind[:0]
            self._look(at)
        first = int(self._begins.searchsorted(at))
        if first == len(self._begins) or self._begins[first] != at:
            return self._begins[:0], self._behind[:0]
        last = int(self._breaks[self._breaks.searchsorted(first)])
        return self._begins[first : last + 1], self._behind[first : last + 1]

    def _is_short(self, at: int) -> bool:
        return at < len(self._words) and bool(self._words[at] < SHORT)

    def _look(self, at: int) -> None:
        """Find the frames that may begin in the piece from `at` on, and end in the data; where each would end."""
        self._piece = min(2 * self._piece, MOST) if at < self._seen + SHORT else LEAST
        raw = self._raw[at : at + self._piece + HEAD]
        begins = np.flatnonzero(raw[HEAD : max(HEAD, len(self._raw) - TAIL - at)] == WALL_TIME) + at
        lengths = self._words[begins]
        likely = np.flatnonzero(lengths < SHORT)
        begins, lengths = begins[likely], lengths[likely].astype(np.int64)
        behind = begins + lengths + FRAME
        sound = self._halves[begins + 8] == _checks()[lengths]
        sound &= behind <= len(self._raw)
        self._begins, self._behind = begins[sound], behind[sound]
        last = len(self._begins) - 1
        self._breaks = np.append(np.flatnonzero(self._behind[:-1] != self._begins[1:]), last)
        self._seen = at + self._piece


@cache
def _checks() -> Registers:
    """Return the masked checksum of each length below `SHORT`."""
    low = np.arange(SHORT, dtype=np.uint32)
    return masked(crc32c_of_words(low, np.zeros_like(low)))

"""Gathers the records of a file into batches; long ones of pictures and the like come as their shells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from plateau_doctor.readers.bulk.frames import followed
from plateau_doctor.readers.bulk.shells import Shells
from plateau_doctor.readers.crc import masked_crc32c
from plateau_doctor.readers.framing import FRAME, HEAD, TAIL, length_at, walk

__all__ = ["LARGE", "LONG", "Batch", "Gathering"]

LARGE = 1 << 21  # bytes of a batch, unless a record is longer
LITTLE = 1 << 12  # bytes read behind a long record; so few are sooner walked over one by one
LONG = 1 << 16  # bytes of a payload that is not read before it is known to hold anything to keep


@dataclass(frozen=True)
class Batch:
    """Whole records: payload i is `data[starts[i]:ends[i]]`.

    `offset` is where `data` stands in the file. Where shells stand for long records, `places` is where each record's
    frame begins in the file, and where the last one's ends, (n + 1,).
    """

    data: bytes
    starts: np.ndarray
    ends: np.ndarray
    offset: int
    places: np.ndarray | None = None

    def span(self, i: int) -> tuple[int, int]:
        """Return where record i stands in the file, and its length there, with its frame."""
        if self.places is not None:
            return int(self.places[i]), int(self.places[i + 1] - self.places[i])
        return self.offset + int(self.starts[i]) - HEAD, int(self.ends[i] - self.starts[i]) + FRAME

    def before(self, i: int) -> Batch:
        """Return the records before record i."""
        places = None if self.places is None else self.places[: i + 1]
        return Batch(self.data, self.starts[:i], self.ends[:i], self.offset, places)


@dataclass(eq=False)
class _Held:
    """What was gathered so far: pieces of a batch, of which each begins with a record, and how much of each counts."""

    size: int = 0
    pieces: list[tuple[bytes, int]] = field(default_factory=list)
    starts: list[np.ndarray] = field(default_factory=list)
    ends: list[np.ndarray] = field(default_factory=list)
    places: list[np.ndarray] = field(default_factory=list)
    shells: bool = False

    def add(self, data: bytes, starts: np.ndarray, ends: np.ndarray, at: int) -> int:
        """Add records that stand at `at` in the file; return where the last one ends there."""
        if not len(starts):
            return at
        size = int(ends[-1]) + TAIL
        self._add(data, size, starts, ends, starts - HEAD + at)
        return at + size

    def add_shell(self, shell: bytes, at: int) -> None:
        length = len(shell).to_bytes(8, "little")
        checks = (masked_crc32c(part).to_bytes(4, "little") for part in (length, shell))
        frame = length + next(checks) + shell + next(checks)
        self._add(frame, len(frame), np.array([HEAD]), np.array([HEAD + len(shell)]), np.array([at]))
        self.shells = True

    def _add(self, data: bytes, size: int, starts: np.ndarray, ends: np.ndarray, places: np.ndarray) -> None:
        self.pieces.append((data, size))
        self.starts.append(starts + self.size if self.size else starts)
        self.ends.append(ends + self.size if self.size else ends)
        self.places.append(places)
        self.size += size

    def batch(self, offset: int, end: int) -> Batch:
        if not self.pieces:
            none = np.empty(0, dtype=np.int64)
            return Batch(b"", none, none, offset)
        if len(self.pieces) == 1 and not self.shells:
            return Batch(self.pieces[0][0], self.starts[0], self.ends[0], offset)
        data = b"".join(memoryview(piece)[:size] for piece, size in self.pieces)
        places = np.append(np.concatenate(self.places), end) if self.shells else None
        return Batch(data, np.concatenate(self.starts), np.concatenate(self.ends), offset, places)


class Gathering:
    """Gathers the records of a file that follow one another.

    A shell takes a record's place only where another record, or the end of the file, is just where it ends: so no
    byte of it is missing, nor one too many.
    """

    def __init__(self, read: Callable[[int, int], bytes], size: int, whole: bool) -> None:
        """`read` returns so many bytes from an offset on; `whole`: there are to be no shells."""
        self._read, self._size = read, size
        self._shells = None if whole else Shells(read)

    def batch_at(self, begin: int, limit: int) -> tuple[Batch, int, bool]:
        """Gather records from `begin` on, about `limit` bytes of them.

        Returns:
            The records; how many bytes the next one wants, as `framing.walk` says; whether the file became shorter.
        """
        at, window, held = begin, limit, _Held()
        while True:
            data = self._read(at, window)
            starts, ends, wanted = self._frames(data, at)
            short = len(data) < min(window, self._size - at)
            count, shell = self._until_shell(starts, ends, wanted, at)
            at = held.add(data, starts[:count], ends[:count], at)
            if shell:
                held.add_shell(shell[0], at)
                at, wanted, window, short = shell[1], HEAD, LITTLE, False
            else:
                window = max(wanted, min(2 * window, limit))
            if short or not wanted or at >= self._size or held.size >= limit // 2:
                return held.batch(begin, at), wanted, short

    def _frames(self, data: bytes, at: int) -> tuple[np.ndarray, np.ndarray, int]:
        if len(data) > LITTLE:
            return followed(data, self._size - at)
        starts, ends, wanted = walk(data, self._size - at)
        return np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64), wanted

    def _until_shell(
        self, starts: np.ndarray, ends: np.ndarray, wanted: int, at: int
    ) -> tuple[int, tuple[bytes, int] | None]:
        """Return how many of the records to take, and the shell of the one behind them, with where that ends."""
        long = np.flatnonzero(ends - starts > LONG)
        if not self._shells or not (len(long) or wanted > LONG):
            return len(starts), None
        count = int(long[0]) if len(long) else len(starts)
        place = at + (int(ends[count - 1]) + TAIL if count else 0)
        length = length_at(self._read(place, HEAD), 0)
        if length is None:
            return len(starts), None
        end = place + FRAME + length
        if end > self._size or (end < self._size and length_at(self._read(end, HEAD), 0) is None):
            return len(starts), None
        shell = self._shells.of(place + HEAD, end - TAIL)
        return (count, (shell, end)) if shell else (len(starts), None)

"""Reads many event files; small ones as if they were one: a folder may hold thousands, of a few records each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from plateau_doctor.readers.batches import Batch
from plateau_doctor.readers.bulk.checks import all_hold
from plateau_doctor.readers.bulk.frames import followed
from plateau_doctor.readers.bulk.usual import taken_at_once
from plateau_doctor.readers.event_file import EventFile, Reading, read_event_file
from plateau_doctor.readers.framing import HEAD, TAIL
from plateau_doctor.readers.openings import beginning
from plateau_doctor.readers.texts import compression
from plateau_doctor.run import Problem

__all__ = ["POINTER", "SMALL", "Found", "read_event_files", "refusal"]

SMALL = 1 << 19  # bytes of a file that is read together with others
AT_ONCE = 1 << 21  # bytes read together
POINTER = b"version https://git-lfs.github.com/spec/"
Found = EventFile | Problem | OSError


def read_event_files(paths: Sequence[Path]) -> Iterator[Found]:
    """Yield each file, why it is not worth reading, or the error that reading it met, in the order of the paths."""
    waiting: list[tuple[Path, bytes]] = []
    size = 0
    for path in paths:
        try:
            content, length = beginning(path, len(POINTER), SMALL)
        except OSError as error:
            alone: Found | None = error
        else:
            alone = refusal(path, content) or (_alone(path) if length > SMALL else None)
            if alone is None:
                waiting.append((path, content))
                size += length
                if size < AT_ONCE:
                    continue
        yield from _together(waiting)
        waiting, size = [], 0
        if alone is not None:
            yield alone
    yield from _together(waiting)


def refusal(path: Path, head: bytes) -> Problem | None:
    """Return why a file is not worth reading, by how it begins."""
    packed = compression(head)
    if head.startswith(POINTER):
        return Problem(str(path), "not read", "it is a Git-LFS pointer, not the log: run `git lfs pull`")
    if packed:
        return Problem(str(path), "not read", f"it is compressed with {packed}: unpack it first")
    return None


def _together(held: Sequence[tuple[Path, bytes]]) -> list[Found]:
    """Return the files that these are; where one is damaged, or tells its tags' plugins, each is read by itself."""
    if len(held) < 2:
        return [_alone(path) for path, _ in held]
    data = b"".join(content for _, content in held)
    bounds = np.cumsum([0, *(len(content) for _, content in held)])
    starts, ends, _ = followed(data, len(data))
    begins = np.append(starts - HEAD, ends[-1:] + TAIL)
    cuts = begins.searchsorted(bounds)
    sound = len(starts) and begins[-1] == len(data) and (begins[cuts] == bounds).all()
    usual = None
    if sound and all_hold(np.frombuffer(data, dtype=np.uint8), starts, ends):
        usual = taken_at_once(data, starts, ends, {})
    if usual is None or usual.tensors:
        return [_alone(path) for path, _ in held]
    found: list[Found] = []
    parts = zip(held, bounds.tolist(), pairwise(cuts.tolist()), usual.cut(cuts), strict=False)
    for (path, content), begin, (first, last), own in parts:
        reading = Reading(EventFile(path), at_once=True)
        if last > first:
            reading.take(Batch(content, starts[first:last] - begin, ends[first:last] - begin, 0), own)
        found.append(reading.done())
    return found


def _alone(path: Path) -> Found:
    try:
        return read_event_file(path)
    except OSError as error:
        return error

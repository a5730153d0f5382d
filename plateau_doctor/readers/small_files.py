"""Reads many small event files as if they were one: a folder may hold thousands, of a few records each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from plateau_doctor.readers.bulk.checks import all_hold
from plateau_doctor.readers.bulk.frames import followed
from plateau_doctor.readers.bulk.usual import taken_at_once
from plateau_doctor.readers.event_file import EventFile, Reading, read_event_file
from plateau_doctor.readers.framing import HEAD, TAIL
from plateau_doctor.readers.records import Batch

__all__ = ["SMALL", "read_event_files"]

SMALL = 1 << 19  # bytes of a file that is read together with others
AT_ONCE = 1 << 21  # bytes read together


def read_event_files(paths: Sequence[Path]) -> Iterator[EventFile | OSError]:
    """Yield each file, or the error that reading it met, in the order of the paths."""
    waiting: list[tuple[Path, bytes]] = []
    size = 0
    for path in paths:
        try:
            length = path.stat().st_size
            if length <= SMALL:
                waiting.append((path, path.read_bytes()))
                size += length
                if size < AT_ONCE:
                    continue
        except OSError as error:
            yield from _together(waiting)
            waiting, size = [], 0
            yield error
            continue
        yield from _together(waiting)
        waiting, size = [], 0
        if length > SMALL:
            yield _alone(path)
    yield from _together(waiting)


def _together(held: Sequence[tuple[Path, bytes]]) -> list[EventFile | OSError]:
    """Return the files that these are; where one is damaged, or tells its tags' plugins, each is read by itself."""
    data = b"".join(content for _, content in held)
    bounds = np.cumsum([0, *(len(content) for _, content in held)])
    starts, ends, _ = followed(data, len(data))
    begins = np.append(starts - HEAD, ends[-1:] + TAIL)
    cuts = begins.searchsorted(bounds)
    sound = len(held) > 1 and len(starts) and begins[-1] == len(data) and (begins[cuts] == bounds).all()
    usual = None
    if sound and all_hold(np.frombuffer(data, dtype=np.uint8), starts, ends):
        usual = taken_at_once(data, starts, ends, {})
    if usual is None or usual.tensors:
        return [_alone(path) for path, _ in held]
    found: list[EventFile | OSError] = []
    for place, (path, content) in enumerate(held):
        first, last = int(cuts[place]), int(cuts[place + 1])
        reading = Reading(EventFile(path), at_once=True)
        if last > first:
            begin = int(bounds[place])
            own = slice(first, last)
            reading.take(
                Batch(content, starts[own] - begin, ends[own] - begin, 0), usual.between(first, last)
            )
        found.append(reading.done())
    return found


def _alone(path: Path) -> EventFile | OSError:
    try:
        return read_event_file(path)
    except OSError as error:
        return error

"""What tells that a file is the one that was read before, and that what was read of it still stands there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

__all__ = ["Mark", "Stamp", "stamp_of"]

BEFORE = (
    64  # bytes that are looked at again: some trainers write a file anew in its place, with a longer header
)


class Stamp(NamedTuple):
    """A file as it was at one time; `changed` is in nanoseconds."""

    device: int
    inode: int
    size: int
    changed: int


def stamp_of(path: Path) -> Stamp:
    """Return the stamp of a file.

    Raises:
        OSError: It is not there.
    """
    told = path.stat()
    return Stamp(told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns)


@dataclass(frozen=True)
class Mark:
    """How far a file was read: up to the byte at `end`, with the bytes `before` just in front of it."""

    device: int
    inode: int
    end: int
    before: bytes

    @staticmethod
    def at(file: BinaryIO, end: int) -> Mark:
        """Return the mark of an open file at an offset."""
        told = os.fstat(file.fileno())
        file.seek(max(0, end - BEFORE))
        return Mark(told.st_dev, told.st_ino, end, file.read(min(end, BEFORE)))

    def holds(self, file: BinaryIO) -> bool:
        """Whether an open file goes on from here: it is the same one, is no shorter, and was not written anew."""
        told = os.fstat(file.fileno())
        if (told.st_dev, told.st_ino) != (self.device, self.inode) or told.st_size < self.end:
            return False
        file.seek(self.end - len(self.before))
        return file.read(len(self.before)) == self.before

    def behind(self, content: bytes | memoryview) -> Mark:
        """Return the mark behind content that was read from here on."""
        before = (self.before + bytes(content[-BEFORE:]))[-BEFORE:]
        return Mark(self.device, self.inode, self.end + len(content), before)

"""A file of JSON lines that grows while long work is done, so that work that was killed goes on where it was.

A line is written whole or not at all: one `write` to a file opened for appending, then fsync. A last line that was
cut, as by a full disk, is passed over. The file is held by one process at a time.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["append", "held"]


def held(file: Path) -> int:
    """Open a file for appending, made if it is not there, and hold it; return its descriptor.

    Raises:
        BlockingIOError: Another process holds it.
        OSError: It cannot be written.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        end = os.lseek(descriptor, 0, os.SEEK_END)
        if end and os.pread(descriptor, 1, end - 1) != b"\n":
            os.write(descriptor, b"\n")  # a line that was cut must not swallow the next
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def append(descriptor: int, line: Mapping[str, object]) -> None:
    """Append one line and wait until the disk has it.

    Raises:
        OSError: It cannot be written, or not whole.
    """
    content = json.dumps(line).encode() + b"\n"
    written = os.write(descriptor, content)
    os.fsync(descriptor)
    if written < len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

"""The beginning of a file, as cheaply as the system gives it: a folder may hold thousands of small ones."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["beginning"]

FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)


def beginning(file: Path, most: int, whole: int = 0) -> tuple[bytes, int]:
    """Return the first `most` bytes of a file, or all of one of up to `whole` bytes, and its size.

    Raises:
        OSError: It cannot be read.
    """
    descriptor = os.open(file, FLAGS)
    try:
        size = os.fstat(descriptor).st_size
        return os.read(descriptor, size if most < size <= whole else most), size
    finally:
        os.close(descriptor)

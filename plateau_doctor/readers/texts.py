"""What the readers of text share: encodings, compression, names that can be written, and how much is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plateau_doctor.run import Problem

__all__ = ["as_utf8", "clipped", "compression", "few", "name_below", "text_in", "writable"]

MOST_TOLD = 20  # problems of one kind in one file
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


def as_utf8(content: bytes) -> bytes:
    """Return text as UTF-8 without a byte-order mark; UTF-16, as PowerShell writes it, is known by its mark."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content[: len(content) // 2 * 2].decode("utf-16", "replace").encode("utf-8", "replace")
    return content.removeprefix(b"\xef\xbb\xbf")


def text_in(path: Path) -> str:
    """Return the text of a file, with marks in place of bytes that are none.

    Raises:
        OSError: The file cannot be read.
    """
    return as_utf8(path.read_bytes()).decode("utf-8", "replace")


def compression(head: bytes) -> str | None:
    """Return what a file that begins with `head` is compressed with."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def name_below(path: Path, root: Path) -> str:
    """Return what a file that was found below `root`, or is `root`, is called in a report."""
    return writable(path.name if path == root else str(path.relative_to(root)))


def writable(name: str) -> str:
    """Return a name without the halves of characters that no encoding can write, as JSON and file names may have."""
    return name if name.isascii() else name.encode("utf-8", "replace").decode("utf-8")


def clipped(text: str, most: int = 60) -> str:
    """Return a text that is safe to quote in a sentence: its beginning, where it is long."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


def few(problems: Sequence[Problem]) -> list[Problem]:
    """Return problems of one kind in one file; beyond the first twenty their number is told."""
    told = list(problems[:MOST_TOLD])
    if len(problems) > MOST_TOLD:
        more = len(problems) - MOST_TOLD
        told.append(Problem(problems[0].path, f"{more:,} more like these", problems[MOST_TOLD].what))
    return told

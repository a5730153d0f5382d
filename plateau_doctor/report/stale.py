"""Pages of runs that are gone: those that an earlier report left beside its index."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

__all__ = ["folder_of_pages", "stale_pages"]

MARK = (
    b'<meta name="generator" content="plateau-doctor">'  # in the head of every page; the templates write it
)
HEAD = 1_000  # bytes that it stands in


def folder_of_pages(file: Path) -> Path:
    """Return the folder in which a report has its pages of single runs."""
    return file.parent / f"{file.stem}_runs"


def stale_pages(file: Path, written: Collection[Path]) -> list[Path]:
    """Return the pages of single runs beside a report that were written by an earlier one and not by this one.

    Only files that say that they are ours count; a page of other templates, or a person's own, is left alone.
    """
    folder = folder_of_pages(file)
    if folder.is_symlink() or not folder.is_dir():
        return []
    kept = {path.name for path in written if path.parent == folder}
    found = (page for page in sorted(folder.glob("*.html")) if page.name not in kept)
    return [page for page in found if page.is_file() and not page.is_symlink() and _ours(page)]


def _ours(page: Path) -> bool:
    try:
        with page.open("rb") as file:
            return MARK in file.read(HEAD)
    except OSError:
        return False

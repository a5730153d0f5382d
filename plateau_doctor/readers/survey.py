"""Which files below a path are logs, of which format each is, and which of them must be read together."""

from __future__ import annotations

import dataclasses
import importlib
import os
import pkgutil
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType

from plateau_doctor.readers.homes import home_of
from plateau_doctor.readers.openings import beginning
from plateau_doctor.readers.texts import compression
from plateau_doctor.run import Problem, Run

__all__ = [
    "HEAD",
    "Survey",
    "Unit",
    "formats",
    "head_of",
    "may_be_log",
    "read_units",
    "shared_homes",
    "surveyed",
]

HERE = str(Path(__file__).parent)
HEAD = 65_536
MOST_IN_A_HOME = 16
SKIPPED_FOLDERS = frozenset(
    {".git", ".hg", ".svn", "__pycache__", "node_modules", ".venv", "venv", ".ipynb_checkpoints"}
)
LOG_SUFFIXES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".log", ".txt", ".v2", ""})
SURE_SUFFIXES = frozenset({".csv", ".tsv", ".jsonl"})  # a file with one of these that is no log is named
PACKED = frozenset({".gz", ".zip", ".bz2", ".xz", ".zst"})


@dataclass(frozen=True)
class Unit:
    """Files that must be read together, in order: what is read of them depends on no other file.

    Attributes:
        format: Name of their format.
        root: What the user named; runs are called by their place in it.
        paths: The files.
        crowded: Whether so many others lie in a home of theirs that none is looked at as a part of another.
    """

    format: str
    root: Path
    paths: tuple[Path, ...]
    crowded: bool = False

    @cached_property
    def folders(self) -> frozenset[Path]:
        """The folders that the files lie in: of thousands of files few."""
        return frozenset(map(Path, set(map(os.path.dirname, self.paths))))

    @property
    def homes(self) -> frozenset[Path]:
        """The homes that the files lie in (see `homes.py`)."""
        return frozenset(map(home_of, self.folders))


@dataclass(frozen=True)
class Survey:
    """The logs at or below a path, in the order they are read, and what could not be entered or is no log."""

    units: tuple[Unit, ...]
    problems: tuple[Problem, ...]


def head_of(file: Path) -> bytes:
    """Return the beginning of a file.

    Raises:
        OSError: It cannot be read.
    """
    return beginning(file, HEAD)[0]


def surveyed(place: Path, head_of: Callable[[Path], bytes] = head_of) -> Survey:
    """Look at the beginning of every file at or below a path.

    Raises:
        FileNotFoundError: There is nothing at `place`.
    """
    if not os.path.lexists(place):
        raise FileNotFoundError(f"no file or folder is called {str(place)!r}")
    files, problems = _walk(place)
    asked_for = not place.is_dir()
    claimed: dict[str, list[Path]] = {}
    for file in files:
        found = _format_of(file, asked_for, head_of)
        if isinstance(found, Problem):
            problems.append(found)
        elif found is not None:
            claimed.setdefault(found, []).append(file)
    units = [
        Unit(module.NAME, place, tuple(paths))
        for module in formats()
        for paths in _together(module, claimed.get(module.NAME, []))
    ]
    return Survey(tuple(_counted(units)), tuple(problems))


def _counted(units: Sequence[Unit]) -> list[Unit]:
    counts = Counter(home for unit in units for home in unit.homes)
    crowds = {home for home, count in counts.items() if count > MOST_IN_A_HOME}
    return [dataclasses.replace(unit, crowded=True) if unit.homes & crowds else unit for unit in units]


def shared_homes(units: Sequence[Unit]) -> frozenset[Path]:
    """Return the homes in which one log may be a part of another."""
    counts = Counter(home_of(folder) for unit in units if not unit.crowded for folder in unit.folders)
    return frozenset(home for home, count in counts.items() if count > 1)


def read_units(units: Sequence[Unit]) -> Iterator[Run | Problem]:
    """Yield what the units hold, one format after another; they have one root.

    Units read at once cost less than one by one: small event files are parsed together.
    """
    for module in formats():
        paths = [path for unit in units if unit.format == module.NAME for path in unit.paths]
        if paths:
            yield from module.read(paths, units[0].root)


def _together(module: ModuleType, paths: Sequence[Path]) -> list[list[Path]]:
    """Return the groups of files that a format reads together; each file by itself where it does not say."""
    together = getattr(module, "together", None)
    return together(paths) if together else [[path] for path in paths]


@cache
def formats() -> tuple[ModuleType, ...]:
    """Return the modules of this folder that read a format, the most specific first."""
    modules = [importlib.import_module(f"{__package__}.{m.name}") for m in pkgutil.iter_modules([HERE])]
    readers = [m for m in modules if hasattr(m, "sniff") and hasattr(m, "read") and hasattr(m, "NAME")]
    return tuple(sorted(readers, key=lambda m: (getattr(m, "ORDER", 50), m.NAME)))


def _walk(place: Path) -> tuple[list[Path], list[Problem]]:
    """Return the plain files at or below a place, sorted, and what could not be entered."""
    if not place.is_dir():
        return [place], []
    files: list[Path] = []
    problems: list[Problem] = []

    def refused(error: OSError) -> None:
        problems.append(Problem(str(error.filename), "folder not read", error.strerror or str(error)))

    for folder, inner, names in os.walk(
        place, onerror=refused
    ):  # links to folders are not followed: no loops
        inner[:] = sorted(name for name in inner if name not in SKIPPED_FOLDERS)
        for name in sorted(names):
            files.append(Path(folder, name))
    return files, problems


def may_be_log(file: Path) -> bool:
    """Whether a file below a folder is worth opening, by its name."""
    return bool(_candidates(file))


def _candidates(file: Path) -> tuple[ModuleType, ...]:
    """Return the formats that a file below a folder may be of, by its name."""
    suffix = file.suffix.lower()
    known = suffix in LOG_SUFFIXES or any(suffix in getattr(m, "SUFFIXES", ()) for m in formats())
    if known or _is_sure(file):
        return formats()
    return tuple(m for m in formats() if hasattr(m, "may_be") and m.may_be(file))


def _is_sure(file: Path) -> bool:
    """Whether a file calls itself a log, so that it is named where it is none."""
    suffix = file.suffix.lower()
    packed = suffix in PACKED and file.with_suffix("").suffix.lower() in SURE_SUFFIXES
    return packed or suffix in SURE_SUFFIXES or "tfevents" in file.name


def _format_of(file: Path, asked_for: bool, head_of: Callable[[Path], bytes]) -> str | Problem | None:
    """Return the name of the format that claims a file, a Problem, or None for a file that is no log."""
    sure = asked_for or _is_sure(file)
    candidates = formats() if sure else _candidates(file)
    if not candidates:
        return None
    try:
        mode = file.stat().st_mode
        if not stat.S_ISREG(mode):
            return Problem(str(file), "not a plain file", "a pipe, socket or device is not read")
        head = head_of(file)
    except OSError as error:
        return Problem(str(file), "cannot be opened", error.strerror or str(error))
    if not compression(head):
        for module in candidates:
            if module.sniff(file, head):
                return str(module.NAME)
    return (
        Problem(str(file), "not a training log", _why_not(head))
        if sure or _worth_a_word(file, head)
        else None
    )


def _why_not(head: bytes) -> str:
    if not head:
        return "the file is empty"
    if packed := compression(head):
        return f"{packed}-compressed; unpack it first"
    if head.startswith(b"version https://git-lfs"):
        return "a Git-LFS pointer, not the file itself; run `git lfs pull`"
    if b"\0" in head[:4096] and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "binary content"
    return "no known format: neither a table, nor JSON, nor the text of a known trainer"


def _worth_a_word(file: Path, head: bytes) -> bool:
    """Whether a file that no format claims looks enough like a log to be named."""
    words = (b"loss", b"accuracy", b"reward", b"epoch")
    return file.suffix.lower() in {".json", ".log", ".txt", ".v2"} and any(
        word in head.lower() for word in words
    )

"""Readers: from a path to Runs, whatever wrote the log. One file a format; a new one is found by itself.

A format is a module here with `NAME`, `sniff(path, head) -> bool` and
`read(paths, root) -> Iterator[Run | Problem]`; a smaller `ORDER` is asked first, and `SUFFIXES` are endings of
names that only this format has. A module may fill in the roles of a run, where its tags are at hand, and then gives
the reasons, too; for the others that is done here.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import pkgutil
import stat
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from plateau_doctor.readers.joined import joined
from plateau_doctor.readers.texts import clipped, compression
from plateau_doctor.roles import roles_of
from plateau_doctor.run import Problem, Run

__all__ = ["formats", "read"]

HEAD = 65_536
FEW = 256
SKIPPED_FOLDERS = frozenset(
    {".git", ".hg", ".svn", "__pycache__", "node_modules", ".venv", "venv", ".ipynb_checkpoints"}
)
LOG_SUFFIXES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".log", ".txt", ".v2", ""})
SURE_SUFFIXES = frozenset({".csv", ".tsv", ".jsonl"})  # a file with one of these that is no log is named
PACKED = frozenset({".gz", ".zip", ".bz2", ".xz", ".zst"})
CURVES = frozenset({"train_loss", "val_loss", "train_metric", "val_metric", "reward"})


def read(path: Path | str, tag_map: Mapping[str, str] | None = None) -> Iterator[Run | Problem]:
    """Yield every run below a path, and a Problem for each file that is no run or could not be read.

    Args:
        path: A log file, or a folder that is searched for logs.
        tag_map: tag -> role, for tags whose name misleads the table of roles.

    Raises:
        FileNotFoundError: There is nothing at `path`.
    """
    place = Path(path)
    if not os.path.lexists(place):
        raise FileNotFoundError(f"no file or folder is called {str(path)!r}")
    files, problems = _walk(place)
    yield from problems
    claimed: dict[str, list[Path]] = {}
    for file in files:
        found = _format_of(file, asked_for=file == place)
        if isinstance(found, Problem):
            yield found
        elif found is not None:
            claimed.setdefault(found, []).append(file)
    runs: list[Run] = []
    curved: set[tuple[str, str]] = set()  # runs that have a curve to judge, by source and name
    for module in formats():
        paths = claimed.get(module.NAME, [])
        if paths:
            for one in module.read(paths, place):
                if isinstance(one, Problem):
                    yield one
                    continue
                runs.append(_with_roles(one, tag_map))
                if one.format == "tensorboard" or _has_curves(runs[-1]):
                    curved.add((one.source, one.name))
    for run in joined(runs):
        if (run.source, run.name) in curved:
            yield run
            continue
        names = ", ".join(clipped(str(tag)) for tag in list(dict.fromkeys(run.scalars["tag"]))[:8])
        why = f"no loss or metric among: {names or 'nothing numeric'}"
        yield Problem(run.source, "not a training log", why)
        yield from run.problems


def _has_curves(run: Run) -> bool:
    """Whether any role of the run is one to judge; roles stand in blocks, so the first rows mostly tell."""
    role = run.scalars["role"]
    return bool(role.iloc[:FEW].isin(CURVES).any() or role.iloc[FEW:].isin(CURVES).any())


@cache
def formats() -> tuple[ModuleType, ...]:
    """Return the modules of this folder that read a format, the most specific first."""
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
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


def _format_of(file: Path, asked_for: bool) -> str | Problem | None:
    """Return the name of the format that claims a file, a Problem, or None for a file that is no log."""
    suffix = file.suffix.lower()
    packed = suffix in PACKED and file.with_suffix("").suffix.lower() in SURE_SUFFIXES
    sure = asked_for or packed or suffix in SURE_SUFFIXES or "tfevents" in file.name
    if not (sure or suffix in LOG_SUFFIXES or any(suffix in getattr(m, "SUFFIXES", ()) for m in formats())):
        return None
    try:
        mode = file.stat().st_mode
        if not stat.S_ISREG(mode):
            return Problem(str(file), "not a plain file", "a pipe, socket or device is not read")
        with file.open("rb") as stream:
            head = stream.read(HEAD)
    except OSError as error:
        return Problem(str(file), "cannot be opened", error.strerror or str(error))
    if not compression(head):
        for module in formats():
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


def _with_roles(run: Run, tag_map: Mapping[str, str] | None) -> Run:
    told = (
        len(run.scalars) and run.scalars["tag"].iat[0] in run.reasons
    )  # then its reader has found the roles
    if told and not tag_map:
        return run
    codes, tags = pd.factorize(run.scalars["tag"].to_numpy())
    roles = roles_of(tags.tolist(), tag_map)
    known = np.array([*(roles[tag][0] for tag in tags), None], dtype=object)
    role = pd.Series(known[codes], index=run.scalars.index, dtype="object")
    reasons = {tag: why for tag, (_, why) in roles.items()}
    reasons = {**run.reasons, **reasons} if told else {**reasons, **run.reasons}
    scalars = run.scalars.assign(role=role)
    return dataclasses.replace(run, scalars=scalars, reasons=reasons)

"""TensorBoard event files: `events.out.tfevents.*`, of TensorFlow, PyTorch, Keras, Lightning and others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from plateau_doctor.readers.event_file import EventFile
from plateau_doctor.readers.event_folders import Part, families, parts_of_runs
from plateau_doctor.readers.event_run import run_of
from plateau_doctor.readers.records import first_payload
from plateau_doctor.readers.small_files import read_event_files
from plateau_doctor.readers.texts import compression
from plateau_doctor.run import Problem, Run

__all__ = ["NAME", "ORDER", "read", "sniff", "together"]

NAME = "tensorboard"
ORDER = 1  # asked first: a checksum in the first bytes tells it from any other

WALL_TIME = 0x09  # how an Event begins: field 1, a double
POINTER = b"version https://git-lfs.github.com/spec/"
OTHER_FORMATS = frozenset(
    ".csv .tsv .json .jsonl .txt .md .py .ipynb .yaml .yml .html .png .svg .log .pdf".split()
)


def sniff(path: Path, head: bytes) -> bool:
    """Whether `path`, which begins with `head`, is an event file, by its name or by a whole first record."""
    payload = first_payload(head)
    if payload is not None:
        return payload[:1] == bytes([WALL_TIME]) or "tfevents" in path.name
    return "tfevents" in path.name and path.suffix.lower() not in OTHER_FORMATS


def together(paths: Sequence[Path]) -> list[list[Path]]:
    """Return the files of folders that may be parts of one run, group by group."""
    folders = _by_folder(paths)
    return [[path for folder in family for path in folders[folder]] for family in families(folders)]


def read(paths: Sequence[Path], root: Path) -> Iterator[Run | Problem]:
    """Yield the runs that the event files at `paths` are of, and a Problem for each file that is of none.

    Args:
        paths: All event files below `root`.
        root: What the user named; runs are called by their place in it.
    """
    folders = _by_folder(paths)
    grouped = families(folders)
    everything = _read_all([path for family in grouped for folder in family for path in folders[folder]])
    for family in grouped:
        files: dict[Path, list[EventFile]] = {}
        for folder in family:
            for found in islice(everything, len(folders[folder])):
                if isinstance(found, Problem):
                    yield found
                else:
                    files.setdefault(folder, []).append(found)
        for folder in files:
            files[folder].sort(key=lambda file: file.order)
        for home, parts in parts_of_runs(files).items():
            yield from _run_or_problems(home, parts, root)


def _by_folder(paths: Sequence[Path]) -> dict[Path, list[Path]]:
    folders: dict[Path, list[Path]] = {}
    for path in sorted(set(paths)):
        folders.setdefault(path.parent, []).append(path)
    return folders


def _read_all(paths: Sequence[Path]) -> Iterator[EventFile | Problem]:
    """Yield one thing a path, in order."""
    refused = {path: problem for path in paths if (problem := _refusal(path))}
    read = read_event_files([path for path in paths if path not in refused])
    for path in paths:
        found = refused.get(path) or next(read)
        if isinstance(found, OSError):
            yield Problem(str(path), "not read", found.strerror or str(found))
        elif isinstance(found, EventFile) and _is_catboost(found):
            yield Problem(str(path), "not read", "a CatBoost log, not a neural network")
        else:
            yield found


def _refusal(path: Path) -> Problem | None:
    """Return why a file is not worth reading, by how it begins."""
    try:
        with path.open("rb") as file:
            head = file.read(len(POINTER))
    except OSError as error:
        return Problem(str(path), "not read", error.strerror or str(error))
    packed = compression(head)
    if head.startswith(POINTER):
        return Problem(str(path), "not read", "it is a Git-LFS pointer, not the log: run `git lfs pull`")
    if packed:
        return Problem(str(path), "not read", f"it is compressed with {packed}: unpack it first")
    return None


def _is_catboost(file: EventFile) -> bool:
    """CatBoost writes one bare name, no file version, into `learn` and `test` below its own folder."""
    if file.versioned or file.path.name != "events.out.tfevents" or not len(file.scalars):
        return False
    above = file.path.absolute().parents
    return above[0].name in ("learn", "test") or any("catboost" in folder.name.lower() for folder in above)


def _run_or_problems(home: Path, parts: Sequence[Part], root: Path) -> Iterator[Run | Problem]:
    files = [file for part in parts for file in part.files]
    if any(len(file.scalars) or len(file.binned) for file in files):
        yield run_of(home, parts, root, NAME)
        return
    for file in files:
        yield from file.problems
        if not file.problems or file.begun == file.begun:
            yield Problem(str(file.path), "holds no scalars", _what_it_holds(file))


def _what_it_holds(file: EventFile) -> str:
    held = [f"{count} x {name}" for name, count in sorted(file.others.items())]
    if file.settings:
        held.append(f"{len(file.settings)} hyper-parameters")
    if held:
        return f"only {', '.join(held)}"
    if file.begun != file.begun:
        return "it is empty"
    return "only its header: nothing was logged"

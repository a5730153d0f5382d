"""TensorBoard event files: `events.out.tfevents.*`, of TensorFlow, PyTorch, Keras, Lightning and others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path

from plateau_doctor.readers.event_file import EventFile
from plateau_doctor.readers.event_folders import Part, families, parts_of_runs
from plateau_doctor.readers.event_run import runs_of
from plateau_doctor.readers.event_tail import EventTail
from plateau_doctor.readers.records import first_payload
from plateau_doctor.readers.small_files import Found, read_event_files
from plateau_doctor.run import Problem, Run

__all__ = ["NAME", "ORDER", "follow", "read", "sniff", "together"]

NAME = "tensorboard"
ORDER = 1  # asked first: a checksum in the first bytes tells it from any other

WALL_TIME = 0x09  # how an Event begins: field 1, a double
TOGETHER = 1 << 17  # rows of runs that are finished together
OTHER_FORMATS = frozenset(
    ".csv .tsv .json .jsonl .txt .md .py .ipynb .yaml .yml .html .png .svg .log .pdf".split()
)

Home = tuple[Path, list[Part]]  # a run's folder, and its parts


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
    return _runs(paths, root, read_event_files)


def follow(paths: Sequence[Path], root: Path, tails: dict[Path, EventTail]) -> Iterator[Run | Problem]:
    """Yield what `read` does; of files in `tails`, only what lies behind their last whole record is read."""
    return _runs(paths, root, lambda own: (tails.setdefault(path, EventTail(path)).read() for path in own))


def _runs(
    paths: Sequence[Path], root: Path, files_at: Callable[[Sequence[Path]], Iterable[Found]]
) -> Iterator[Run | Problem]:
    folders = _by_folder(paths)
    grouped = families(folders)
    ordered = [path for family in grouped for folder in family for path in folders[folder]]
    everything = _told(ordered, files_at(ordered))
    waiting: list[Problem | Home] = []
    rows = 0
    for family in grouped:
        files: dict[Path, list[EventFile]] = {}
        for folder in family:
            for one in islice(everything, len(folders[folder])):
                if isinstance(one, Problem):
                    waiting.append(one)
                else:
                    files.setdefault(folder, []).append(one)
        for folder in files:
            files[folder].sort(key=lambda file: file.order)
        own = sum(len(file.scalars) for held in files.values() for file in held)
        if rows + own > TOGETHER:
            yield from _finished(waiting, root)
            waiting, rows = [], 0
        waiting += parts_of_runs(files).items()
        rows += own
    yield from _finished(waiting, root)


def _by_folder(paths: Sequence[Path]) -> dict[Path, list[Path]]:
    """Return paths by folder, in order: that of their parts, which thousands are sorted by sooner than as paths."""
    placed = sorted({path.parts: path for path in paths}.items())
    grouped = groupby(placed, key=lambda one: one[0][:-1])
    found = [[path for _, path in group] for _, group in grouped]
    return {paths[0].parent: paths for paths in found}


def _told(paths: Sequence[Path], files: Iterable[Found]) -> Iterator[EventFile | Problem]:
    """Yield one thing a path, in order."""
    for path, found in zip(paths, files, strict=True):
        if isinstance(found, OSError):
            yield Problem(str(path), "not read", found.strerror or str(found))
        elif isinstance(found, EventFile) and _is_catboost(found):
            yield Problem(str(path), "not read", "a CatBoost log, not a neural network")
        else:
            yield found


def _is_catboost(file: EventFile) -> bool:
    """CatBoost writes one bare name, no file version, into `learn` and `test` below its own folder."""
    if file.versioned or file.path.name != "events.out.tfevents" or not len(file.scalars):
        return False
    above = file.path.absolute().parents
    return above[0].name in ("learn", "test") or any("catboost" in folder.name.lower() for folder in above)


def _finished(waiting: Sequence[Problem | Home], root: Path) -> Iterator[Run | Problem]:
    """Yield the runs among what was found, and what there is to say of files that are of none, in order."""
    runs = runs_of([one for one in waiting if not isinstance(one, Problem) and _holds_any(one)], root, NAME)
    for one in waiting:
        if isinstance(one, Problem):
            yield one
        elif _holds_any(one):
            yield next(runs)
        else:
            for file in _files(one):
                yield from file.problems
                if not file.problems or file.begun == file.begun:
                    yield Problem(str(file.path), "holds no scalars", _what_it_holds(file))


def _files(found: Home) -> list[EventFile]:
    return [file for part in found[1] for file in part.files]


def _holds_any(found: Home) -> bool:
    return any(len(file.scalars) or len(file.binned) for file in _files(found))


def _what_it_holds(file: EventFile) -> str:
    held = [f"{count} x {name}" for name, count in sorted(file.others.items())]
    if file.settings:
        held.append(f"{len(file.settings)} hyper-parameters")
    if held:
        return f"only {', '.join(held)}"
    if file.begun != file.begun:
        return "it is empty"
    return "only its header: nothing was logged"

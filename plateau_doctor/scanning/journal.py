"""The journal of a scan: one line of JSON for each part that was done, so that a scan that was killed goes on.

A part is found again by a digest of everything that it depends on: its files by size and time, the rules, and what
its siblings told. What has changed is done again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from plateau_doctor import places
from plateau_doctor.ledger import append, held
from plateau_doctor.letters import UsageError
from plateau_doctor.runners.spread import Engine, spread
from plateau_doctor.scanning.plain import from_plain, to_plain
from plateau_doctor.scanning.work import How

__all__ = ["Journal", "base_of", "digest", "worked"]

HEAD = re.compile(rb'\{"part": "([0-9a-f]{32})", ')
NO_JOURNAL = "is no journal of a scan; nothing was written to it"
Asked = TypeVar("Asked")
Kept = TypeVar("Kept")


class Journal:
    """An open journal; use it in a `with`, which gives the file back.

    Args:
        file: Made if it is not there.

    Raises:
        UsageError: It cannot be written, holds something else, or another scan is at work with it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            _refuse_others(file)
            self._descriptor = held(file)
        except BlockingIOError:
            raise UsageError(f"--resume {file}: another scan is at work with this file") from None
        except OSError as error:
            raise UsageError(f"--resume {file}: {error.strerror or error}") from None
        self._lines = self._index()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        os.close(self._descriptor)

    def __contains__(self, part: str) -> bool:
        return part in self._lines

    def found(self, part: str, kind: type[Kept]) -> Kept | None:
        """Return what was kept of a part; None where it was not done, or its line is damaged."""
        place = self._lines.get(part)
        if place is None:
            return None
        try:
            return from_plain(kind, json.loads(os.pread(self._descriptor, place[1], place[0]))["kept"])
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            return None

    def keep(self, part: str, value: object) -> None:
        """Add a part that was done.

        Raises:
            UsageError: The disk is full.
        """
        try:
            append(self._descriptor, {"part": part, "kept": to_plain(value)})
        except OSError as error:
            raise UsageError(f"--resume {self.file}: {error.strerror or error}") from None

    def _index(self) -> Mapping[str, tuple[int, int]]:
        """Return part -> (offset, length) of its line; of several the last one."""
        lines: dict[str, tuple[int, int]] = {}
        offset = 0
        with self.file.open("rb") as stream:
            for line in stream:
                head = HEAD.match(line)
                if head:
                    lines[head[1].decode()] = offset, len(line)
                offset += len(line)
        return lines


def worked(
    task: Callable[[Asked], Iterable[Kept]],
    asked: Sequence[Asked],
    keys: Sequence[str],
    kind: type[Kept],
    engine: Engine,
    journal: Journal | None,
) -> Iterator[Iterable[Kept]]:
    """Yield what a task gives of each thing that is asked, in order; of what the journal has, what was kept.

    Args:
        task: What an engine does.
        asked: What it is done with.
        keys: What each is found by in the journal.
        kind: Type of what the task gives.
        engine: Where what is left is done.
        journal: Where it is kept when it is done; nowhere when None.
    """
    known = [journal is not None and key in journal for key in keys]
    left = [one for one, has in zip(asked, known, strict=True) if not has]
    with closing(spread(task, left, engine)) as done:
        for one, key, has in zip(asked, keys, known, strict=True):
            if journal is None:
                yield next(done)
                continue
            kept = journal.found(key, tuple[kind, ...]) if has else None  # type: ignore[valid-type]
            if kept is not None:
                yield kept
            else:  # a line that is damaged is done again
                yield _keeping(task(one) if has else next(done), key, journal)


def _keeping(found: Iterable[Kept], key: str, journal: Journal) -> Iterator[Kept]:
    """Give on what was found, and keep it when all of it has been given."""
    kept = []
    for one in found:
        kept.append(one)
        yield one
    journal.keep(key, kept)


def base_of(how: How) -> str:
    """Return a digest of what all parts of a scan depend on: the package, its rules and weights, and how."""
    folders = [places.rules_folder(), places.weights_folder(), *map(Path, how.rule_folders)]
    files = sorted(file for folder in folders for file in folder.rglob("*") if file.is_file())
    contents = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return digest(contents, to_plain(replace(how, labels=())))


def digest(*parts: object) -> str:
    """Return a short key of everything that a part depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _refuse_others(file: Path) -> None:
    """Refuse a file that holds something else: it is never written to."""
    if not os.path.lexists(file):
        return
    if not file.is_file():
        raise UsageError(f"--resume {file}: {NO_JOURNAL}")
    with file.open("rb") as stream:
        head = stream.read(64)
    if head and not HEAD.match(head):
        raise UsageError(f"--resume {file}: {NO_JOURNAL}")

"""What every command shares: exit codes, paths and tags from the command line, and where text is written."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plateau_doctor.examination import Examination

__all__ = [
    "FINDINGS",
    "FORMATS",
    "INCONCLUSIVE",
    "INTERNAL",
    "INTERRUPTED",
    "NOTHING",
    "OK",
    "USAGE",
    "existing",
    "roles_by_tag",
    "rules_folder",
    "wants_color",
    "write",
    "write_report",
    "writer",
]

OK, FINDINGS, USAGE, NOTHING, INTERNAL, INCONCLUSIVE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
FORMATS = (
    "full concise json jsonl markdown comment junit github gitlab sarif html".split()
)  # those of report.FORMATS, which is imported late; a test holds them equal
ROLE_ALIASES = {"lr": "learning_rate", "accuracy": "val_metric"}


def existing(paths: Sequence[str]) -> list[Path | str]:
    """Return the paths, each of which exists, and addresses as they are; a letter with the nearest name otherwise."""
    from plateau_doctor.letters import UsageError
    from plateau_doctor.readers.remote import is_remote

    for path in paths:
        if not is_remote(path) and not os.path.lexists(path):
            raise UsageError(f"no file or folder is called {path!r}{_neighbor(Path(path))}")
    return [path if is_remote(path) else Path(path) for path in paths]


def _neighbor(path: Path) -> str:
    """Return the nearest name that exists beside a path that does not."""
    from plateau_doctor.letters import did_you_mean

    try:
        names = [entry.name for entry in path.absolute().parent.iterdir()]
    except OSError:
        return ""
    return did_you_mean(path.name, names)


def rules_folder(folder: str) -> Path:
    """Return a folder with rules, which exists."""
    from plateau_doctor.letters import UsageError

    if not Path(folder).is_dir():
        raise UsageError(f"--rules {folder}: no such folder")
    return Path(folder)


def roles_by_tag(pairs: Sequence[str]) -> dict[str, str]:
    """Return tag -> role from ROLE=TAG options."""
    from plateau_doctor.letters import UsageError, did_you_mean
    from plateau_doctor.roles import ROLES

    mapped: dict[str, str] = {}
    for pair in pairs:
        role, equals, tag = pair.partition("=")
        role = ROLE_ALIASES.get(role, role)
        if not equals or not tag:
            raise UsageError(f"--tag-map {pair}: expected ROLE=TAG, e.g. train_loss=Loss/train")
        if role not in ROLES:
            raise UsageError(
                f"--tag-map {pair}: no role is called {role!r}{did_you_mean(role, ROLES)}\nroles: {', '.join(ROLES)}"
            )
        mapped[tag] = role
    return mapped


def wants_color() -> bool:
    """Whether stdout is a terminal that wants color."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def write(text: str, path: str | None) -> None:
    """Write text to stdout, or to a file; a letter where that cannot be written."""
    from plateau_doctor.letters import UsageError

    if path is None:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        return
    try:
        Path(path).write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


@contextmanager
def writer(path: str | None) -> Iterator[Callable[[str], object]]:
    """Give what writes text piece by piece, to stdout or to a file; a letter where that cannot be written."""
    from plateau_doctor.letters import UsageError

    if path is None:
        yield sys.stdout.write
        return
    try:
        with Path(path).open("w", encoding="utf-8") as stream:
            yield stream.write
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def write_report(found: Examination, form: str, file: Path, templates: Path | None = None) -> None:
    """Write a report, and its pages of single runs in a folder beside it; pages of runs that are gone go too."""
    from plateau_doctor.letters import UsageError
    from plateau_doctor.report.files import files
    from plateau_doctor.report.stale import stale_pages

    written = []
    for path, text in files(found, form, file, templates):
        try:
            if path.parent != file.parent:
                path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from None
        write(text, str(path))
        written.append(path)
    for page in stale_pages(file, written) if form == "html" else ():
        page.unlink(missing_ok=True)

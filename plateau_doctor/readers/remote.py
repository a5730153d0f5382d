"""Logs that lie elsewhere: in a bucket, on a server or in an archive. They are copied to this machine and read here.

Readers seek and read in large blocks, which a remote file answers slowly: what looks like a log by its name is
copied whole, into a temporary folder (TMPDIR says where) that is removed again, and is shown by its own address.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from plateau_doctor.readers.archives import is_archive, unpacked
from plateau_doctor.run import Problem, Run

__all__ = [
    "Label",
    "Place",
    "absolute",
    "all_at_hand",
    "at_hand",
    "is_remote",
    "labeled",
    "shown",
    "shown_run",
]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
Label = tuple[str, str]  # the path of a copy, and what is shown in its place


@dataclass(frozen=True)
class Place:
    """Logs at hand.

    Attributes:
        path: Where they are.
        label: What is shown in place of that path, None where it is what the user named.
        problems: What could not be copied or unpacked.
    """

    path: Path
    label: str | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def labels(self) -> tuple[Label, ...]:
        """The label as `shown` takes it."""
        return () if self.label is None else ((str(self.path), self.label),)


def is_remote(path: Path | str) -> bool:
    """Whether a path is the address of something elsewhere, as s3://bucket/runs."""
    return isinstance(path, str) and bool(_SCHEME.match(path))


@contextmanager
def at_hand(path: Path | str) -> Iterator[Place]:
    """Give what lies at a path on this machine: itself, or a copy that is removed afterwards.

    Raises:
        UsageError: What the address needs is not installed, or nothing answers there.
    """
    remote = is_remote(path)
    if not remote and not is_archive(Path(path)):
        yield Place(Path(path))
        return
    with tempfile.TemporaryDirectory(prefix="plateau-doctor-", ignore_cleanup_errors=True) as folder:
        problems: list[Problem] = []
        copy = Path(path)
        if remote:
            from plateau_doctor.readers.stores import copied

            copy, problems = copied(str(path), Path(folder, "copy"))
        if is_archive(copy):
            home = Path(folder, "unpacked", copy.name)
            problems += unpacked(copy, home, str(path))
            copy = home
        yield Place(copy, str(path), tuple(problems))


@contextmanager
def all_at_hand(paths: Sequence[Path | str]) -> Iterator[list[Place]]:
    """Give what lies at each of some paths on this machine."""
    with ExitStack() as stack:
        yield [stack.enter_context(at_hand(path)) for path in paths]


def absolute(place: Place) -> Place:
    """Return a place by its whole path, for those who work in another folder; it is shown as before."""
    return Place(place.path.absolute(), place.label or str(place.path), place.problems)


def shown(problem: Problem, labels: Sequence[Label]) -> Problem:
    """Return a problem of a copy as one of the original."""
    return replace(problem, path=labeled(problem.path, labels)) if labels else problem


def shown_run(run: Run, labels: Sequence[Label]) -> Run:
    """Return a run that was read from a copy as one that was read from the original."""
    if not labels:
        return run
    problems = tuple(shown(problem, labels) for problem in run.problems)
    reasons = dict(run.reasons)
    for copy, label in labels:
        reasons = {tag: why.replace(copy, label) for tag, why in reasons.items()}
    return replace(run, source=labeled(run.source, labels), problems=problems, reasons=reasons)


def labeled(path: str, labels: Sequence[Label]) -> str:
    """Return a path below a copy as the address of the original."""
    for copy, label in labels:
        if path == copy or path.startswith(f"{copy}/"):
            below = path[len(copy) + 1 :]
            return (below if label == "." else f"{label.rstrip('/')}/{below}") if below else label
    return path

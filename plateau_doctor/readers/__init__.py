"""Readers: from a path to Runs, whatever wrote the log. One file a format; a new one is found by itself.

A format is a module here with `NAME`, `sniff(path, head) -> bool` and
`read(paths, root) -> Iterator[Run | Problem]`; a smaller `ORDER` is asked first, and `SUFFIXES` are endings of
names that only this format has, as `may_be(path)` tells places in which it may have any. Where one run lies in
several files, `together(paths)` groups them; a format whose files grow may have `follow`, as `kept.py` says. A module
may fill in the roles of a run, where its tags are at hand, and then gives the reasons, too; for the others that is
done here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from plateau_doctor.readers.gradients_apart import has_curves, with_gradients
from plateau_doctor.readers.joined import joined
from plateau_doctor.readers.kept import Kept
from plateau_doctor.readers.remote import Place, at_hand, shown, shown_run
from plateau_doctor.readers.survey import Survey, Unit, formats, read_units, shared_homes, surveyed
from plateau_doctor.readers.texts import clipped
from plateau_doctor.roles import roles_of
from plateau_doctor.run import Problem, Run

__all__ = ["Follower", "formats", "no_curve", "read", "read_with_roles"]


def read(path: Path | str, tag_map: Mapping[str, str] | None = None) -> Iterator[Run | Problem]:
    """Yield every run below a path, and a Problem for each file that is no run or could not be read.

    Args:
        path: A log file, a folder that is searched for logs, an archive of logs (`runs.zip`, `runs.tar.gz`), or the
            address of any of them, as `s3://bucket/runs`.
        tag_map: tag -> role, for tags whose name misleads the table of roles.

    Raises:
        FileNotFoundError: There is nothing at `path`.
        UsageError: What an address needs is not installed, or nothing answers there.
    """
    with at_hand(path) as place:
        found = surveyed(place.path)
        yield from _shown(place, found, read_with_roles(found.units, tag_map))


class Follower:
    """Reads the logs below a path again and again while they grow.

        logs = Follower("logs/")
        runs = logs.read()   # everything
        runs = logs.read()   # everything, but only the bytes that are new were read

    Each `read` returns what `read` of this module yields for the same bytes. Files that have not changed are not
    opened; event files, JSON lines and tables of nothing but numbers that have grown are read, and their checksums
    held, from the end of the last whole record on; a record that was half written is whole by the next time. A file
    that was replaced (its device or inode is another), has become shorter, or was written anew in its place is read
    from its start, and so is any other file that changed. An archive or an address is fetched anew each time.

    Memory holds all rows, and the first 64 KiB of each file. Two readings may share arrays: change none in place.
    """

    def __init__(self, path: Path | str, tag_map: Mapping[str, str] | None = None) -> None:
        """Take what `read` takes; nothing is read yet."""
        self._path, self._tag_map, self._kept = path, tag_map, Kept()

    def read(self) -> list[Run | Problem]:
        """Return every run below the path with all its rows so far, and what is no run or could not be read.

        Raises:
            FileNotFoundError: There is nothing at the path (yet).
            UsageError: What an address needs is not installed, or nothing answers there.
        """
        with at_hand(self._path) as place:
            found = self._kept.surveyed(place.path)
            ones = _with_roles(self._kept.read_units(found.units), found.units, self._tag_map)
            return list(_shown(place, found, ones))


def _shown(place: Place, found: Survey, ones: Iterable[Run | Problem]) -> Iterator[Run | Problem]:
    """Yield what a place holds, copies of a run joined; what no unit tells comes first."""
    for problem in (*place.problems, *found.problems):
        yield shown(problem, place.labels)
    for one in _joined(ones):
        yield shown_run(one, place.labels) if isinstance(one, Run) else shown(one, place.labels)


def _joined(ones: Iterable[Run | Problem]) -> Iterator[Run | Problem]:
    runs: list[Run] = []
    for one in ones:
        if isinstance(one, Problem):
            yield one
        else:
            runs.append(one)
    told = {(run.source, run.name): said for run in runs if (said := no_curve(run)) is not None}
    for run in joined(runs):
        said = told.get((run.source, run.name))
        if said is None:
            yield run
        else:
            yield said
            yield from run.problems


def read_with_roles(
    units: Sequence[Unit], tag_map: Mapping[str, str] | None = None
) -> Iterator[Run | Problem]:
    """Yield what units of one root hold, each tag with its role, gradients with their run; copies are not joined."""
    yield from _with_roles(read_units(units), units, tag_map)


def _with_roles(
    ones: Iterable[Run | Problem], units: Sequence[Unit], tag_map: Mapping[str, str] | None
) -> Iterator[Run | Problem]:
    told = (one if isinstance(one, Problem) else _with_its_roles(one, tag_map) for one in ones)
    return with_gradients(told, shared_homes(units))


def no_curve(run: Run) -> Problem | None:
    """Return what is told of a file of numbers that is no training log; None of a run with a curve to judge.

    Event files are training logs in any case.
    """
    if run.format == "tensorboard" or has_curves(run):
        return None
    names = ", ".join(clipped(str(tag)) for tag in list(dict.fromkeys(run.scalars["tag"]))[:8])
    return Problem(run.source, "not a training log", f"no loss or metric among: {names or 'nothing numeric'}")


def _with_its_roles(run: Run, tag_map: Mapping[str, str] | None) -> Run:
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

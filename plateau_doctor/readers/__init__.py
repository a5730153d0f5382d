"""Readers: from a path to Runs, whatever wrote the log. One file a format; a new one is found by itself.

A format is a module here with `NAME`, `sniff(path, head) -> bool` and
`read(paths, root) -> Iterator[Run | Problem]`; a smaller `ORDER` is asked first, and `SUFFIXES` are endings of
names that only this format has. Where one run lies in several files, `together(paths)` groups them. A module may fill
in the roles of a run, where its tags are at hand, and then gives the reasons, too; for the others that is done here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from plateau_doctor.readers.joined import joined
from plateau_doctor.readers.remote import Place, at_hand, shown, shown_run
from plateau_doctor.readers.survey import Unit, formats, read_units, surveyed
from plateau_doctor.readers.texts import clipped
from plateau_doctor.roles import roles_of
from plateau_doctor.run import Problem, Run

__all__ = ["formats", "no_curve", "read", "read_with_roles"]

FEW = 256
CURVES = frozenset({"train_loss", "val_loss", "train_metric", "val_metric", "reward"})


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
        for one in _read(place, tag_map):
            yield shown_run(one, place.labels) if isinstance(one, Run) else shown(one, place.labels)


def _read(place: Place, tag_map: Mapping[str, str] | None) -> Iterator[Run | Problem]:
    found = surveyed(place.path)
    yield from (*place.problems, *found.problems)
    runs: list[Run] = []
    for one in read_with_roles(found.units, tag_map):
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
    """Yield what units of one root hold, each tag with its role; copies of a run are not joined."""
    for one in read_units(units):
        yield one if isinstance(one, Problem) else _with_roles(one, tag_map)


def no_curve(run: Run) -> Problem | None:
    """Return what is told of a file of numbers that is no training log; None of a run with a curve to judge.

    Event files are training logs in any case.
    """
    if run.format == "tensorboard" or _has_curves(run):
        return None
    names = ", ".join(clipped(str(tag)) for tag in list(dict.fromkeys(run.scalars["tag"]))[:8])
    return Problem(run.source, "not a training log", f"no loss or metric among: {names or 'nothing numeric'}")


def _has_curves(run: Run) -> bool:
    """Whether any role of the run is one to judge; roles stand in blocks, so the first rows mostly tell."""
    role = run.scalars["role"]
    return bool(role.iloc[:FEW].isin(CURVES).any() or role.iloc[FEW:].isin(CURVES).any())


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

"""Makes one Run of the decoded event files of its folders."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from plateau_doctor.readers.event_file import EventFile, HistogramRow
from plateau_doctor.readers.event_folders import Part
from plateau_doctor.readers.histograms import layer_and_kind, summary
from plateau_doctor.readers.segments import segments_of
from plateau_doctor.run import SCALAR_COLUMNS, Problem, Run, histogram_frame, scalar_frame

__all__ = ["histograms_of", "run_of"]

Setting = float | str | bool

PLACEHOLDER = -1.0  # Lightning's hp_metric, when none was named
_BY_EPOCH = re.compile(r"(?:^|/)epoch_(?!.*_vs_)")  # Keras' tags whose step is the epoch


def run_of(home: Path, parts: Sequence[Part], root: Path, format_name: str) -> Run:
    """Return the run that lies in the folder `home`; its name is its place below `root`."""
    problems = [problem for part in parts for file in part.files for problem in file.problems]
    pieces = []
    for part in parts:
        for files in _writers(part.files):
            piece, unmarked = _scalars(part, files)
            pieces.append(piece)
            if unmarked > 1:
                what = f"the steps start again {unmarked} times within the file"
                why = "only the last stretch counts; is the step counted anew in each epoch?"
                problems.append(Problem(str(files[0].path), what, why))
    scalars = pd.concat(pieces, ignore_index=True) if pieces else scalar_frame([])
    scalars, reasons = _without_placeholder(scalars)
    settings, doubts = _settings(home, parts)
    rows = [(row, part.name_of(row.tag)) for part in parts for file in part.files for row in file.histograms]
    histograms, bins = histograms_of(rows)
    return Run(
        name=_name(home, root),
        source=str(home),
        format=format_name,
        scalars=_with_epochs(scalars),
        histograms=histograms,
        bins=bins,
        settings=settings,
        problems=(*problems, *doubts),
        reasons=reasons,
    )


def _name(home: Path, root: Path) -> str:
    folder = root.absolute() if root.is_dir() else root.absolute().parent
    home = home.absolute()
    if home != folder and home.is_relative_to(folder):
        return home.relative_to(folder).as_posix()
    return home.name or str(home)


def _writers(files: Sequence[EventFile]) -> list[list[EventFile]]:
    """Split a folder's files into rows of files that follow one another; writers side by side are apart."""
    writers: list[list[EventFile]] = []
    for file in files:
        for writer in writers:
            ended = [t for f in writer for t in f.times[-1:]]
            if not file.times or not ended or not file.times[0] < max(ended):
                writer.append(file)
                break
        else:
            writers.append([file])
    return writers


def _scalars(part: Part, files: Sequence[EventFile]) -> tuple[pd.DataFrame, int]:
    tags = [tag for file in files for tag in file.tags]
    names = {tag: part.name_of(tag) for tag in dict.fromkeys(tags)}
    codes, _ = pd.factorize(np.array(tags, dtype=object))
    steps = np.array([step for file in files for step in file.steps], dtype=np.float64)
    breaks, before = [], 0
    for file in files:
        breaks += [before, *(before + start for start in file.session_starts)]
        before += len(file.tags)
    segment, live, unmarked = segments_of(codes, steps, breaks)
    columns = {
        "tag": np.array([names[tag] for tag in tags], dtype=object),
        "role": np.full(len(tags), None, dtype=object),
        "step": steps,
        "epoch": np.full(len(tags), np.nan),
        "wall_time": np.array([time for file in files for time in file.times], dtype=np.float64),
        "value": np.array([value for file in files for value in file.values], dtype=np.float64),
        "segment": segment,
        "live": live,
    }
    return pd.DataFrame(columns).astype(dict(SCALAR_COLUMNS)), unmarked


def _without_placeholder(scalars: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Drop Lightning's `hp_metric` where it never was anything but -1."""
    named = scalars["tag"].str.fullmatch(r"(.*/)?hp_metric").astype(bool)
    if not named.any() or not (scalars.loc[named, "value"] == PLACEHOLDER).all():
        return scalars, {}
    reasons = dict.fromkeys(scalars.loc[named, "tag"], "left out: Lightning's constant placeholder")
    return scalars[~named].reset_index(drop=True), reasons


def _with_epochs(scalars: pd.DataFrame) -> pd.DataFrame:
    """Fill `epoch` from the scalar of that name, by step; without one, Keras' `epoch_*` tags count epochs."""
    tags = scalars["tag"]
    named = tags.str.fullmatch(r"(.*/)?epoch").astype(bool) & np.isfinite(scalars["value"])
    if not named.any():
        by_epoch = tags.str.contains(_BY_EPOCH).astype(bool)
        return scalars.assign(epoch=scalars["step"].where(by_epoch, scalars["epoch"]))
    axis = scalars[named & (tags == tags[named].value_counts().index[0])]
    epochs = np.full(len(scalars), np.nan)
    for segment, rows in scalars.groupby("segment", sort=False).indices.items():
        own = axis[axis["segment"] == segment]
        known = (own if len(own) else axis).groupby("step")["value"].last()
        at = np.searchsorted(known.index.to_numpy(), scalars["step"].to_numpy()[rows], side="left")
        epochs[rows] = known.to_numpy()[np.minimum(at, len(known) - 1)]
    return scalars.assign(epoch=epochs)


def _settings(home: Path, parts: Sequence[Part]) -> tuple[Mapping[str, Setting], list[Problem]]:
    """Return the settings of a run; where several sessions of `add_hparams` differ, what they agree on."""
    own: dict[str, Setting] = {}
    sessions: list[dict[str, Setting]] = []
    for part in parts:
        held: dict[str, Setting] = {}
        for file in part.files:
            held.update(file.settings)
        if part.kind == "session":
            sessions.append(held)
        else:
            own.update(held)
    agreed = {
        k: v for k, v in (sessions[0] if sessions else {}).items() if all(s.get(k) == v for s in sessions)
    }
    differing = sorted({key for session in sessions for key in session} - set(agreed))
    doubts = []
    if differing:
        why = f"their hyper-parameters differ: {', '.join(differing[:5])}"
        doubts.append(Problem(str(home), f"{len(sessions)} add_hparams sessions in one run", why))
    return {**agreed, **own}, doubts


def histograms_of(named: Sequence[tuple[HistogramRow, str]]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the `histograms` frame and the `bins` of a Run; each histogram comes with its name in the run."""
    rows: list[dict[str, object]] = []
    first = 0
    places = {row.tag: layer_and_kind(row.tag) for row, _ in named}
    for row, name in named:
        layer, kind = places[row.tag]
        size = len(row.histogram.bins)
        rows.append(
            {
                "tag": name,
                "layer": layer,
                "kind": kind,
                "step": row.step,
                "wall_time": row.wall_time,
                "first_bin": first,
                "n_bins": size,
                **summary(row.histogram),
            }
        )
        first += size
    bins = np.concatenate([row.histogram.bins for row, _ in named]) if named else np.empty((0, 3))
    return histogram_frame(rows), bins

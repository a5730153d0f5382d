"""Makes one Run of the decoded event files of its folders."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from plateau_doctor.readers.bulk.summaries import summaries
from plateau_doctor.readers.event_file import EventFile
from plateau_doctor.readers.event_folders import Part
from plateau_doctor.readers.event_rows import Rows
from plateau_doctor.readers.histograms import Histograms, layer_and_kind
from plateau_doctor.readers.segments import segments_of
from plateau_doctor.roles import roles_of
from plateau_doctor.run import HISTOGRAM_COLUMNS, Problem, Run, histogram_frame

__all__ = ["histograms_of", "run_of"]

Setting = float | str | bool

PLACEHOLDER = -1.0  # Lightning's hp_metric, when none was named
_PLACEHOLDER_TAG = re.compile(r"(.*/)?hp_metric")
_EPOCH_TAG = re.compile(r"(.*/)?epoch")
_BY_EPOCH = re.compile(r"(?:^|/)epoch_(?!.*_vs_)")  # Keras' tags whose step is the epoch


def run_of(home: Path, parts: Sequence[Part], root: Path, format_name: str) -> Run:
    """Return the run that lies in the folder `home`; its name is its place below `root`."""
    problems = [problem for part in parts for file in part.files for problem in file.problems]
    curves: list[_Curves] = []
    for part in parts:
        for files in _writers(part.files):
            piece, unmarked = _curves(part, files)
            curves.append(piece)
            if unmarked > 1:
                what = f"the steps start again {unmarked} times within the file"
                why = "only the last stretch counts; is the step counted anew in each epoch?"
                problems.append(Problem(str(files[0].path), what, why))
    whole, left_out = _without_placeholder(_joined(curves))
    scalars, reasons = _frame(whole)
    settings, doubts = _settings(home, parts)
    held = [(file.binned, file.histograms, part.name_of) for part in parts for file in part.files]
    histograms, bins = histograms_of(held)
    return Run(
        name=_name(home, root),
        source=str(home),
        format=format_name,
        scalars=scalars,
        histograms=histograms,
        bins=bins,
        settings=settings,
        problems=(*problems, *doubts),
        reasons={**reasons, **left_out},
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
    ended = np.full(len(files), np.nan)  # the last time that each writer has written, NaN before it has
    for file in files:
        times = file.scalars.times
        begin, end = times[[0, -1]].tolist() if len(times) else (np.nan, np.nan)
        follows = ~(begin < ended[: len(writers)])
        place = int(np.argmax(follows)) if follows.any() else len(writers)
        if place == len(writers):
            writers.append([])
        writers[place].append(file)
        ended[place] = np.fmax(ended[place], end)
    return writers


@dataclass(frozen=True, eq=False)
class _Curves:
    """Scalars of a run: `names`, and arrays of as many rows."""

    names: Sequence[str]
    codes: np.ndarray
    steps: np.ndarray
    times: np.ndarray
    values: np.ndarray
    segment: np.ndarray
    live: np.ndarray


def _curves(part: Part, files: Sequence[EventFile]) -> tuple[_Curves, int]:
    """Return the scalars of files that follow one another, and how many restarts came without a break."""
    names, codes = _named([file.scalars for file in files], part.name_of)
    steps = np.concatenate([file.scalars.steps for file in files]).astype(np.float64)
    times = np.concatenate([file.scalars.times for file in files])
    values = np.concatenate([file.values for file in files])
    breaks, before = [], 0
    for file in files:
        breaks += [before, *(before + start for start in file.session_starts)]
        before += len(file.scalars)
    segment, live, unmarked = segments_of(codes, steps, breaks)
    return _Curves(names, codes, steps, times, values, segment, live), unmarked


def _named(rows: Sequence[Rows], name_of: Callable[[str], str]) -> tuple[list[str], np.ndarray]:
    """Return the names of a run that the tags of several files have, and which of them each row has."""
    names: dict[str, int] = {}
    codes = []
    for own in rows:
        known = [names.setdefault(name_of(tag), len(names)) for tag in own.names]
        codes.append(np.array(known, dtype=np.int64)[own.codes])
    return list(names), np.concatenate(codes) if codes else np.empty(0, dtype=np.int64)


def _joined(curves: Sequence[_Curves]) -> _Curves:
    if len(curves) == 1:
        return curves[0]
    names: dict[str, int] = {}
    codes = []
    for one in curves:
        known = [names.setdefault(name, len(names)) for name in one.names]
        codes.append(np.array(known, dtype=np.int64)[one.codes])
    columns = ("steps", "times", "values", "segment", "live")
    whole = (np.concatenate([getattr(one, name) for one in curves]) for name in columns)
    return _Curves(list(names), np.concatenate(codes), *whole)


def _without_placeholder(curves: _Curves) -> tuple[_Curves, dict[str, str]]:
    """Drop Lightning's `hp_metric` where it never was anything but -1."""
    named = [bool(_PLACEHOLDER_TAG.fullmatch(name)) for name in curves.names]
    if not any(named):
        return curves, {}
    chosen = np.array(named)[curves.codes]
    if not (curves.values[chosen] == PLACEHOLDER).all():
        return curves, {}
    reasons = {
        name: "left out: Lightning's constant placeholder"
        for name, left_out in zip(curves.names, named, strict=True)
        if left_out
    }
    columns = ("codes", "steps", "times", "values", "segment", "live")
    return _Curves(curves.names, *(getattr(curves, column)[~chosen] for column in columns)), reasons


def _frame(curves: _Curves) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the `scalars` frame of a run, whose columns are the arrays themselves, and the reasons for its roles."""
    rows = pd.RangeIndex(len(curves.codes))
    roles = roles_of([curves.names[code] for code in _in_order(curves.codes, len(curves.names))])
    tags = np.array([*curves.names, None], dtype=object)
    role = np.array(
        [*(roles[name][0] if name in roles else None for name in curves.names), None], dtype=object
    )
    columns = {
        "tag": pd.Series(tags.take(curves.codes), rows, dtype="object", copy=False),
        "role": pd.Series(role.take(curves.codes), rows, dtype="object", copy=False),
        "step": curves.steps,
        "epoch": _epochs(curves),
        "wall_time": curves.times,
        "value": curves.values,
        "segment": curves.segment,
        "live": curves.live,
    }
    frame = pd.DataFrame(columns, index=rows, copy=False)
    return frame, {name: why for name, (_, why) in roles.items()}


def _in_order(codes: np.ndarray, count: int) -> list[int]:
    """Return the codes that rows have, in the order in which they come first."""
    first = np.full(count, len(codes))
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    order = np.argsort(first, kind="stable")
    return [int(code) for code in order[: int((first < len(codes)).sum())]]


def _epochs(curves: _Curves) -> np.ndarray:
    """Return `epoch` from the scalar of that name, by step; without one, Keras' `epoch_*` tags count epochs."""
    named = np.array([bool(_EPOCH_TAG.fullmatch(name)) for name in curves.names], dtype=bool)
    usable = named[curves.codes] & np.isfinite(curves.values) if named.any() else named[:0]
    if not usable.any():
        by_epoch = np.array([bool(_BY_EPOCH.search(name)) for name in curves.names], dtype=bool)
        if not by_epoch.any():
            return np.full(len(curves.codes), np.nan)
        return np.where(by_epoch[curves.codes], curves.steps, np.nan)
    axis = usable & (curves.codes == _most_frequent(curves.codes[usable]))
    epochs = np.full(len(curves.codes), np.nan)
    for segment in np.unique(curves.segment):
        rows = np.flatnonzero(curves.segment == segment)
        own = axis[rows].any()
        known = rows[axis[rows]] if own else np.flatnonzero(axis)
        steps, values = _last_by_step(curves.steps[known], curves.values[known])
        at = np.searchsorted(steps, curves.steps[rows], side="left")
        epochs[rows] = values[np.minimum(at, len(steps) - 1)]
    return epochs


def _most_frequent(codes: np.ndarray) -> int:
    """Return the code that most rows have; of several, the one that comes first."""
    counts = np.bincount(codes)
    return int(codes[np.argmax(counts[codes] == counts.max())])


def _last_by_step(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps, rising, and the last value at each."""
    order = np.argsort(steps, kind="stable")
    steps, values = steps[order], values[order]
    last = np.append(steps[1:] != steps[:-1], True)
    return steps[last], values[last]


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


def histograms_of(
    held: Sequence[tuple[Rows, Histograms, Callable[[str], str]]],
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the `histograms` frame and the `bins` of a Run; each file's tags come with their names in the run."""
    held = [one for one in held if len(one[0])]
    if not held:
        return histogram_frame([]), np.empty((0, 3))
    whole = Histograms.joined([histograms for _, histograms, _ in held])
    columns: dict[str, list[np.ndarray]] = {"tag": [], "layer": [], "kind": []}
    for rows, _, name_of in held:
        told = [(name_of(tag), *layer_and_kind(tag)) for tag in rows.names]
        for name, texts in zip(columns, zip(*told, strict=True), strict=True):
            columns[name].append(np.array([*texts, None], dtype=object)[rows.codes])
    frame = {
        **{name: pd.Series(np.concatenate(parts), dtype="object") for name, parts in columns.items()},
        "step": np.concatenate([rows.steps for rows, _, _ in held]).astype(np.float64),
        "wall_time": np.concatenate([rows.times for rows, _, _ in held]),
        **summaries(whole),
        "first_bin": whole.firsts,
        "n_bins": whole.sizes,
    }
    return pd.DataFrame(frame)[list(HISTOGRAM_COLUMNS)].astype(dict(HISTOGRAM_COLUMNS)), whole.bins

"""Makes Runs of the decoded event files of their folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from plateau_doctor.readers.bulk.summaries import summaries
from plateau_doctor.readers.event_file import EventFile
from plateau_doctor.readers.event_folders import Part
from plateau_doctor.readers.event_frames import Curves, frames_of
from plateau_doctor.readers.event_rows import Rows, end_to_end
from plateau_doctor.readers.histograms import Histograms, layer_and_kind
from plateau_doctor.readers.segments import segments_of
from plateau_doctor.run import HISTOGRAM_COLUMNS, Problem, Run, histogram_frame

__all__ = ["histograms_of", "runs_of"]

Setting = float | str | bool

PLACEHOLDER_TAG, PLACEHOLDER = "hp_metric", -1.0  # Lightning's, when no metric was named


@dataclass(frozen=True, eq=False)
class _Draft:
    """A run whose frames are not yet made."""

    home: Path
    parts: Sequence[Part]
    curves: Curves
    left_out: Mapping[str, str]
    problems: Sequence[Problem]


def runs_of(found: Sequence[tuple[Path, Sequence[Part]]], root: Path, format_name: str) -> Iterator[Run]:
    """Yield the run that lies in each folder, of its parts; its name is its place below `root`."""
    drafts = [_draft(home, parts) for home, parts in found]
    folder = (root if root.is_dir() else root.parent).absolute()
    for draft, (scalars, reasons) in zip(drafts, frames_of([d.curves for d in drafts]), strict=True):
        settings, doubts = _settings(draft.home, draft.parts)
        held = [(f.binned, f.histograms, part.name_of) for part in draft.parts for f in part.files]
        histograms, bins = histograms_of(held)
        yield Run(
            name=_name(draft.home.absolute(), folder),
            source=str(draft.home),
            format=format_name,
            scalars=scalars,
            histograms=histograms,
            bins=bins,
            settings=settings,
            problems=(*draft.problems, *doubts),
            reasons={**reasons, **draft.left_out},
        )


def _draft(home: Path, parts: Sequence[Part]) -> _Draft:
    problems = [problem for part in parts for file in part.files for problem in file.problems]
    curves: list[Curves] = []
    for part in parts:
        for files in _writers(part.files):
            piece, unmarked = _curves(part, files)
            curves.append(piece)
            if unmarked > 1:
                what = f"the steps start again {unmarked} times within the file"
                why = "only the last stretch counts; is the step counted anew in each epoch?"
                problems.append(Problem(str(files[0].path), what, why))
    return _Draft(home, parts, *_without_placeholder(_joined(curves)), problems)


def _name(home: Path, folder: Path) -> str:
    """Return the place of a run below a folder, both absolute; its own name where it lies elsewhere, or right there."""
    above, parts = folder.parts, home.parts
    if parts != above and parts[: len(above)] == above:
        return "/".join(parts[len(above) :])
    return home.name or str(home)


def _writers(files: Sequence[EventFile]) -> list[list[EventFile]]:
    """Split a folder's files into rows of files that follow one another; writers side by side are apart."""
    writers: list[list[EventFile]] = []
    ended = np.full(len(files), np.nan)  # the last time that each writer has written, NaN before it has
    for file in files:
        times = file.scalars.times
        begin, end = (float(times[0]), float(times[-1])) if len(times) else (np.nan, np.nan)
        place = 0
        if begin < ended[0]:  # mostly there is one writer alone
            follows = ~(begin < ended[: len(writers)])
            place = int(np.argmax(follows)) if follows.any() else len(writers)
        if place == len(writers):
            writers.append([])
        writers[place].append(file)
        ended[place] = np.fmax(ended[place], end)
    return writers


def _curves(part: Part, files: Sequence[EventFile]) -> tuple[Curves, int]:
    """Return the scalars of files that follow one another, and how many restarts came without a break."""
    names, codes = _named([file.scalars for file in files], part.name_of)
    steps = end_to_end([file.scalars.steps for file in files]).astype(np.float64)
    times = np.concatenate(
        [file.scalars.times for file in files]
    )  # ... of a single file too, which may be read on
    values = np.concatenate([file.values for file in files])
    breaks, before = [], 0
    for file in files:
        breaks += [before, *(before + start for start in file.session_starts)]
        before += len(file.scalars)
    segment, live, unmarked = segments_of(codes, steps, breaks)
    return Curves(names, codes, steps, times, values, segment, live), unmarked


def _named(rows: Sequence[Rows], name_of: Callable[[str], str]) -> tuple[list[str], np.ndarray]:
    """Return the names of a run that the tags of several files have, and which of them each row has."""
    names: dict[str, int] = {}
    known: dict[tuple[str, ...], np.ndarray] = {}  # most files of a run have the same tags
    codes = []
    for own in rows:
        if own.names not in known:
            own_codes = [names.setdefault(name_of(tag), len(names)) for tag in own.names]
            known[own.names] = np.array(own_codes, dtype=np.int64)
        codes.append(known[own.names][own.codes])
    return list(names), np.concatenate(codes) if codes else np.empty(0, dtype=np.int64)


def _joined(curves: Sequence[Curves]) -> Curves:
    if len(curves) == 1:
        return curves[0]
    names: dict[str, int] = {}
    codes = []
    for one in curves:
        known = [names.setdefault(name, len(names)) for name in one.names]
        codes.append(np.array(known, dtype=np.int64)[one.codes])
    columns = ("steps", "times", "values", "segment", "live")
    whole = (np.concatenate([getattr(one, name) for one in curves]) for name in columns)
    return Curves(list(names), np.concatenate(codes), *whole)


def _without_placeholder(curves: Curves) -> tuple[Curves, dict[str, str]]:
    """Drop Lightning's `hp_metric` where it never was anything but -1."""
    named = [name.rpartition("/")[2] == PLACEHOLDER_TAG for name in curves.names]
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
    return Curves(curves.names, *(getattr(curves, column)[~chosen] for column in columns)), reasons


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

"""One run logged twice becomes one Run: a CSV beside event files, or in `csv/` beside their `tensorboard/`.

Where the folders alone do not say that they are of one run, as those of transformers' Trainer, two logs of one format
are two runs, whatever they hold.
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from plateau_doctor.readers.homes import home_of, trainer_home_of
from plateau_doctor.run import Run

__all__ = ["Losses", "Sketch", "copies", "home_of_run", "joined", "losses_of", "sketch_of"]

Losses = Mapping[str, list[np.ndarray]]
ROLES = ("val_loss", "train_loss")
HEAD = 16
FEWEST_POINTS = 3
AGREE = 0.9
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Sketch:
    """What tells which runs may be copies of one another, small enough to keep of thousands.

    Attributes:
        name: Name of the run.
        source: Where it was read from.
        folder: The home of its trainer (see `homes.py`).
        near: Its home.
        format: Short name of its format.
        size: How much it logged: tags and histograms, then points of its longest loss; of copies the one with the most
            is kept.
        keys: A mark for each of the first values of its losses: those of two logs of one run are nearly all the same.
    """

    name: str
    source: str
    folder: str
    near: str
    format: str
    size: tuple[int, int]
    keys: tuple[int, ...]


def joined(runs: Iterable[Run]) -> list[Run]:
    """Return the runs with copies of one run in one home made one; the richer log is kept, the copy named.

    Two logs are one run when a loss of both has the same values (to 1e-4, nine in ten, at least three points). One
    from another folder of the same trainer must be of another format too, and hold no value that the one kept lacks.
    """
    runs = list(runs)
    if len(runs) < 2:
        return runs
    bare = [_sketch(run) for run in runs]
    several = set(_several(bare))
    losses: list[Losses] = [losses_of(run) if i in several else {} for i, run in enumerate(runs)]
    sketches = [
        sketch_of(run, losses[i]) if i in several else one
        for i, (run, one) in enumerate(zip(runs, bare, strict=True))
    ]
    return [
        _with_copies(runs[i], [runs[k] for k in left]) for i, left in copies(sketches, losses.__getitem__)
    ]


def copies(sketches: Sequence[Sketch], losses: Callable[[int], Losses]) -> list[tuple[int, list[int]]]:
    """Return (run kept, its copies) by their places in `sketches`, in the order of the names.

    Args:
        sketches: One a run.
        losses: The losses of the run at a place, asked for of those that are likely copies alone.
    """
    several = _several(sketches)
    among = set(several)
    kept = [i for i in range(len(sketches)) if i not in among]
    left: dict[int, list[int]] = {}
    rank: dict[int, int] = {}  # of those kept, the first one first
    near: dict[tuple[str, int], list[int]] = {}  # which of those kept begin with a value like this one
    far: dict[
        tuple[str, int], dict[str, list[int]]
    ] = {}  # the same by their trainer's folder and their format
    for i in sorted(several, key=lambda i: (*(-n for n in sketches[i].size), sketches[i].source)):
        one = sketches[i]
        alike: Counter[int] = Counter()
        for key in one.keys:
            others = far.get((one.folder, key), {}).items()
            alike.update(
                {
                    *near.get((one.near, key), ()),
                    *(k for format_, places in others if format_ != one.format for k in places),
                }
            )
        likely = [k for k, hits in alike.items() if hits >= max(1, len(one.keys) // 8)]
        twin = next(
            (
                k
                for k in sorted(likely, key=rank.__getitem__)
                if _is_copy(one, sketches[k], [sketches[m] for m in left.get(k, ())], losses, (i, k))
            ),
            None,
        )
        if twin is not None:
            left.setdefault(twin, []).append(i)
            continue
        for key in one.keys:
            near.setdefault((one.near, key), []).append(i)
            far.setdefault((one.folder, key), {}).setdefault(one.format, []).append(i)
        rank[i] = len(kept)
        kept.append(i)
    return [(i, left.get(i, [])) for i in sorted(kept, key=lambda i: sketches[i].name)]


def _several(sketches: Sequence[Sketch]) -> list[int]:
    """Return the places of those that have others beside them that they may be copies of."""
    together = Counter(one.near for one in sketches)
    formats: dict[str, set[str]] = {}
    for one in sketches:
        formats.setdefault(one.folder, set()).add(one.format)
    return [i for i, one in enumerate(sketches) if together[one.near] > 1 or len(formats[one.folder]) > 1]


def _is_copy(
    one: Sketch,
    other: Sketch,
    copied: Sequence[Sketch],
    losses: Callable[[int], Losses],
    places: tuple[int, int],
) -> bool:
    """Whether a log is a copy of another that is kept, of which some others are copies."""
    if one.source == other.source:
        return False
    if one.near == other.near:
        return _same_values(losses(places[0]), losses(places[1]))
    if any(one.format == copy.format and one.near != copy.near for copy in copied):
        return False
    return _covers(losses(places[1]), losses(places[0]))


def sketch_of(run: Run, losses: Losses) -> Sketch:
    """Return the sketch of a run with these losses."""
    keys = [
        zlib.crc32(f"{role} {place} {value:.2e}".encode())
        for role, curves in losses.items()
        for curve in curves
        for place, value in enumerate(curve[:HEAD].tolist())
        if math.isfinite(value)
    ]
    length = max((len(curve) for curves in losses.values() for curve in curves), default=0)
    return _sketch(run, tuple(keys), (run.scalars["tag"].nunique() + len(run.histograms), length))


def _sketch(run: Run, keys: tuple[int, ...] = (), size: tuple[int, int] = (0, 0)) -> Sketch:
    home, near = trainer_home_of_run(run), home_of_run(run)
    return Sketch(run.name, run.source, str(home), str(near), run.format, size, keys)


def losses_of(run: Run) -> Losses:
    """Return the values of each tag of the two losses, by role."""
    roles, tags, values = (run.scalars[name].to_numpy() for name in ("role", "tag", "value"))
    found: dict[str, list[np.ndarray]] = {role: [] for role in ROLES}
    codes, names = pd.factorize(roles)
    for role, curves in found.items():
        rows = np.flatnonzero(codes == names.tolist().index(role)) if role in names else codes[:0]
        own, held = pd.factorize(tags[rows])
        curves += [values[rows[own == tag]] for tag in range(len(held))]
    return found


def home_of_run(run: Run) -> Path:
    """Return the home of a run, where its parts and copies may lie."""
    return home_of(_folder_of(run))


def trainer_home_of_run(run: Run) -> Path:
    """Return the home of what trained a run, where copies of another format may lie."""
    return trainer_home_of(_folder_of(run))


def _folder_of(run: Run) -> Path:
    source = Path(run.source)
    return source if source.is_dir() else source.parent


def _with_copies(run: Run, copies: Sequence[Run]) -> Run:
    if not copies:
        return run
    why = [f"{copy.source} holds the same values and was left out" for copy in copies]
    said = {**run.reasons, "joined": "; ".join(filter(None, [run.reasons.get("joined"), *why]))}
    problems = (*run.problems, *(problem for copy in copies for problem in copy.problems))
    return dataclasses.replace(run, reasons=said, problems=problems)


def _same_values(one: Losses, other: Losses) -> bool:
    return any(_agree(a, b) for role in ROLES for a in one[role] for b in other[role])


def _covers(kept: Losses, copy: Losses) -> bool:
    """Whether one log holds what the other does: it may go on for longer."""
    known = [(role, curve) for role in ROLES for curve in copy[role] if len(curve) >= FEWEST_POINTS]
    pairs = [
        [(longer[: len(one)], one) for longer in kept[role] if len(longer) >= len(one)] for role, one in known
    ]
    told = any(_agree(*pair) for beside in pairs for pair in beside)  # constants alone tell nothing
    return told and all(any(_close(*pair) for pair in beside) for beside in pairs)


def _agree(one: np.ndarray, other: np.ndarray) -> bool:
    n = min(len(one), len(other))
    finite = one[:n][np.isfinite(one[:n])]
    if len(finite) < FEWEST_POINTS or max(len(one), len(other)) > 1.5 * n or np.ptp(finite) == 0:
        return False
    return _close(one[:n], other[:n])


def _close(one: np.ndarray, other: np.ndarray) -> bool:
    return float(np.mean(np.isclose(one, other, rtol=TOLERANCE, atol=1e-7, equal_nan=True))) >= AGREE

"""One run logged twice becomes one Run: a CSV beside event files, a history as CSV and as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from plateau_doctor.run import Run

__all__ = ["joined"]

Losses = Mapping[str, list[np.ndarray]]
Key = tuple[str, str, int, str]
ROLES = ("val_loss", "train_loss")
HEAD = 16
FEWEST_POINTS = 3
AGREE = 0.9
TOLERANCE = 1e-4


def joined(runs: Iterable[Run]) -> list[Run]:
    """Return the runs with copies of one run in one folder made one; the richer log is kept, the copy named.

    Two logs are one run when a loss of both has the same values (to 1e-4, nine in ten, at least three points).
    """
    runs = list(runs)
    together = Counter(map(_folder, runs))
    alone = [run for run in runs if together[_folder(run)] == 1]
    runs = [run for run in runs if together[_folder(run)] > 1]
    kept: list[Run] = []
    losses: list[Losses] = []  # of those kept
    seen: dict[Key, list[int]] = {}  # which of those kept begin with a value like this one
    for run in sorted(
        runs, key=lambda run: (-run.scalars["tag"].nunique() - len(run.histograms), run.source)
    ):
        mine = _losses(run)
        keys = _keys(run, mine)
        alike = Counter(i for key in keys for i in seen.get(key, ()) if kept[i].source != run.source)
        likely = sorted(i for i, hits in alike.items() if hits >= max(1, len(keys) // 8))
        twin = next((i for i in likely if _same_values(mine, losses[i])), None)
        if twin is None:
            for key in keys:
                seen.setdefault(key, []).append(len(kept))
            kept.append(run)
            losses.append(mine)
        else:
            other = kept[twin]
            why = f"{run.source} holds the same values and was left out"
            said = {**other.reasons, "joined": "; ".join(filter(None, [other.reasons.get("joined"), why]))}
            kept[twin] = dataclasses.replace(other, reasons=said, problems=(*other.problems, *run.problems))
    return sorted([*alone, *kept], key=lambda run: run.name)


def _losses(run: Run) -> Losses:
    """Return the values of each tag of the two losses, by role."""
    roles, tags, values = (run.scalars[name].to_numpy() for name in ("role", "tag", "value"))
    found: dict[str, list[np.ndarray]] = {role: [] for role in ROLES}
    codes, names = pd.factorize(roles)
    for role, curves in found.items():
        rows = np.flatnonzero(codes == names.tolist().index(role)) if role in names else codes[:0]
        own, held = pd.factorize(tags[rows])
        curves += [values[rows[own == tag]] for tag in range(len(held))]
    return found


def _folder(run: Run) -> str:
    source = Path(run.source)
    return str(source if source.is_dir() else source.parent)


def _keys(run: Run, losses: Losses) -> list[Key]:
    """Return a mark for each of the first values: those of two logs of one run are nearly all the same.

    Only runs that share some are compared, so that a folder of thousands takes seconds.
    """
    folder = _folder(run)
    return [
        (folder, role, place, f"{value:.2e}")
        for role, curves in losses.items()
        for curve in curves
        for place, value in enumerate(curve[:HEAD].tolist())
        if math.isfinite(value)
    ]


def _same_values(one: Losses, other: Losses) -> bool:
    return any(_agree(a, b) for role in ROLES for a in one[role] for b in other[role])


def _agree(one: np.ndarray, other: np.ndarray) -> bool:
    n = min(len(one), len(other))
    finite = one[:n][np.isfinite(one[:n])]
    if len(finite) < FEWEST_POINTS or max(len(one), len(other)) > 1.5 * n or np.ptp(finite) == 0:
        return False
    return float(np.mean(np.isclose(one[:n], other[:n], rtol=TOLERANCE, atol=1e-7, equal_nan=True))) >= AGREE

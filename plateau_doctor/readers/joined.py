"""One run logged twice becomes one Run: a CSV beside event files, a history as CSV and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from plateau_doctor.run import Run

__all__ = ["joined"]

FEWEST_POINTS = 3
AGREE = 0.9
TOLERANCE = 1e-4


def joined(runs: Iterable[Run]) -> list[Run]:
    """Return the runs with copies of one run in one folder made one; the richer log is kept, the copy named.

    Two logs are one run when a loss of both has the same values (to 1e-4, nine in ten, at least three points).
    """
    kept: list[Run] = []
    for run in sorted(
        runs, key=lambda run: (-run.scalars["tag"].nunique() - len(run.histograms), run.source)
    ):
        twin = next(
            (i for i, other in enumerate(kept) if _same_place(run, other) and _same_values(run, other)), None
        )
        if twin is None:
            kept.append(run)
        else:
            other = kept[twin]
            why = f"{run.source} holds the same values and was left out"
            said = {**other.reasons, "joined": "; ".join(filter(None, [other.reasons.get("joined"), why]))}
            kept[twin] = dataclasses.replace(other, reasons=said, problems=(*other.problems, *run.problems))
    return sorted(kept, key=lambda run: run.name)


def _same_place(one: Run, other: Run) -> bool:
    return _folder(one) == _folder(other) and one.source != other.source


def _folder(run: Run) -> Path:
    source = Path(run.source)
    return source if source.is_dir() else source.parent


def _same_values(one: Run, other: Run) -> bool:
    for role in ("val_loss", "train_loss"):
        for a in _series(one, role):
            for b in _series(other, role):
                if _agree(a, b):
                    return True
    return False


def _series(run: Run, role: str) -> list[np.ndarray]:
    rows: pd.DataFrame = run.scalars[run.scalars["role"] == role]
    return [group["value"].to_numpy() for _, group in rows.groupby("tag", sort=False)]


def _agree(one: np.ndarray, other: np.ndarray) -> bool:
    n = min(len(one), len(other))
    finite = one[:n][np.isfinite(one[:n])]
    if len(finite) < FEWEST_POINTS or max(len(one), len(other)) > 1.5 * n or np.ptp(finite) == 0:
        return False
    return float(np.mean(np.isclose(one[:n], other[:n], rtol=TOLERANCE, atol=1e-7, equal_nan=True))) >= AGREE

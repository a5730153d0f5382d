"""Gradients and weights that were logged beside the curves of their run, in a folder or a file of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from plateau_doctor.readers.joined import copies, home_of_run, losses_of, sketch_of
from plateau_doctor.run import Problem, Run

__all__ = ["CURVES", "has_curves", "made_whole", "with_gradients"]

FEW = 256
CURVES = frozenset({"train_loss", "val_loss", "train_metric", "val_metric", "reward"})
OF_LAYERS = frozenset({"grad_norm", "layer_grad_norm", "layer_weight_norm", "layer_update_ratio"})
KINDS = frozenset({"gradient", "weight", "activation"})
HOLDS = "holds the gradients or weights of the same steps"
SAME_LENGTH = 0.8  # how far the shorter of two logs of one training comes at least, as a share of the longer


def has_curves(run: Run) -> bool:
    """Whether any role of the run is one to judge; roles stand in blocks, so the first rows mostly tell."""
    role = run.scalars["role"]
    return bool(role.iloc[:FEW].isin(CURVES).any() or role.iloc[FEW:].isin(CURVES).any())


def with_gradients(ones: Iterable[Run | Problem], shared: frozenset[Path]) -> Iterator[Run | Problem]:
    """Yield what was read, logs of gradients, weights or activations alone made part of the run that they are of.

    Such a log is of a run where that is the only one with curves in its home (see `homes.py`), copies aside; where
    both come about as far; and where both were written at the same time, as far as they tell. A seed's folder is
    named for no kind of log, so nothing of one seed is made part of another.

    Args:
        ones: Runs with their roles, and problems.
        shared: Homes of several logs. What lies elsewhere is yielded at once.
    """
    homes: dict[Path, list[Run]] = {}
    for one in ones:
        home = home_of_run(one) if shared and isinstance(one, Run) else None
        if isinstance(one, Run) and home in shared:
            homes.setdefault(home, []).append(one)
        else:
            yield one
    for runs in homes.values():
        yield from _in_one_home(runs)


def _in_one_home(runs: Sequence[Run]) -> list[Run]:
    apart = [run for run in runs if _is_of_layers(run)]
    whole = _alone([run for run in runs if has_curves(run)]) if apart else None
    if whole is None:
        return list(runs)
    parts = [run for run in apart if _is_part(run, whole)]
    left = (run for run in runs if not any(run is part for part in parts))
    return [made_whole(run, parts, HOLDS) if run is whole else run for run in left]


def _alone(runs: Sequence[Run]) -> Run | None:
    """Return the only run among some that are else copies of it."""
    losses = [losses_of(run) for run in runs]
    kept = copies([sketch_of(run, own) for run, own in zip(runs, losses, strict=True)], losses.__getitem__)
    return runs[kept[0][0]] if len(kept) == 1 else None


def _is_of_layers(run: Run) -> bool:
    told = run.scalars["role"].isin(OF_LAYERS).any() or run.histograms["kind"].isin(KINDS).any()
    return bool(told) and not has_curves(run)


def _is_part(part: Run, whole: Run) -> bool:
    return _as_long(part, whole) and _as_long(whole, part) and _at_one_time(part, whole)


def _as_long(one: Run, other: Run) -> bool:
    """Whether one log comes about as far as another, or will with what it logs next: so they count in one unit."""
    steps, others = _column(one, "step"), _column(other, "step")
    if not len(steps) or not len(others):
        return False
    stride = np.ptp(steps) / max(1, len(np.unique(steps)) - 1)
    return bool(steps.max() + stride >= SAME_LENGTH * others.max() and others.max() >= 0)


def _at_one_time(one: Run, other: Run) -> bool:
    times, others = _column(one, "wall_time"), _column(other, "wall_time")
    if not len(times) or not len(others):
        return True
    return bool(times.min() <= others.max() and others.min() <= times.max())


def _column(run: Run, name: str) -> np.ndarray:
    """Return the finite values of a column of both frames."""
    values = np.concatenate([frame[name].to_numpy(dtype=float) for frame in (run.scalars, run.histograms)])
    found: np.ndarray = values[np.isfinite(values)]
    return found


def made_whole(run: Run, parts: Sequence[Run], what: str) -> Run:
    """Return a run with the tags of its parts that it has not itself; `what` says why they are its own."""
    for part in parts:
        own = part.histograms[~part.histograms["tag"].isin(run.histograms["tag"])]
        why = f"{part.source} {what} and was taken in"
        run = dataclasses.replace(
            run,
            scalars=_below(run.scalars, part.scalars[~part.scalars["tag"].isin(run.scalars["tag"])]),
            histograms=_below(run.histograms, own.assign(first_bin=own["first_bin"] + len(run.bins))),
            bins=np.concatenate([run.bins, part.bins]),
            settings={**part.settings, **run.settings},
            problems=(*run.problems, *part.problems),
            reasons={
                **part.reasons,
                **run.reasons,
                "joined": "; ".join(filter(None, [run.reasons.get("joined"), why])),
            },
        )
    return run


def _below(frame: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    held = [one for one in (frame, other) if len(one)]
    return pd.concat(held, ignore_index=True) if held else frame

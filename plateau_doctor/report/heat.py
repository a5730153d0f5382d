"""What is drawn of a run's layers: the norms of their gradients and weights, by layer and step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np

from plateau_doctor.facts import Logged
from plateau_doctor.letters import visible
from plateau_doctor.report import pictures
from plateau_doctor.report.charts import Chart, Key, spread

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["heat_charts", "short_names"]

MOST_STEPS, MOST_LAYERS = 40, 24  # columns and rows of a heat map
LONGEST_NAME = 18  # characters of a layer's name
PARTS, WORDS = r"[^./]+[./]?|[./]", r"[^._/]+[._/]?|[._/]"
FEWEST_STEPS = 12  # columns that many layers leave
MOST_CELLS = 300  # of all maps of a run, about 65 bytes each
DECADES_OF_HEAT = 12  # tells dead from alive; more would wash out the rest


def heat_charts(logged: Logged) -> tuple[Chart, ...]:
    """Return a heat map of gradient norms and one of weight norms, layer by step, each where they were logged."""
    norms = {kind: logged.layers(kind) for kind in ("gradient", "weight")}
    there = {kind: frame for kind, frame in norms.items() if frame is not None and min(frame.shape) >= 2}
    return tuple(_heat_chart(kind, frame, MOST_CELLS // len(there)) for kind, frame in there.items())


def _heat_chart(kind: str, norms: pd.DataFrame, cells: int) -> Chart:
    """Return the heat map of log10 norms of shape (steps, layers) in at most so many cells.

    Where no norm is above 0 the map is all of the color that stands for 0, which a note says: a silent net is a sight.
    """
    layers_shown = spread(norms.shape[1], min(MOST_LAYERS, cells // FEWEST_STEPS))
    part = norms.iloc[spread(norms.shape[0], min(MOST_STEPS, cells // len(layers_shown))), layers_shown]
    values = part.to_numpy(dtype=float)
    usable = np.isfinite(values) & (values > 0)
    logs = np.full(values.shape, np.nan)
    low, high, ends = -1.0, 0.0, ("0", "above 0")
    if usable.any():
        logs[usable] = np.log10(values[usable])
        low, high = float(np.nanmin(logs)), float(np.nanmax(logs))
        low = max(low, high - DECADES_OF_HEAT)
        ends = f"{10**low:.2g}", f"{10**high:.2g}"
    logs[values == 0] = low
    layers = short_names([visible(str(name)) for name in part.columns])
    steps = [float(step) for step in part.index]
    return Chart(
        f"{kind.capitalize()} norm by layer",
        pictures.heat_map(np.clip(logs, low, high), steps, layers, (low, high)),
        f"Heat map: {kind} norm of {len(layers)} layers over {len(steps)} steps, from {ends[0]} to {ends[1]}.",
        (Key(ends[0], "low"), Key(ends[1], "high")),
        tuple(_heat_notes(kind, norms, values)),
        int(values.size),
        int(norms.size),
    )


def _heat_notes(kind: str, norms: pd.DataFrame, drawn: np.ndarray) -> list[str]:
    notes = []
    if norms.shape != drawn.shape:
        (steps, layers), (all_steps, all_layers) = drawn.shape, norms.shape
        notes.append(f"{layers:,} of {all_layers:,} layers and {steps:,} of {all_steps:,} steps drawn")
    finite = np.isfinite(drawn)
    if finite.any() and not (drawn[finite] > 0).any():
        notes.append(f"every {kind} norm drawn is exactly 0")
    if lost := int((~finite).sum()):
        notes.append(f"a cross: NaN, Inf or not logged ({lost:,} cells)")
    return notes


def short_names(names: Sequence[str]) -> list[str]:
    """Return names of layers without the parts that all begin or end with, such as `model.` and `.weight`.

    Where that is not enough, without the words that all share, then without their middle: both the number of a
    block and the name of its part tell layers apart.
    """
    short = _unshared([re.findall(PARTS, name) for name in names])
    if max(map(len, short)) > LONGEST_NAME:
        short = _unshared([re.findall(WORDS, name) for name in short])
    half = LONGEST_NAME // 2
    return [
        name if len(name) <= LONGEST_NAME else f"{name[: half - 1]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"
        for name in short
    ]


def _unshared(names: Sequence[Sequence[str]]) -> list[str]:
    """Return names, each in parts, without those that all begin and end with; of each something is left."""
    most = min(map(len, names)) - 1 if len(names) > 1 else 0
    before = min(most, _alike(names))
    behind = min(most - before, _alike([parts[::-1] for parts in names]))
    cut = ["".join(parts[before : len(parts) - behind]).rstrip("./_") for parts in names]
    return [left or "".join(parts) for left, parts in zip(cut, names, strict=True)]


def _alike(parts: Sequence[Sequence[str]]) -> int:
    """Return how many parts all names begin with."""
    return len(list(takewhile(lambda same: len(set(same)) == 1, zip(*parts, strict=False))))

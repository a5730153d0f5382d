"""A part of the corpus small enough for minutes: chosen by a fixed rule, trained alone or taken from the whole."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from trainings.derived import variants

__all__ = ["RATES", "choose", "logs_of", "outcomes_of", "train_chosen"]

RATES = Path(__file__).parent.parent / "corpus" / "rates.json"
OF_A_CAUSE, SOUND = 3, 40
ALL_LOGS = 3  # every third configuration is in the table with all its logs, `derived.variants`


def choose(configs: pd.DataFrame, sound: set[str]) -> dict[str, str]:
    """Return name -> cause it stands for, "" for a sound one; the same for the same table of labels.

    Three configurations into which a cause was injected, and which have it, for every cause, the rarest cause
    first; then forty sound ones. Each next one is of the task and architecture that were taken least.
    """
    whole = configs[[int(name.rpartition("-")[2]) % ALL_LOGS == 0 for name in configs.index]]
    having: dict[str, list[str]] = {}
    for name, labels, injected in zip(whole.index, whole["labels"], whole["injected"], strict=True):
        for cause in labels & injected:
            having.setdefault(cause, []).append(name)
    taken: dict[str, str] = {}
    used: Counter[str] = Counter()
    for cause in sorted(having, key=lambda cause: (len(having[cause]), cause)):
        _take(whole, having[cause], OF_A_CAUSE, cause, taken, used)
    _take(whole, [name for name in whole.index if name in sound], SOUND, "", taken, Counter())
    return taken


def _take(
    configs: pd.DataFrame,
    names: Sequence[str],
    many: int,
    cause: str,
    taken: dict[str, str],
    used: Counter[str],
) -> None:
    of = {name: (configs.at[name, "task"], configs.at[name, "architecture"]) for name in names}
    left = [name for name in sorted(names) if name not in taken]
    for _ in range(min(many, len(left))):
        best = min(left, key=lambda name: (sum(used[part] for part in of[name]), name))
        left.remove(best)
        used.update(of[best])
        taken[best] = cause


def train_chosen(folder: Path, names: set[str], jobs: int) -> None:
    """Train the chosen configurations into FOLDER by the rates of the corpus, without the undos that labels need."""
    from corpus import train_unit

    from trainings.recipes import plan

    rates = {(task, net, kind): rate for task, net, kind, rate in json.loads(RATES.read_text())}
    units = [
        (unit, [replace(one, arms=()) for one in configs if one.name in names])
        for unit, configs in plan(rates)
    ]
    folder.mkdir(parents=True)
    with ProcessPoolExecutor(jobs, initializer=_one_thread) as pool:
        waiting = [pool.submit(train_unit, folder, unit, configs) for unit, configs in units if configs]
        for i, future in enumerate(waiting):
            unit, configs, copies = future.result()
            print(f"{i + 1}/{len(waiting)} {unit}: {configs} configurations, {copies} trainings", flush=True)


def outcomes_of(folder: Path, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what became of the chosen configurations whose unit FOLDER has finished."""
    files = [done.with_name("outcomes.json") for done in sorted(folder.glob("*/done"))]
    return [one for file in files for one in json.loads(file.read_text()) if one["name"] in names]


def logs_of(
    folder: Path, outcome: Mapping[str, Any], *wanted: tuple[str, str]
) -> Iterator[tuple[str, str, Any]]:
    """Yield level, axis and Run of the first seed, for the wanted pairs of level and axis."""
    left = set(wanted)
    for level, axis, seed, run in variants(folder, outcome):
        if seed == 0 and (level, axis) in left:
            left.remove((level, axis))
            yield level, axis, run
        if not left:
            return


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)

"""Trains the corpus that the diagnosis is calibrated and judged on, and makes its table of facts and labels.

    python benchmarks/corpus.py train FOLDER [--size 0.1] [--jobs 2]     resumable; torch; some three hours of two cores
    python benchmarks/corpus.py table FOLDER                             writes benchmarks/corpus/*.csv.gz

Labels are interventional: a configuration has a cause when the same training with that one thing undone ends
better on clean held-out data, over three seeds, by a mean log-ratio above two standard errors and 10 %.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from trainings.ensemble import Setup, group, train
from trainings.nets import ARCHITECTURES
from trainings.recipes import Config, plan
from trainings.tasks import TASKS, task

SEEDS = 3
AT_ONCE = 48  # copies in one computation
GAIN = math.log(1.1)
GRID = {"momentum": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3), "adam": (3e-4, 1e-3, 3e-3, 0.01, 0.03)}
Logs = dict[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train what is not yet in FOLDER")
    training.add_argument("folder", type=Path)
    training.add_argument("--size", type=float, default=1.0, help="share of the configurations (default all)")
    training.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    table = commands.add_parser("table", help="make the table of facts and labels from FOLDER")
    table.add_argument("folder", type=Path)
    table.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    if args.command == "train":
        train_all(args.folder, args.size, args.jobs)
    else:
        from trainings.derived import write_tables

        write_tables(args.folder, Path(__file__).parent / "corpus", args.jobs)


def train_all(folder: Path, size: float, jobs: int) -> None:
    """Train every configuration that FOLDER does not have yet."""
    folder.mkdir(parents=True, exist_ok=True)
    rates = reference_rates(folder, jobs)
    units = [(unit, configs) for unit, configs in plan(rates, size) if not (folder / unit / "done").exists()]
    began = time.perf_counter()
    with ProcessPoolExecutor(jobs, initializer=_one_thread) as pool:
        waiting = [pool.submit(train_unit, folder, unit, configs) for unit, configs in units]
        for i, future in enumerate(as_completed(waiting)):
            name, configs, copies = future.result()
            print(
                f"{i + 1}/{len(units)} {name}: {configs} configurations, {copies} trainings, "
                f"{time.perf_counter() - began:.0f} s",
                flush=True,
            )


def reference_rates(folder: Path, jobs: int) -> dict[tuple[str, str, str], float]:
    """Return the best constant rate of each (task, architecture, optimizer family); measured once."""
    file = folder / "rates.json"
    rates = {(a, b, c): rate for a, b, c, rate in json.loads(file.read_text())} if file.exists() else {}
    keys = [(name, arch, kind) for name in TASKS for arch in ARCHITECTURES[task(name).kind] for kind in GRID]
    if new := [key for key in keys if key not in rates]:
        with ProcessPoolExecutor(jobs, initializer=_one_thread) as pool:
            rates |= dict(zip(new, pool.map(best_rate, new), strict=True))
        file.write_text(json.dumps([[*key, rate] for key, rate in rates.items()], indent=0))
    return rates


def best_rate(key: tuple[str, str, str]) -> float:
    """Return the rate in the middle of those that end within 10 % of the least clean loss."""
    name, architecture, optimizer = key
    depth = {"resnet": 3, "attention": 1}.get(architecture, 2)
    activation = "tanh" if architecture == "rnn" else "relu"
    setups = [
        Setup(name, architecture, depth=depth, activation=activation, optimizer=optimizer, lr=rate, seed=seed + 100,
              samples=min(640, len(task(name).pool[1])))
        for rate in GRID[optimizer] for seed in range(2)
    ]  # fmt: skip
    late = [np.nan_to_num(logs["test"][-3:, 0], nan=20.0) for logs in train(setups)]
    ends = np.array([np.mean(np.clip(losses, 1e-3, 20)) for losses in late])
    losses = np.log(ends).reshape(-1, 2).mean(1)
    near = np.flatnonzero(losses <= losses.min() + 0.1)
    return float(np.exp(np.mean(np.log(np.array(GRID[optimizer])[near]))))


def train_unit(folder: Path, unit: str, configs: Sequence[Config]) -> tuple[str, int, int]:
    """Train all configurations of one task and architecture, and write their logs and outcomes."""
    into = folder / unit
    into.mkdir(exist_ok=True)
    copies = [
        (config.name, arm, replace(setup, seed=seed))
        for config in configs
        for arm, setup in enumerate([config.setup, *(arm.setup for arm in config.arms)])
        for seed in range(SEEDS)
    ]
    logs = dict(_trained(copies))
    for config in configs:
        base = [logs[config.name, 0, seed] for seed in range(SEEDS)]
        kept = {f"{name}/{seed}": _small(v) for seed, one in enumerate(base) for name, v in one.items()}
        np.savez_compressed(into / f"{config.name}.npz", **kept)
    outcomes = [_outcome(config, logs) for config in configs]
    (into / "outcomes.json").write_text(json.dumps(outcomes))
    (into / "done").touch()
    return unit, len(configs), len(copies)


def _trained(copies: Sequence[tuple[str, int, Setup]]) -> Iterator[tuple[tuple[str, int, int], Logs]]:
    together: dict[tuple[object, ...], list[tuple[str, int, Setup]]] = defaultdict(list)
    for copy in copies:
        together[group(copy[2])].append(copy)
    for members in together.values():
        for at in range(0, len(members), AT_ONCE):
            part = members[at : at + AT_ONCE]
            for (name, arm, setup), logs in zip(part, train([setup for _, _, setup in part]), strict=True):
                yield (
                    (name, arm, setup.seed),
                    logs if arm == 0 else {k: logs[k] for k in ("test", "best_test", "val_loss")},
                )


def _outcome(config: Config, logs: dict[tuple[str, int, int], Logs]) -> dict[str, object]:
    """Return what became of a configuration: clean loss and error of every arm and seed, in JSON."""
    ends = [
        [_end(logs[config.name, arm, seed]) for seed in range(SEEDS)] for arm in range(len(config.arms) + 1)
    ]
    early = [
        np.nan_to_num(logs[config.name, 0, seed]["best_test"], nan=20.0).tolist() for seed in range(SEEDS)
    ]
    return {
        "name": config.name,
        "injected": config.injected,
        "severity": config.severity,
        "artifact": config.artifact,
        "setup": asdict(config.setup),
        "arms": [list(arm.causes) for arm in config.arms],
        "ends": ends,
        "early": early,
    }


def _end(logs: Logs) -> list[float]:
    """Return clean loss and error, means of the last two epochs."""
    return [float(v) for v in np.nan_to_num(logs["test"][-2:], nan=20.0).mean(0)]


def _small(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32) if values.dtype.kind == "f" else values


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


if __name__ == "__main__":
    main()

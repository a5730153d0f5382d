"""What a recorder costs: `python benchmarks/recorders.py [--steps N] [--repeats N] [--long N]`.

A small CNN is trained on the CPU with no recorder, with ours and, where wandb is importable, with `wandb.watch`
offline: blocks of steps take turns in one process, and the ratio of neighbors counts, so that other load hits all
alike. Bytes and memory are of one run of `--long` steps, in a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from plateau_doctor.recorders.torch import Recorder

BATCH = 64


def model_of() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 64, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


class Training:
    """One training that goes on step by step."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.model = model_of()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.x, self.y = torch.randn(BATCH, 3, 32, 32), torch.randint(0, 10, (BATCH,))
        self.log: Callable[[Any], object] = lambda _: None
        self.close: Callable[[], object] = lambda: None
        if kind == "ours":
            recorder = Recorder(self.model, self.optimizer, folder, batch_size=BATCH)
            self.log, self.close = lambda loss: recorder.log(loss_step=loss), recorder.close
        elif kind == "wandb.watch":
            import wandb

            run = wandb.init(mode="offline", dir=str(folder), settings=wandb.Settings(silent=True))
            run.watch(self.model, log="all", log_freq=50)
            self.log, self.close = lambda loss: run.log({"loss": loss.item()}), run.finish

    def step(self) -> None:
        """Make one update, and log its loss."""
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        self.log(loss)


def seconds(training: Training, steps: int) -> float:
    began = time.perf_counter()
    for _ in range(steps):
        training.step()
    return time.perf_counter() - began


def times(kinds: list[str], steps: int, repeats: int, folder: Path) -> dict[str, list[float]]:
    """Return the seconds of each block; blocks take turns, in an order that turns around."""
    trainings = {kind: Training(kind, folder / kind.replace(".", "_")) for kind in kinds}
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for training in trainings.values():
        seconds(training, 50)  # the dense records at the start are no part of the usual step
    for turn in range(repeats):
        for kind in kinds if turn % 2 else reversed(kinds):
            found[kind].append(seconds(trainings[kind], steps))
    for training in trainings.values():
        training.close()
    return found


def long_run(kind: str, steps: int) -> None:
    """Print bytes written and the growth of resident memory in one run, for the parent."""
    with quiet_folder() as folder:
        training = Training("none", folder)
        seconds(training, 20)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        training = Training(kind, folder / "log")
        seconds(training, steps)
        training.close()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        print(size, grown * 1024)


@contextlib.contextmanager
def quiet_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def measured(kind: str, steps: int) -> tuple[int, int]:
    """Return bytes written and bytes of memory of one run in a process of its own."""
    line = [sys.executable, __file__, "--one", kind, "--long", str(steps)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=dict(os.environ))
    size, grown = done.stdout.split()[-2:]
    return int(size), int(grown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100, help="steps of a block")
    parser.add_argument("--repeats", type=int, default=20, help="blocks of each kind")
    parser.add_argument("--long", type=int, default=10_000, help="steps of the run that is weighed")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one:
        long_run(options.one, options.long)
        return
    kinds = ["none", "ours", *(["wandb.watch"] if importlib.util.find_spec("wandb") else [])]
    with quiet_folder() as folder:
        found = times(kinds, options.steps, options.repeats, folder)
    weights = sum(p.numel() * p.element_size() for p in model_of().parameters())
    plain = measured("none", options.long)[1]
    blocks = f"{options.repeats} blocks of {options.steps} steps"
    print(f"a CNN of {weights / 1e6:.1f} MB, batches of {BATCH}, {blocks}, one thread")
    print(f"{'recorder':<12} {'ms a step':>10} {'step time':>10} {'MB a run':>10} {'memory':>10}")
    for kind in kinds:
        ratio = median(a / b for a, b in zip(found[kind], found["none"], strict=True))
        size, grown = measured(kind, options.long)
        each = 1000 * median(found[kind]) / options.steps
        print(
            f"{kind:<12} {each:>10.2f} {ratio - 1:>+10.1%} {size / 1e6:>10.2f} {max(0, grown - plain) / 1e6:>7.1f} MB"
        )
    print(
        f"MB a run: of {options.long:,} steps; memory: largest resident, above that of a run without recorder"
    )


if __name__ == "__main__":
    main()

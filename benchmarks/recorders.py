"""What a recorder costs: `python benchmarks/recorders.py [--steps N] [--repeats N] [--long N]`.

A small CNN is trained on the CPU with no recorder, with ours and, where wandb is importable, with `wandb.watch`
offline, at the default schedules. Time: blocks of steps of one training, so that its tensors lie where they lay, are
recorded in turns. Of each place in a block the lower quartile over all blocks counts, for other load only ever adds to
CPU time; a block costs the sum over its places, so that its one recorded step has its full weight. The ratio of
neighbors is printed beside, and what wandb does in its own service process is left out. Bytes: of
a run of `--long` steps with batches of two, since a log does not grow with the batch. Memory: largest resident of a
CNN with wide dense layers, 100 MB of weights, above that of the same run without recorder; each run is a process of
its own, which has imported all that it needs before it is weighed.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from torch import nn

from plateau_doctor.recorders.torch import Recorder

KINDS = ["none", "ours", "wandb.watch"]
BATCH = 64
WIDE = 4096  # units of the model that is weighed
WEIGHED = 51  # steps of it: the last one is recorded
RUNS = 3  # of which the median counts


def model_of(hidden: int = 128, before_last: int | None = None) -> nn.Module:
    torch.manual_seed(0)
    last = [nn.Linear(hidden, before_last), nn.ReLU()] if before_last else []
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 64, hidden), nn.ReLU(), *last, nn.Linear(before_last or hidden, 10),
    )  # fmt: skip


def wide_model() -> nn.Module:
    return model_of(WIDE, WIDE // 2)


class Training:
    """One training that goes on step by step, recorded or not."""

    def __init__(self, model: nn.Module, batch: int) -> None:
        self.model, self.batch, self.steps = model, batch, 0
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.x, self.y = torch.randn(batch, 3, 32, 32), torch.randint(0, 10, (batch,))
        self.log: Callable[[Any], object] = lambda _: None
        self.close: Callable[[], object] = lambda: None

    def record(self, kind: str, folder: Path, run: Any = None) -> None:
        """Record what follows, by a recorder of this kind; `run` is that of wandb."""
        self.log, self.close = lambda _: None, lambda: None
        if kind == "ours":
            recorder = Recorder(
                self.model, self.optimizer, folder, first_step=self.steps, batch_size=self.batch
            )
            self.log, self.close = lambda loss: recorder.log(loss_step=loss), recorder.close
        elif kind == "wandb.watch":
            run.watch(self.model, log="all", log_freq=50)
            self.log, self.close = (
                lambda loss: run.log({"loss": loss.item()}),
                lambda: run.unwatch(self.model),
            )

    def step(self) -> None:
        """Make one update, and log its loss."""
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        self.log(loss)


def wandb_run(kind: str, folder: Path) -> Any:
    """Return an offline run of wandb, None for another recorder."""
    if kind != "wandb.watch":
        return None
    import wandb

    return wandb.init(mode="offline", dir=str(folder), settings=wandb.Settings(silent=True))


def seconds(training: Training, steps: int) -> list[float]:
    """Return the CPU time of each of some steps."""
    clock = [time.process_time()]
    for _ in range(steps):
        training.step()
        clock.append(time.process_time())
    return [after - before for before, after in itertools.pairwise(clock)]


def times(kinds: list[str], steps: int, repeats: int, folder: Path) -> dict[str, list[list[float]]]:
    """Return the seconds of each step of each block; recorders take turns, in an order that turns around."""
    training = Training(model_of(), BATCH)
    runs = {kind: wandb_run(kind, _made(folder, kind)) for kind in kinds}
    found: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    seconds(training, 50)  # the dense records at the start are no part of the usual step
    for turn in range(repeats):
        for kind in kinds if turn % 2 else reversed(kinds):
            training.record(kind, folder / kind, runs[kind])
            found[kind].append(seconds(training, steps))
            training.close()
    for run in runs.values():
        if run is not None:
            run.finish()
    return found


def bytes_of(kind: str, steps: int) -> int:
    """Return what a run writes."""
    with tempfile.TemporaryDirectory() as folder:
        _recorded(kind, Path(folder), model_of(), 2, steps)
        return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def memory_of(kind: str) -> int:
    """Return how many bytes the largest resident memory grows while the wide model is made and trained."""
    with tempfile.TemporaryDirectory() as folder:
        _recorded(kind, _made(Path(folder), "small"), model_of(), 2, 60)  # loads what is loaded at first
        before = largest_resident()
        _recorded(kind, _made(Path(folder), kind), wide_model(), 4, WEIGHED)
        return largest_resident() - before


def _recorded(kind: str, folder: Path, model: nn.Module, batch: int, steps: int) -> None:
    training, run = Training(model, batch), wandb_run(kind, folder)
    training.record(kind, folder, run)
    seconds(training, steps)
    training.close()
    if run is not None:
        run.finish()


def largest_resident() -> int:
    """Return the most bytes that this process had resident; `ru_maxrss` would begin with those of its parent."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    line = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def _made(folder: Path, name: str) -> Path:
    (folder / name).mkdir(parents=True)
    return folder / name


def in_a_process(what: str, kind: str, steps: int) -> int:
    """Return what `bytes_of` or `memory_of` finds in a process of its own."""
    line = [sys.executable, __file__, "--one", what, kind, "--long", str(steps)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=50, help="steps of a block")
    parser.add_argument("--repeats", type=int, default=40, help="blocks of each kind")
    parser.add_argument("--long", type=int, default=10_000, help="steps of the run whose bytes are counted")
    parser.add_argument("--only", nargs="+", default=KINDS, choices=KINDS, help="recorders that are measured")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one:
        what, kind = options.one
        print(bytes_of(kind, options.long) if what == "bytes" else memory_of(kind))
        return
    kinds = [kind for kind in KINDS if kind in ("none", *options.only)]
    if not importlib.util.find_spec("wandb"):
        kinds = [kind for kind in kinds if kind != "wandb.watch"]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, one thread; {versions()}")
    tell_time(kinds[1:], options.steps, options.repeats)
    tell_memory(kinds)
    tell_bytes(kinds[1:], options.long)


def tell_time(kinds: list[str], steps: int, repeats: int) -> None:
    print(
        f"\nstep time: CNN of 0.5 M weights, batches of {BATCH}, {repeats} blocks of {steps} steps with and without"
    )
    print(f"{'':<12} {'CPU ms':>8} {'without':>8} {'overhead':>9}  of neighbors: median, quartiles")
    for kind in kinds:  # by turns, for what one leaves to a process of its own would slow the next down
        with tempfile.TemporaryDirectory() as folder:
            found = times(["none", kind], steps, repeats, Path(folder))
        with_it, without = (
            sum(quantiles(place)[0] for place in zip(*found[one], strict=True)) for one in (kind, "none")
        )
        blocks = zip(map(sum, found[kind]), map(sum, found["none"]), strict=True)
        low, middle, high = quantiles([a / b - 1 for a, b in blocks])
        each = [f"{1000 * one / steps:>8.2f}" for one in (with_it, without)]
        ratio = f"{with_it / without - 1:>+9.2%}  {middle:+.1%}, {low:+.1%} to {high:+.1%}"
        print(f"{kind:<12} {' '.join(each)} {ratio}", flush=True)


def tell_memory(kinds: list[str]) -> None:
    weights = sum(p.numel() * p.element_size() for p in wide_model().parameters())
    grown = {kind: median(in_a_process("memory", kind, 0) for _ in range(RUNS)) for kind in kinds}
    plain = grown["none"]
    print(
        f"\nmemory: {weights / 1e6:.0f} MB of weights, {WEIGHED} steps, median of {RUNS}; {plain / 1e6:.0f} MB without"
    )
    for kind in kinds[1:]:
        more = grown[kind] - plain
        share = f"{more / weights:>+8.1%} of the weights, {more / plain:+.1%} of all"
        print(f"{kind:<12} {more / 1e6:>+8.1f} MB {share}", flush=True)


def tell_bytes(kinds: list[str], steps: int) -> None:
    print(f"\nbytes: {steps:,} steps", flush=True)
    for kind in kinds:
        print(f"{kind:<12} {in_a_process('bytes', kind, steps) / 1e6:>8.2f} MB", flush=True)


def versions() -> str:
    names = [name for name in ("torch", "wandb") if importlib.util.find_spec(name)]
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)


if __name__ == "__main__":
    main()

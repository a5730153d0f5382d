"""How many runs a second are scanned, in one process, in several and on a Ray cluster, and in how much memory.

    python benchmarks/fleet.py [--runs 10000] [--jobs 2] [--engines serial processes ray] [--keep FOLDER]

Small runs of a sweep are made first, event files of four curves and 60 epochs, 20 to a folder, which is not timed.
Each engine then runs `plateau-doctor analyze FOLDER --format jsonl` by itself, on a tenth of the runs and on all of
them: seconds by the wall, and the largest sum of the resident memory of the process and its children, looked at
twenty times a second. Their answers must be the same to the byte.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plateau_doctor.recorders.events import EventWriter

ROOT = Path(__file__).parent.parent
EPOCHS, TOGETHER = 60, 20
RATES = (0.001, 0.01, 0.1, 0.3)
OPTIONS = {"serial": (), "processes": ("--jobs", "{jobs}"), "ray": ("--runner", "ray", "--jobs", "{jobs}")}
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Told:
    """What one scan took: seconds, and the most memory of all its processes, and of its first one, in MiB."""

    seconds: float
    memory: float
    first: float
    digest: str


def made(folder: Path, runs: int) -> Path:
    """Write small runs of sweeps of a learning rate: high ones get stuck."""
    for number in range(runs):
        rng = np.random.default_rng(number)
        rate = RATES[number % len(RATES)]
        name = f"sweep{number // TOGETHER:05d}/lr{rate}_seed{number // len(RATES) % 5}"
        writer = EventWriter(folder / name, "events.out.tfevents.1.host", clock=lambda: 1e9)
        epochs = np.arange(EPOCHS)
        noise = 0.1 if rate >= 0.1 else 0.02
        loss = (1.0 if rate >= 0.1 else 0.3) + 2 * np.exp(-epochs / 5) + rng.normal(0, noise, EPOCHS)
        held_out = loss + 0.1 + rng.normal(0, 0.02, EPOCHS)
        for epoch in range(EPOCHS):
            values = {
                "train_loss": loss[epoch],
                "val_loss": held_out[epoch],
                "val_accuracy": 1 - held_out[epoch] / 4,
            }
            writer.write(
                epoch, {**{tag: float(value) for tag, value in values.items()}, "learning_rate": rate}
            )
        writer.close()
    return folder


def scanned(folder: Path, engine: str, jobs: int) -> Told:
    """Scan a folder in a process of its own."""
    options = [option.format(jobs=jobs) for option in OPTIONS[engine]]
    command = [sys.executable, "-m", "plateau_doctor", "analyze", str(folder), "--format", "jsonl", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd=folder
    ) as child:
        watch = Watch(child.pid)
        answer = hashlib.sha256()
        while piece := child.stdout.read(1 << 16):  # type: ignore[union-attr]  # it is a pipe
            answer.update(piece)
        seconds = time.perf_counter() - began
        watch.ended.set()
    if child.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}: exit code {child.returncode}")
    return Told(seconds, watch.most / 2**20, watch.first / 2**20, answer.hexdigest())


class Watch(threading.Thread):
    """Looks at the resident memory of a process and of all below it, until it has ended."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.most, self.first, self.ended = pid, 0, 0, threading.Event()
        self.start()

    def run(self) -> None:
        """Keep the most that was seen."""
        while not self.ended.wait(0.05):
            self.most = max(self.most, sum(map(resident, family(self.pid))))
            self.first = max(self.first, resident(self.pid))


def family(pid: int) -> list[int]:
    """Return a process and all below it."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:  # it has ended meanwhile
                continue
    return found


def resident(pid: int) -> int:
    """Return the bytes of a process that are in memory; what it shares with others counts for each."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--engines", nargs="+", choices=list(OPTIONS), default=list(OPTIONS))
    parser.add_argument("--keep", type=Path, help="Folder for the runs; made where it is not there.")
    given = parser.parse_args()
    home = given.keep or Path(tempfile.mkdtemp(prefix="fleet-"))
    print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {given.jobs} processes, {EPOCHS} epochs a run"
    )
    print(f"{'engine':<10} {'runs':>7} {'seconds':>8} {'runs/s':>7} {'all MiB':>8} {'first MiB':>9}")
    for runs in (given.runs // 10, given.runs):
        folder = home / str(runs)
        if not folder.is_dir():
            made(folder, runs)
        digests = set()
        for engine in given.engines:
            told = scanned(folder, engine, given.jobs)
            digests.add(told.digest)
            rate = runs / told.seconds
            row = f"{engine:<10} {runs:>7,} {told.seconds:>8.1f} {rate:>7.1f} {told.memory:>8.0f} {told.first:>9.0f}"
            print(row, flush=True)
        if len(digests) > 1:
            raise SystemExit("the engines do not agree")
    print("all engines gave the same bytes")
    if given.keep is None:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()

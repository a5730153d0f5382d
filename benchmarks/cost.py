"""What a diagnosis costs, against what it may cost.

    python benchmarks/cost.py [--runs 10000] [--jobs 2] [--profile]

Two measures. One run of 100,000 points (five series of 20,000 steps, in memory): CPU time of facts and rules, median
of several, once the package is warm; at most 30 ms. Many runs of 50 epochs and five series each, as CSV files in a
temporary folder: wall time on two cores from the first file opened to the last diagnosis; at most 60 s for 10,000.
With `--profile` also where the time of the first goes.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from plateau_doctor.diagnosis import diagnose
from plateau_doctor.examination import analyze, load_rules
from plateau_doctor.facts import Facts
from plateau_doctor.run import Run, scalar_frame

POINTS, EPOCHS, AT_ONCE = 20_000, 50, 500
ONE_RUN, MANY_RUNS = 0.030, 60.0 / 10_000  # seconds
SERIES = {
    "train/loss": "train_loss",
    "val/loss": "val_loss",
    "train/accuracy": "train_metric",
    "val/accuracy": "val_metric",
    "lr": "learning_rate",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    print(f"{'what':52s} {'measured':>10s} {'at most':>10s}")
    _row("one run of 100,000 points, facts and rules, CPU", one_run(args.profile), ONE_RUN)
    seconds, cpu = many_runs(args.runs, args.jobs)
    what = f"{args.runs:,} runs of 50 epochs on {args.jobs} cores"
    _row(f"{what}, wall", seconds, MANY_RUNS * args.runs)
    _row(f"{what}, CPU of all", cpu, 2 * MANY_RUNS * args.runs)


def _row(what: str, seconds: float, most: float) -> None:
    def shown(s: float) -> str:
        return f"{1000 * s:8.1f} ms" if s < 1 else f"{s:9.1f} s"

    print(f"{what:52s} {shown(seconds)} {shown(most)}{'' if seconds <= most else '  MISSED'}")


def one_run(profile: bool) -> float:
    """Return the median CPU seconds of facts and rules for a run of 100,000 points."""
    run, rules = a_run(POINTS), load_rules()
    diagnose(Facts(run), rules)
    times = []
    for _ in range(9):
        began = time.process_time()
        diagnose(Facts(run), rules)
        times.append(time.process_time() - began)
    if profile:
        with cProfile.Profile() as watch:
            diagnose(Facts(run), rules)
        pstats.Stats(watch).sort_stats("cumulative").print_stats(45)
    return float(np.median(times))


def many_runs(number: int, jobs: int) -> tuple[float, float]:
    """Return wall and CPU seconds of reading and examining so many CSV files of 50 epochs."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i // 100:04d}" / f"run{i:06d}.csv" for i in range(number)]
        for i, path in enumerate(paths):
            path.parent.mkdir(exist_ok=True)
            path.write_text(a_csv(i), encoding="utf-8")
        parts = [paths[i : i + AT_ONCE] for i in range(0, number, AT_ONCE)]
        began = time.perf_counter()
        with ProcessPoolExecutor(jobs) as pool:
            spent = sum(pool.map(_examine, parts))
        return time.perf_counter() - began, spent


def _examine(paths: Sequence[Path]) -> float:
    began = time.process_time()
    found = analyze(paths)
    assert len(found.runs) == len(paths), f"{len(found.runs)} runs of {len(paths)} files"
    return time.process_time() - began


def series(n: int, seed: int) -> dict[str, np.ndarray]:
    """Return five series of n points each, of a run that learns and then overfits a little."""
    rng = np.random.default_rng(seed)
    at = np.linspace(0, 1, n)
    loss = 0.3 + 2.0 * np.exp(-rng.uniform(3, 12) * at)
    return {
        "train/loss": loss + 0.02 * rng.standard_normal(n),
        "val/loss": loss + 0.1 + 0.3 * at**2 + 0.02 * rng.standard_normal(n),
        "train/accuracy": 1 - loss / 2.5 + 0.01 * rng.standard_normal(n),
        "val/accuracy": 0.95 - loss / 2.5 + 0.01 * rng.standard_normal(n),
        "lr": 0.05 * (1 + np.cos(np.pi * at)),
    }


def a_run(n: int) -> Run:
    """Return a run in memory with five series of n points."""
    rows = [
        {"tag": tag, "role": SERIES[tag], "step": float(i), "value": float(value)}
        for tag, values in series(n, 0).items()
        for i, value in enumerate(values)
    ]
    return Run("run", "run", "made", scalar_frame(rows), settings={"classes": 10.0, "optimizer": "sgd"})


def a_csv(seed: int) -> str:
    """Return a CSV of 50 epochs with five series."""
    columns = series(EPOCHS, seed)
    lines = [",".join(["epoch", *columns])]
    lines += [
        ",".join([str(i + 1), *(f"{v:.6f}" for v in row)])
        for i, row in enumerate(zip(*columns.values(), strict=True))
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

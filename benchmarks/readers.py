"""Times the readers against others, on the same files, in one run.

    python benchmarks/readers.py [--size full] [--rivals PYTHON] [--keep FOLDER]

Files are made first, and that is not timed. Each figure is CPU time, user and system, from the file to pandas frames,
with every payload's checksum checked; the best of several readings, each reader in a process of its own. PYTHON is
that of an environment without TensorFlow, which TensorBoard would import where it is, with

    pip install tensorboard pandas tbparse tensorboard-data-server grpcio google-crc32c

and what this package needs; a rival that is not installed there is told to be missing. `--size small` takes a minute
and shows that everything works; only the figures of `full` mean something.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from rivals import event_logs

ROOT = Path(__file__).parent.parent
TIMES = 7  # readings by us, of which the best counts
SLOW = frozenset({"EventAccumulator", "tbparse", "one by one"})  # read once, with more than 10,000 rows


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    scalars: int
    runs: int
    run_points: int
    legacy: int
    tf2: int
    images: int
    lengths: tuple[int, ...]
    tags: int
    files: int
    csv_rows: int


FULL = Sizes(
    1_000_000,
    200,
    5_000,
    9_500,
    60_000,
    158_000_000,
    (10_000, 100_000, 1_000_000, 10_000_000),
    20_000,
    2_000,
    500_000,
)
SMALL = Sizes(20_000, 10, 1_000, 500, 2_000, 8_000_000, (10_000, 20_000), 500, 50, 10_000)


class Bench:
    """The files, and the environment of the rivals."""

    def __init__(self, folder: Path, python: Path, sizes: Sizes) -> None:
        self.folder, self.python, self.sizes = folder, python, sizes
        self.scalars = self._file("scalars", lambda: event_logs.scalars(sizes.scalars))
        self.warm = self._file("warm", lambda: event_logs.scalars(500))
        self.legacy = self._file("legacy", lambda: event_logs.legacy_histograms(sizes.legacy))
        self.tf2 = self._file("tf2", lambda: event_logs.tf2_histograms(sizes.tf2))
        self.images = self._file("images", lambda: event_logs.images(sizes.images))
        self.tags = self._file("tags", lambda: event_logs.many_tags(sizes.tags, 10))
        self.runs = folder / "runs"
        for i in range(sizes.runs):
            self._file(f"runs/run{i:03d}", lambda seed=i: event_logs.scalars(sizes.run_points, seed))  # type: ignore[misc]

    def _file(self, name: str, make: Callable[[], object]) -> Path:
        path = self.folder / name / "events.out.tfevents.1"
        if not path.exists():
            event_logs.write(path, make())  # type: ignore[arg-type]
        return path.parent

    def length(self, rows: int) -> Path:
        """Return a folder of one run of so many rows."""
        return self._file(f"length{rows}", lambda: event_logs.scalars(rows))

    def pieces(self, points: int, apart: bool) -> Path:
        """Return a folder of as many files, each of one run of its own or all of one run."""
        home = self.folder / f"pieces{points}{'-apart' if apart else ''}"
        for i in range(self.sizes.files):
            path = home / (f"run{i:04d}" if apart else "") / f"events.out.tfevents.{1_700_000_000 + i}"
            if not path.exists():
                first = 0 if apart else i * points // len(event_logs.TAGS)
                event_logs.write(path, event_logs.scalars(points, i, first=first))
        return home

    @cache  # noqa: B019
    def ask(self, reader: str, kind: str, path: Path, times: int) -> dict[str, list[float]]:
        """Return what `rivals/reading.py` says."""
        given = [reader, kind, str(path), str(times), str(self.warm)]
        script = str(ROOT / "benchmarks" / "rivals" / "reading.py")
        settings = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        done = subprocess.run(
            [self.python, script, *given], capture_output=True, text=True, env=settings, check=False
        )
        if done.returncode:
            raise SystemExit(f"{reader} failed on {path}:\n{done.stderr[-2000:]}")
        answer: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def ours(self, kind: str, path: Path, rows: int = 0) -> float:
        """Return our CPU time; of a few `rows` it is read as many times as a million rows take."""
        times = max(TIMES, TIMES * 1_000_000 // rows) if rows else TIMES
        return min(self.ask("ours", kind, path, times)["seconds"])


def compare(
    bench: Bench, what: str, reader: str, kind: str, path: Path, least: float, aim: float | None
) -> None:
    """Print one row of the table: a rival's CPU time, ours, and the ratio."""
    found = bench.ask(reader, kind, path, 1 if reader in SLOW else 5)
    if "missing" in found:
        print(f"{what:58} {found['missing']} is not installed")
        return
    mine = bench.ask("ours", kind, path, TIMES)
    if reader != "bytes" and found["rows"] != mine["rows"]:
        what = f"{what} ({found['rows']:,} rows of {mine['rows']:,})"
    _row(what, min(found["seconds"]), min(mine["seconds"]), least, aim)
    if "loads" in found:
        _row("  its load alone", min(found["loads"]), min(mine["seconds"]), least / 2, aim and aim / 2)


def _row(what: str, theirs: float, mine: float, least: float, aim: float | None) -> None:
    ratio = theirs / mine
    mark = "  MISSED" if ratio < least else "  aim missed" if aim and ratio < aim else ""
    aimed = f"{aim:6.0f}x" if aim else " " * 7
    print(f"{what:58} {theirs:9.3f} {mine:8.3f} {ratio:8.1f}x {least:6.0f}x {aimed}{mark}", flush=True)


def rivals(bench: Bench) -> None:
    print(f"{'against':58} {'theirs, s':>9} {'ours, s':>8} {'ratio':>9} {'least':>7} {'aim':>7}")
    sizes = bench.sizes
    one, many = f"{sizes.scalars:,} scalars", f"{sizes.runs} runs x {sizes.run_points:,}"
    for reader in ("EventAccumulator", "tbparse"):
        compare(bench, f"{reader}, {one}", reader, "scalars", bench.scalars, 70, 150)
        compare(bench, f"{reader}, {many}", reader, "scalars", bench.runs, 70, 150)
    compare(bench, f"a protobuf-upb loop to a frame, {one}", "protobuf", "scalars", bench.scalars, 10, 20)
    compare(bench, f"the Rust data server to frames, {one}", "data server", "scalars", bench.scalars, 4, 8)
    for name, path in (("legacy", bench.legacy), ("TF2", bench.tf2)):
        what = f"the Rust data server, {name} histograms, {_megabytes(path):.0f} MB"
        found = bench.ask("data server", "histograms", path, 5)
        if "missing" in found:
            print(f"{what:58} {found['missing']} is not installed")
        else:
            _row(what, min(found["seconds"]), bench.ours("histograms", path), 3, 6)
    what = f"EventAccumulator, {_megabytes(bench.images):.0f} MB mostly of images"
    compare(bench, what, "EventAccumulator", "scalars", bench.images, 300, None)


def limits(bench: Bench) -> None:
    print(f"\n{'ours':58} {'measured':>18} {'most':>8} {'aim':>7}")
    rows = bench.sizes.scalars
    bare = min(bench.ask("bytes", "scalars", bench.scalars, TIMES)["seconds"])
    mine = bench.ours("scalars", bench.scalars)
    _limit("reading the bytes and their CRC, in C", mine / bare, 20, 8, "x")
    peak, before = bench.ask("ours", "scalars", bench.scalars, 1)["memory"]
    _limit(
        f"peak memory above the imports' {before:.0f} MB, {rows:,} scalars", peak - before, 200, None, " MB"
    )
    per_row = mine / rows
    for length in bench.sizes.lengths:
        cost = bench.ours("scalars", bench.length(length), length) / length
        _limit(f"{length:,} rows: {1e9 * cost:.0f} ns a row, against {rows:,}", cost / per_row, 2, None, "x")
    cost = bench.ours("scalars", bench.tags) / (10 * bench.sizes.tags)
    _limit(f"{bench.sizes.tags:,} tags x 10: {1e9 * cost:.0f} ns a row", cost / per_row, 5, None, "x")
    for points, apart in ((100, False), (500, False), (500, True)):
        cost = bench.ours("scalars", bench.pieces(points, apart)) / (points * bench.sizes.files)
        what = f"{bench.sizes.files:,} {'runs' if apart else 'files of one run'} x {points}: {1e9 * cost:.0f} ns a row"
        _limit(what, cost / per_row, 5, None, "x")
    mine, bare = tables(bench.folder / "table" / "metrics.csv", bench.sizes.csv_rows)
    what = f"CSV of {_megabytes(bench.folder / 'table'):.0f} MB, {mine:.3f} s, against pandas.read_csv"
    _limit(what, mine / bare, 1.3, None, "x")


def _limit(what: str, measured: float, most: float, aim: float | None, unit: str) -> None:
    mark = "  MISSED" if measured > most else "  aim missed" if aim and measured > aim else ""
    aimed = f"{aim:6.0f}x" if aim else " " * 7
    print(f"{what:62} {measured:10.2f}{unit:3} {most:7.1f}{unit.strip():2}{aimed}{mark}", flush=True)


def tables(path: Path, rows: int) -> tuple[float, float]:
    """Return CPU seconds of reading a CSV file to a run, and of `pandas.read_csv`, the best of several each."""
    from plateau_doctor.readers import read

    path.parent.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "lr")
    columns = {"step": np.arange(rows)} | {name: rng.random(rows) for name in names}
    pd.DataFrame(columns).to_csv(path, index=False, float_format="%.8f")
    times: dict[str, list[float]] = {"ours": [], "pandas": []}
    for _ in range(5):
        for name, reader in (("pandas", pd.read_csv), ("ours", lambda path: list(read(path)))):
            began = time.process_time()
            reader(path)
            times[name].append(time.process_time() - began)
    return min(times["ours"]), min(times["pandas"])


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )
    return f"{os.cpu_count()} cores, {model}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--rivals", type=Path, default=Path(sys.executable))
    parser.add_argument(
        "--keep", type=Path, help="a folder to make the files in and leave them for the next time"
    )
    args = parser.parse_args()
    print(
        f"{_machine()}; Python {platform.python_version()}, numpy {version('numpy')}, pandas {version('pandas')}"
    )
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args.keep or Path(folder), args.rivals, FULL if args.size == "full" else SMALL)
        rivals(bench)
        limits(bench)


if __name__ == "__main__":
    main()

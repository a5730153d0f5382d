"""How long the pages of many runs take: the example runs, repeated until there are as many as are asked for.

python benchmarks/report.py [RUNS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from plateau_doctor import __version__, examination
from plateau_doctor.console import write_all
from plateau_doctor.report.files import files

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "logs"


def main(runs: int = 1000) -> None:
    found = examination.analyze([EXAMPLES], version=__version__, command="plateau-doctor analyze logs")
    copies = [
        replace(one, run=replace(one.run, name=f"{i:04d}/{one.run.name}"))
        for i in range(-(-runs // len(found.runs)))
        for one in found.runs
    ]
    many = replace(found, runs=tuple(copies[:runs]), families=())
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_all(files(many, "html", Path(folder) / "report.html"))
        seconds = time.perf_counter() - start
        pages = list(Path(folder).rglob("*.html"))
        index = (Path(folder) / "report.html").stat().st_size
        largest = max(page.stat().st_size for page in pages if page.name.startswith("run-"))
    print(f"{'runs':>6} {'pages':>6} {'seconds':>8} {'index, KiB':>11} {'largest page of a run, KiB':>27}")
    print(f"{runs:>6} {len(pages):>6} {seconds:>8.1f} {index / 1024:>11.0f} {largest / 1024:>27.0f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))

"""How long the pages of many runs take: the example runs, repeated until there are as many as are asked for.

    python benchmarks/report.py [RUNS]

Wall time, and the CPU time of all processes: divided by the cores, that is what a quiet machine takes. With
playwright and Chromium, how long the index takes to open as well, the median of five.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from plateau_doctor import __version__, examination
from plateau_doctor.console import write_report
from plateau_doctor.examination import Examination

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "logs"
OPENINGS = 5


def main(runs: int = 1000) -> None:
    many = _many(runs)
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "report.html"
        wall, cpu = _seconds(many, index)
        pages = list(Path(folder).rglob("*.html"))
        largest = max(page.stat().st_size for page in pages if page.name.startswith("run-"))
        opens = _opens(index)
        size = index.stat().st_size
    print(f"# {_machine()}")
    rows = {
        "runs": f"{runs:,}",
        "files": f"{len(pages):,}",
        "wall, s": f"{wall:.1f}",
        "CPU of all processes, s": f"{cpu:.1f}",
        "CPU / 2 cores, s": f"{cpu / 2:.1f}",
        "CPU a run, s": f"{cpu / runs:.3f}",
        "index, KiB": f"{size / 1024:.0f}",
        "largest page of a run, KiB": f"{largest / 1024:.0f}",
        "index opens in Chromium, s": "not measured" if opens is None else f"{opens:.2f}",
    }
    for name, value in rows.items():
        print(f"{name:<28}{value:>14}")


def _many(runs: int) -> Examination:
    found = examination.analyze([EXAMPLES], version=__version__, command="plateau-doctor analyze logs")
    copies = [
        replace(one, run=replace(one.run, name=f"{i:04d}/{one.run.name}"))
        for i in range(-(-runs // len(found.runs)))
        for one in found.runs
    ]
    return replace(found, runs=tuple(copies[:runs]), families=())


def _seconds(many: Examination, index: Path) -> tuple[float, float]:
    """Return the wall time of writing all pages, and the CPU time of this process and its workers."""
    from joblib.externals.loky import get_reusable_executor

    wall, before = time.perf_counter(), sum(os.times()[:4])
    write_report(many, "html", index)
    wall = time.perf_counter() - wall
    get_reusable_executor().shutdown(wait=True)  # the time of a worker is told when it has ended
    return wall, sum(os.times()[:4]) - before


def _opens(index: Path) -> float | None:
    """Return the median seconds until a page has loaded, None where there is no browser."""
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        return None
    sandbox = [] if os.getuid() else ["--no-sandbox"]  # as root Chromium has none
    took = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=sandbox)
        for _ in range(OPENINGS):
            page = browser.new_context(offline=True).new_page()
            page.goto(index.as_uri())
            took.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000)
        browser.close()
    return statistics.median(took)


def _machine() -> str:
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.exists() else []
    model = next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )
    names = ("altair", "vl-convert-python", "jinja2", "joblib", "pandas")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"{os.cpu_count()} cores, {model}; Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))

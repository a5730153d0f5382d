"""The options that say how many runs are scanned at a time and where, and the scan itself, with its progress bar."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from plateau_doctor.examination import RunExamination
    from plateau_doctor.runners.spread import Engine
    from plateau_doctor.scanning import How, Scan

__all__ = ["engine_of", "scan_options", "scanned"]

PATIENCE = 1.0  # seconds after which a scan is long enough for a bar
Command = TypeVar("Command", bound=Callable[..., Any])
Each = Callable[["RunExamination"], "RunExamination"]


def scan_options(command: Command) -> Command:
    """Give a command the options that say how many runs are scanned at a time and where."""
    for option in (
        click.option("--no-progress", is_flag=True, help="Show no bar while a long scan goes on."),
        click.option(
            "--resume",
            type=click.Path(dir_okay=False),
            metavar="FILE",
            help="Keep what is done in FILE; a scan that was stopped goes on from it. Made if it is not there.",
        ),
        click.option(
            "--runner-option",
            "runner_options",
            multiple=True,
            metavar="NAME=VALUE",
            help="address=HOST:PORT of a Ray or Dask cluster that runs.",
        ),
        click.option(
            "--runner",
            type=click.Choice(("local", "ray", "dask")),
            default="local",
            help="Where runs are scanned: processes here, or a cluster. Default: local.",
        ),
        click.option(
            "--jobs", type=click.IntRange(1), help="Processes. Default: 1, on a cluster one a core."
        ),
    ):
        command = option(command)
    return command


def engine_of(runner: str, jobs: int | None, pairs: Sequence[str]) -> Engine:
    """Return where runs are scanned."""
    from plateau_doctor.letters import UsageError
    from plateau_doctor.runners.spread import Engine

    options = {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
    unknown = sorted(set(options) - ({"address"} if runner != "local" else set()))
    if unknown:
        takes = "takes no options" if runner == "local" else "takes address"
        raise UsageError(f"--runner-option: --runner {runner} {takes}, not {', '.join(unknown)}")
    return Engine(runner, jobs, options.get("address"))  # type: ignore[arg-type]  # click has checked the name


def scanned(
    paths: Sequence[Path | str],
    how: How,
    engine: Engine,
    resume: str | None,
    bar: bool,
    each: Each,
    charts: bool = False,
) -> tuple[Scan, list[RunExamination], bool]:
    """Scan some paths.

    Args:
        paths: What the user named.
        how: What every run is examined by.
        engine: Where.
        resume: File of the journal.
        bar: Whether progress may be shown.
        each: What is made of each run as it comes.
        charts: Whether the runs are wanted with their curves.

    Returns:
        The scan, the runs, and whether Ctrl-C stopped it.
    """
    from plateau_doctor.readers.remote import absolute, all_at_hand
    from plateau_doctor.scanning import Journal, Scan

    runs: list[RunExamination] = []
    stopped = False
    with (
        Journal(Path(resume)) if resume else nullcontext() as journal,
        all_at_hand(paths) as places,
        _bar(bar) as seen,
    ):
        near = [place if engine.name == "local" else absolute(place) for place in places]
        scan = Scan(near, how, engine, journal, seen)
        with closing(scan.runs()) as found:
            try:
                for one in found:
                    runs.append(each(one))
            except KeyboardInterrupt:
                stopped = True
        return scan, list(scan.with_curves(runs)) if charts else runs, stopped


@contextmanager
def _bar(wanted: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Give what shows progress on stderr, from the second second on; nothing where that is no terminal."""
    if not wanted or not sys.stderr.isatty():
        yield lambda _what, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    task, began = progress.add_task("", total=None), time.monotonic()

    def seen(what: str, done: int, total: int) -> None:
        if time.monotonic() - began >= PATIENCE:
            progress.start()
            progress.update(task, description=what, completed=done, total=total)

    try:
        yield seen
    finally:
        progress.stop()

"""What is written to disk of a report: one file, but for HTML of many runs an index and a page a run beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from plateau_doctor.report import html, render
from plateau_doctor.report.index import ORDERS, Order, index_of, ordered, row_of
from plateau_doctor.report.page import MANY, Way, in_order
from plateau_doctor.report.sandbox import environment, letters
from plateau_doctor.report.stale import folder_of_pages
from plateau_doctor.report.words import unused_anchor

if TYPE_CHECKING:
    from plateau_doctor.examination import Examination

__all__ = ["files"]

INDEX = "index.html.jinja"
CHUNK = 20  # runs that a process renders at a time
WORTH_PROCESSES = 100  # runs; for fewer, starting processes takes longer than it saves
MOST_PROCESSES = 8


def files(
    examination: Examination, format: str, file: Path, templates: Path | None = None
) -> Iterator[tuple[Path, str]]:
    """Yield (path, text) of each file that a report consists of, the one that was asked for first.

    HTML of more than 25 runs is an index at `file`; `report.html` has its pages in the folder `report_runs`.

    Raises:
        UsageError: A template of one's own is wrong, or reaches for what the sandbox forbids.
    """
    if format != "html" or len(examination.runs) <= MANY:
        yield file, render(examination, format, templates=templates)
        return
    folder = folder_of_pages(file)
    yield from _indices(examination, file, folder, templates)
    for name, text in _pages(examination, file.name, templates):
        yield folder / name, text


def _indices(
    examination: Examination, file: Path, folder: Path, templates: Path | None
) -> Iterator[tuple[Path, str]]:
    """Yield the index in each order; the first is the file that was asked for, the others lie in the folder."""
    names = _names(examination)
    rows = [row_of(one, name) for one, name in zip(in_order(examination), names, strict=True)]
    inside = {order: f"by-{order.replace(' ', '-')}.html" for order in list(ORDERS)[1:]}
    template = environment(templates).get_template
    for order in ORDERS:
        first = order not in inside
        before, back = (
            (f"{quote(folder.name)}/", quote(file.name)) if first else ("", f"../{quote(file.name)}")
        )
        links = [
            Order(name, "" if name == order else before + inside[name] if name in inside else back)
            for name in ORDERS
        ]
        shown = index_of(examination, ordered(rows, order, before), links)
        with letters(templates):
            text = template(INDEX).render(vars(shown)) + "\n"
        yield file if first else folder / inside[order], text


def _names(examination: Examination) -> list[str]:
    """Return the file name of each run's page, in the order that the runs are listed in."""
    taken: set[str] = set()
    return [f"{unused_anchor(one.run.name, taken)}.html" for one in in_order(examination)]


def _pages(examination: Examination, index: str, templates: Path | None) -> Iterator[tuple[str, str]]:
    """Yield (name, page) of each run; many are rendered on all cores."""
    from joblib import Parallel, delayed

    names, runs = _names(examination), in_order(examination)
    tasks = []
    for rank, (name, one) in enumerate(zip(names, runs, strict=True)):
        way = Way(
            index=f"../{quote(index)}",
            before=names[rank - 1] if rank else "",
            after=names[rank + 1] if rank + 1 < len(names) else "",
            place=f"{rank + 1:,} of {len(names):,}",
        )
        tasks.append((name, _alone(examination, one.run.name), way))
    processes = min(os.cpu_count() or 1, MOST_PROCESSES) if len(tasks) >= WORTH_PROCESSES else 1
    chunks = (tasks[i : i + CHUNK] for i in range(0, len(tasks), CHUNK))
    rendered = Parallel(n_jobs=processes, return_as="generator")(
        delayed(_rendered)(chunk, templates) for chunk in chunks
    )
    for pages in rendered:
        yield from pages


def _rendered(tasks: Sequence[tuple[str, Examination, Way]], templates: Path | None) -> list[tuple[str, str]]:
    with letters(templates):
        return [(name, html.render(alone, templates, way)) for name, alone, way in tasks]


def _alone(examination: Examination, name: str) -> Examination:
    """Return what concerns one run: itself, its siblings and what was waived of it."""
    gate = examination.gate
    return replace(
        examination,
        runs=tuple(one for one in examination.runs if one.run.name == name),
        problems=(),
        families=tuple(f for f in examination.families if any(one.name == name for one in f.members)),
        gate=replace(
            gate,
            waivers=tuple(one for one in gate.waivers if one.run == name),
            lacks=tuple(one for one in gate.lacks if one.run == name),
        ),
    )

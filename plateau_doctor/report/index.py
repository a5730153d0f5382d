"""What the index of many runs shows: a row a run, with a sketch of its curve and a link to its page.

These dataclasses are the whole context of `index.html.jinja`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from plateau_doctor.plateau import Plateau, State
from plateau_doctor.report.charts import sparkline
from plateau_doctor.report.page import MOST_FAMILIES, MOST_PROBLEMS, answer
from plateau_doctor.report.siblings import families_say
from plateau_doctor.report.words import (
    Standing,
    cause_of,
    confidence,
    counted,
    gate_says,
    last_plateau,
    standing,
    summary,
)
from plateau_doctor.series import primary_curve

if TYPE_CHECKING:
    from plateau_doctor.examination import Examination, RunExamination
    from plateau_doctor.run import Problem

__all__ = ["ORDERS", "Index", "Order", "Row", "index_of", "ordered", "row_of"]

SPARK_POINTS = 24


@dataclass(frozen=True)
class Row:
    """One run in the index.

    Attributes:
        href: Its page, relative to the index.
        name: Its name.
        state: Its state.
        standing: As in `page.Section`.
        spark: Path of a small sketch of the primary curve; empty where there is none.
        since: The flat stretch it ends in, None where it does not.
        tag: Of the primary curve, empty without one.
        end: Its last value, None without one.
        rank: The same, smaller is better; what the order by end values goes by.
        cause: The likeliest cause, or what stands in its place.
        sure: How sure, empty without a cause.
    """

    href: str
    name: str
    state: State
    standing: Standing
    spark: str
    since: Plateau | None
    tag: str
    end: float | None
    rank: float
    cause: str
    sure: str


@dataclass(frozen=True)
class Order:
    """One order of the rows: its name, and the page that has it; no page for the order that is shown."""

    name: str
    href: str


ORDERS: Mapping[str, Callable[[Row], Any]] = {
    "attention": lambda _: 0,  # the order that the rows come in
    "name": lambda row: row.name,
    "state": lambda row: (row.state, row.name),
    "cause": lambda row: (row.cause == "", row.cause, row.name),
    "end value": lambda row: (row.tag == "", row.tag, row.rank, row.name),
}


@dataclass(frozen=True)
class Index:
    """The whole index.

    Attributes:
        title: Of the window.
        answer: The first line that is read.
        summary: The counts.
        gate: What does not count, and what was required and is missing, as counts.
        siblings: What runs that are siblings say of each other, at most 50 sentences.
        causes: (cause, number of runs it is the likeliest of), the most frequent first.
        orders: The orders there are.
        rows: One a run.
        problems: Files that could not be read, at most 50.
        more_problems: How many more there are.
        version: Of plateau-doctor.
        command: The command line that made the page.
    """

    title: str
    answer: str
    summary: str
    gate: tuple[str, ...]
    siblings: tuple[str, ...]
    causes: tuple[tuple[str, int], ...]
    orders: tuple[Order, ...]
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]
    more_problems: int
    version: str
    command: str


def index_of(examination: Examination, rows: Sequence[Row], orders: Sequence[Order]) -> Index:
    """Return everything that the index shows."""
    causes = Counter(row.cause for row in rows if row.sure)
    return Index(
        title=f"{counted(len(rows), 'run')} - plateau-doctor",
        answer=answer(examination.runs),
        summary=summary(examination),
        gate=tuple(gate_says(examination.gate)),
        siblings=families_say(examination)[:MOST_FAMILIES],
        causes=tuple(sorted(causes.items(), key=lambda pair: (-pair[1], pair[0]))),
        orders=tuple(orders),
        rows=tuple(rows),
        problems=examination.problems[:MOST_PROBLEMS],
        more_problems=max(0, len(examination.problems) - MOST_PROBLEMS),
        version=examination.version,
        command=examination.command,
    )


def row_of(one: RunExamination, href: str) -> Row:
    """Return a run's row."""
    curve = primary_curve(one.run)
    end = None if curve is None or not len(curve.values) else float(curve.values[-1])
    return Row(
        href=href,
        name=one.run.name,
        state=one.state,
        standing=standing(one),
        spark="" if curve is None else sparkline(curve.values, most=SPARK_POINTS),
        since=last_plateau(one),
        tag="" if curve is None else curve.tag,
        end=end,
        rank=0.0 if curve is None or end is None else curve.sign * end,
        cause=cause_of(one),
        sure=confidence(one.diagnoses[0]) if one.diagnoses else "",
    )


def ordered(rows: Sequence[Row], order: str, before: str = "") -> list[Row]:
    """Return the rows in an order, with `before` before each link."""
    return [replace(row, href=before + row.href) for row in sorted(rows, key=ORDERS[order])]

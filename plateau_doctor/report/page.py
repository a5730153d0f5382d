"""What the HTML template sees: a Page of Sections, one for each run, in the order they are read.

These dataclasses are the template's whole context; a template of one's own is written against them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plateau_doctor.facts import Logged
from plateau_doctor.plateau import Plateau, State
from plateau_doctor.report.charts import Chart, sparkline
from plateau_doctor.report.siblings import families_say
from plateau_doctor.report.tried import Tried, charts_of, trial_charts, tried_of
from plateau_doctor.report.words import (
    BLIND,
    Standing,
    cause_of,
    counted,
    fixes_of,
    framework_of,
    gate_says,
    gravity,
    grouped,
    last_plateau,
    run_labels,
    sentence,
    standing,
    summary,
    unused_anchor,
)

if TYPE_CHECKING:
    from plateau_doctor.diagnosis import Diagnosis
    from plateau_doctor.examination import Examination, RunExamination
    from plateau_doctor.fix import Fix
    from plateau_doctor.run import Problem

__all__ = [
    "MANY",
    "Finding",
    "Page",
    "Section",
    "Unlogged",
    "Way",
    "answer",
    "in_order",
    "page_of",
]

MANY = 25  # runs from which on the healthy ones are folded and lose their charts
MOST_CHARTED = 40  # runs with charts on one page, about 60 KB each
MOST_PROBLEMS = MOST_FAMILIES = 50
ORDER: Sequence[Standing] = ("sick", "undetermined", "noted", "not judged", "fine")


@dataclass(frozen=True)
class Finding:
    """A cause that is named, and what mends it."""

    diagnosis: Diagnosis
    fixes: tuple[Fix, ...]


@dataclass(frozen=True)
class Unlogged:
    """Logs that one line would write, what they would decide, and that line."""

    logs: str
    would_decide: tuple[str, ...]
    how: str


@dataclass(frozen=True)
class Section:
    """One run on the page.

    Attributes:
        anchor: Its permanent link within the page.
        name: Its name.
        label: Its name without the folders and files that the names of all runs on the page share.
        source: Where it was read from.
        format: In which format.
        state: Its state.
        standing: `sick`, `undetermined`, `not judged` or `fine`.
        headline: The answer in one sentence.
        since: The flat stretch it ends in, None where it does not.
        cause: The likeliest cause, or what stands in its place.
        spark: Path of a small sketch of the primary curve; empty where there is none.
        charts: Its charts; empty where the page has too many runs.
        findings: Causes named, the likeliest first, each with its fixes.
        framework: `keras` or `torch`, for the code that is shown first.
        unlogged: What was not logged.
        alike: Look-alikes that are not named.
        advice: What to check when no log can tell; empty where a cause is named.
        checked: What was looked at in a healthy run.
        plateaus: Every flat stretch.
        settings: Hyper-parameters, by name.
        problems: What could not be read, at most 50.
        more_problems: How many more there are.
        drawn: Points drawn.
        points: Points there are of the drawn curves.
        folded: Shown folded, because the page has many runs.
        tried: What trials of its fixes came to, None without trials.
        trial_charts: Curves of control and treated, one chart a fix.
    """

    anchor: str
    name: str
    label: str
    source: str
    format: str
    state: State
    standing: Standing
    headline: str
    since: Plateau | None
    cause: str
    spark: str
    charts: tuple[Chart, ...]
    findings: tuple[Finding, ...]
    framework: str
    unlogged: tuple[Unlogged, ...]
    alike: tuple[str, ...]
    advice: str
    checked: tuple[str, ...]
    plateaus: tuple[Plateau, ...]
    settings: tuple[tuple[str, float | str | bool], ...]
    problems: tuple[Problem, ...]
    more_problems: int
    drawn: int
    points: int
    folded: bool
    tried: Tried | None
    trial_charts: tuple[Chart, ...]


@dataclass(frozen=True)
class Way:
    """Where the page of one run among many leads to: relative links, empty where there is none.

    Attributes:
        index: The list of all runs.
        before: The run before it there.
        after: The run after it.
        place: As `3 of 1,000`.
    """

    index: str
    before: str
    after: str
    place: str


@dataclass(frozen=True)
class Page:
    """The whole page.

    Attributes:
        title: Of the window.
        answer: The first line that is read.
        summary: The counts.
        gate: What does not count, and what was required and is missing, as counts.
        siblings: What runs that are siblings say of each other, one sentence or two a family, at most 50.
        sections: One for each run, those that need attention first, and the gravest of them.
        problems: Files that could not be read, at most 50.
        more_problems: How many more there are.
        version: Of plateau-doctor.
        command: The command line that made the page.
        drawn: Points drawn on the page.
        points: Points there are of the drawn curves.
        uncharted: Runs whose charts were left out to keep the page small.
        script_hash: What the content security policy allows to run.
        way: To the other runs, None for a page that stands alone.
    """

    title: str
    answer: str
    summary: str
    gate: tuple[str, ...]
    siblings: tuple[str, ...]
    sections: tuple[Section, ...]
    problems: tuple[Problem, ...]
    more_problems: int
    version: str
    command: str
    drawn: int
    points: int
    uncharted: int
    script_hash: str
    way: Way | None


def in_order(examination: Examination) -> list[RunExamination]:
    """Return the runs, those that need attention first, and the gravest of them."""
    return sorted(examination.runs, key=lambda one: (ORDER.index(standing(one)), -gravity(one), one.run.name))


def page_of(examination: Examination, script_hash: str = "", way: Way | None = None) -> Page:
    """Return everything that the page shows."""
    runs = in_order(examination)
    many = len(runs) > MANY
    taken: set[str] = set()
    sections = []
    labels = run_labels([one.run.name for one in runs])
    for rank, (one, label) in enumerate(zip(runs, labels, strict=True)):
        folded = many and standing(one) in ("fine", "noted", "not judged")
        charted = not folded and rank < MOST_CHARTED
        sections.append(_section(one, label, examination.fixes, taken, folded, charted))
    uncharted = sum(not section.charts for section in sections) if many else 0
    return Page(
        title=f"{runs[0].run.name if len(runs) == 1 else counted(len(runs), 'run')} - plateau-doctor",
        answer=answer(runs),
        summary=summary(examination),
        gate=tuple(gate_says(examination.gate)),
        siblings=families_say(examination)[:MOST_FAMILIES],
        sections=tuple(sections),
        problems=examination.problems[:MOST_PROBLEMS],
        more_problems=max(0, len(examination.problems) - MOST_PROBLEMS),
        version=examination.version,
        command=examination.command,
        drawn=sum(section.drawn for section in sections),
        points=sum(section.points for section in sections),
        uncharted=uncharted,
        script_hash=script_hash,
        way=way,
    )


def answer(runs: Sequence[RunExamination]) -> str:
    """Return the first line that is read."""
    if not runs:
        return "No training run was found"
    if len(runs) == 1:
        return sentence(runs[0]).removesuffix(".")
    found = [standing(one) for one in runs]
    ailing, unjudged = sum(kind in ("sick", "undetermined") for kind in found), found.count("not judged")
    if not ailing and unjudged == len(runs):
        return f"None of {len(runs)} runs could be judged"
    if not ailing:
        rest = f"; {unjudged} could not be judged" if unjudged else ""
        return f"Nothing wrong was found in {counted(len(runs) - unjudged, 'run')}{rest}"
    return f"{ailing} of {len(runs)} runs {'needs' if ailing == 1 else 'need'} attention"


def _section(
    one: RunExamination, label: str, fixes: Mapping[str, Fix], taken: set[str], folded: bool, charted: bool
) -> Section:
    logged = Logged(one.run)
    charts = charts_of(one) if charted else ()
    of_trials = trial_charts(one) if charted else ()
    curve = logged.primary
    return Section(
        anchor=unused_anchor(one.run.name, taken),
        name=one.run.name,
        label=label,
        source=one.run.source,
        format=one.run.format,
        state=one.state,
        standing=standing(one),
        headline=sentence(one),
        since=last_plateau(one),
        cause=cause_of(one),
        spark="" if curve is None else sparkline(curve.values),
        charts=charts,
        findings=tuple(Finding(diagnosis, fixes_of(diagnosis, fixes)) for diagnosis in one.diagnoses),
        framework=framework_of(one),
        unlogged=_unlogged(one),
        alike=_alike(one),
        advice=BLIND if standing(one) == "undetermined" else "",
        checked=one.checked,
        plateaus=one.plateaus,
        settings=tuple((str(key), value) for key, value in one.log.settings.items()),
        problems=one.run.problems[:MOST_PROBLEMS],
        more_problems=max(0, len(one.run.problems) - MOST_PROBLEMS),
        drawn=sum(chart.drawn for chart in (*charts, *of_trials)),
        points=sum(chart.points for chart in (*charts, *of_trials)),
        folded=folded,
        tried=tried_of(one, fixes) if one.trials else None,
        trial_charts=of_trials,
    )


def _unlogged(one: RunExamination) -> tuple[Unlogged, ...]:
    groups = []
    for logs, how in grouped(one.missing):
        causes = dict.fromkeys(cause for m in one.missing if m.how == how for cause in m.would_decide)
        groups.append(Unlogged(logs, tuple(causes), how))
    return tuple(groups)


def _alike(one: RunExamination) -> tuple[str, ...]:
    named = {diagnosis.cause for diagnosis in one.diagnoses}
    left = one.diagnoses[0].confused_with if one.diagnoses else one.undetermined or ()
    return tuple(cause for cause in left if cause not in named)

"""What the HTML template sees of trials: verdicts, arms, curves of control and treated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plateau_doctor.facts import Logged
from plateau_doctor.report.charts import Chart, curve_charts, trial_chart
from plateau_doctor.report.heat import heat_charts
from plateau_doctor.report.trials import arms_table, control_says, silence_says, verdict_says

if TYPE_CHECKING:
    from plateau_doctor.examination import RunExamination
    from plateau_doctor.fix import Fix
    from plateau_doctor.run import Run

__all__ = ["Tried", "charts_of", "trial_charts", "tried_of"]


@dataclass(frozen=True)
class Tried:
    """What the trials of a run's fixes came to.

    Attributes:
        verdicts: (kind, sentence) of each fix, in the order settled.
        heads: Of the table of arms.
        arms: Its rows.
        signs: What became of the signs that accused a cause.
        notes: Arms that did not train, and fixes that were not tried, and why.
        change: The fix that was confirmed, None where none was.
    """

    verdicts: tuple[tuple[str, str], ...]
    heads: tuple[str, ...]
    arms: tuple[tuple[str, ...], ...]
    signs: tuple[str, ...]
    notes: tuple[str, ...]
    change: Fix | None


def charts_of(one: RunExamination) -> tuple[Chart, ...]:
    """Return the charts of a run's page; the title of one that only a control recorded says so."""
    every = _charts(one.run, one)
    if one.by_log is None:
        return every
    own = {chart.title: chart for chart in _charts(one.log, one)}
    return tuple(own.get(c.title) or replace(c, title=f"{c.title}, recorded by the control") for c in every)


def _charts(run: Run, one: RunExamination) -> tuple[Chart, ...]:
    logged = Logged(run)
    return (*curve_charts(logged, one.plateaus), *heat_charts(logged))


def trial_charts(one: RunExamination) -> tuple[Chart, ...]:
    """Return the curves of control and treated, one chart a fix."""
    runs = {
        fix: [Logged(t.run) for t in one.trials if t.fix == fix and t.run is not None]
        for fix in _fixes_tried(one)
    }
    control = [Logged(trial.run) for trial in one.trials if trial.fix is None and trial.run is not None]
    charts = (trial_chart(fix, control, treated) for fix, treated in runs.items())
    return tuple(chart for chart in charts if chart is not None)


def _fixes_tried(one: RunExamination) -> list[str]:
    return [verdict.fix for verdict in one.verdicts]


def tried_of(one: RunExamination, fixes: Mapping[str, Fix]) -> Tried:
    """Return what the trials of a run came to."""
    heads, *arms = arms_table(one.trials)
    signs = control_says(one)
    signs += [said for fix in _fixes_tried(one) for said in silence_says(fix, one.silences.get(fix, ()))]
    notes = [f"{trial.name}: {trial.why}" for trial in one.trials if trial.why]
    notes += [f"{name}: {why}" for name, why in one.untested.items()]
    verdicts = tuple((verdict.kind, verdict_says(verdict)) for verdict in one.verdicts)
    change = next((fixes.get(verdict.fix) for verdict in one.verdicts if verdict.kind == "confirmed"), None)
    return Tried(verdicts, heads, tuple(arms), tuple(signs), tuple(notes), change)

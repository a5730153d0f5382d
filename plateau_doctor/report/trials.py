"""What trials came to, in words: the plan before, the verdict in a sentence, the table of arms, the signs after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from plateau_doctor.facts.needs import NEEDS
from plateau_doctor.report.words import counted, number
from plateau_doctor.verdict import FEWEST

if TYPE_CHECKING:
    from plateau_doctor.examination import RunExamination
    from plateau_doctor.trials.plan import Plan
    from plateau_doctor.trials.trial import Trial
    from plateau_doctor.trials.trouble import Silence
    from plateau_doctor.verdict import Verdict

__all__ = [
    "HEADS",
    "arms_table",
    "control_says",
    "effect",
    "plan_says",
    "silence_says",
    "span",
    "verdict_says",
]

HEADS = ("arm", "seed", "outcome", "epochs", "steps", "seconds", "memory", "score")
MEGA = 1e6
MOST_NAMES = 2
SHORT = {"nothing to hold on to": "no hold"}  # in the table; why is told below it


def verdict_says(verdict: Verdict) -> str:
    """Return the verdict on a fix in one sentence, with its numbers."""
    if verdict.gain is None:
        return f"{verdict.fix} {_is(verdict)}: {verdict.why}."
    numbers = [one for one in (_interval(verdict), counted(verdict.seeds, "seed"), _cost(verdict)) if one]
    return (
        f"{verdict.fix} {_is(verdict)}: {effect(verdict.gain, verdict.unit)} with it than without "
        f"({', '.join(numbers)}); {verdict.why}."
    )


def effect(gain: float, unit: str) -> str:
    """Return an effect in words: how much lower the held-out loss ends, or how much higher the metric."""
    what = "metric" if unit == "points" else "loss"
    return f"the held-out {what} ends {_amount(gain, unit)} {_way(gain, unit)}"


def span(verdict: Verdict) -> str:
    """Return an interval in the words of its effect, as 5.1% higher to 3.0% lower; empty where it has none."""
    if verdict.low is None or verdict.high is None:
        return ""
    low, high = (_amount(end, verdict.unit) for end in (verdict.low, verdict.high))
    one, other = (_way(end, verdict.unit) for end in (verdict.low, verdict.high))
    if one != other:
        return f"{low} {one} to {high} {other}"
    return f"{low} to {high} {one}" if verdict.low >= 0 else f"{high} to {low} {one}"


def _amount(gain: float, unit: str) -> str:
    if unit == "points":
        return f"{abs(gain):.1f} points"
    return f"{abs(1 - math.exp(-min(700.0, max(-700.0, gain)))):.1%}"


def _way(gain: float, unit: str) -> str:
    return "higher" if (gain >= 0) == (unit == "points") else "lower"


def silence_says(fix: str, silences: Sequence[Silence]) -> list[str]:
    """Return what became of the signs that accuse a cause, one sentence a sign."""
    said = []
    for one in silences:
        if not one.arms:
            said.append(f"with {fix}, a sign of {one.cause} is not measured in the arms: {one.says}")
            continue
        what = (
            "fell silent"
            if one.fell_silent
            else "did not fall silent"
            if 2 * one.control > one.arms
            else "is rare"
        )
        said.append(
            f"with {fix}, a sign of {one.cause} {what}: seen in {one.treated} of {one.arms} treated arms and in "
            f"{one.control} of {one.arms} controls: {one.says}"
        )
    return said


def control_says(one: RunExamination) -> list[str]:
    """Return what the control recorded that the log lacks, what that made of the diagnosis, or why no fix was tried."""
    if one.verdicts or not any(trial.ran for trial in one.trials):
        return _recorded(one)
    why = "none of them can be tested here" if one.untested else "no cause is named; give --fix"
    return [*_recorded(one), f"no fix was tried: {why}"]


def _recorded(one: RunExamination) -> list[str]:
    if one.by_log is None:
        return []
    new = [need for need in one.by_log.unlogged if need not in one.unlogged]
    before, after = (
        _and(causes[:MOST_NAMES]) or "no cause" for causes in (_named(one.by_log), one.by_control)
    )
    if not new and before == after:
        return []
    logs = [NEEDS[need].log for need in sorted(new, key=list(NEEDS).index, reverse=True)]
    told = [
        *logs[:MOST_NAMES],
        f"{counted(len(new) - MOST_NAMES, 'other kind')} of log" if new[MOST_NAMES:] else "",
    ]
    made = f"{after} as without" if before == after else f"{after}, where the log alone names {before}"
    what = _and([*filter(None, told)]) or "what the log holds as well"
    return [f"the control recorded {what}; with that the diagnosis names {made}"]


def arms_table(trials: Sequence[Trial]) -> list[tuple[str, ...]]:
    """Return the table of arms, its heads first; every row fits 68 columns unless a fix has a long name."""
    ordered = sorted(trials, key=lambda one: (one.fix is not None, one.fix or "", one.seed))
    return [HEADS, *(_row(one) for one in ordered)]


def plan_says(one: RunExamination, plan: Plan, device: str) -> str:
    """Return what a verification would train, for a dry run: arms, seeds, minutes and device."""
    arms, names = plan.arms, [fix.id for fix in plan.fixes]
    few = min(arms, 2 * FEWEST)
    seconds = plan.budget.seconds
    cap = " and ".join(
        counted(n, unit) for n, unit in ((plan.budget.epochs, "epoch"), (plan.budget.steps, "step")) if n
    )
    lines = [
        f"run      {one.run.name}",
        f"arms     {', '.join(['control', *names[: plan.most]])}",
        f"seeds    up to {plan.seeds} each: {_arms(few, arms)}",
        f"budget   {cap or 'unknown'} an arm: {plan.budget.says}",
        "schedule a schedule of the script's own that follows its number of epochs ends with the budget",
        f"minutes  {'unknown: the log holds no wall times' if seconds is None else _minutes(seconds, few, arms)}",
        f"device   {device}",
    ]
    if not plan.budget.reaches:
        lines.append("note     the budget does not reach the onset of the trouble")
    if not plan.asked:
        lines.append("note     the fixes are chosen anew by what the first control logs beside this log")
    if names[plan.most :]:
        lines.append(f"instead  of what cannot be tested here: {', '.join(names[plan.most :])}")
    return "\n".join(lines + [f"not tried: {name}: {why}" for name, why in plan.untestable.items()])


def _named(one: RunExamination) -> tuple[str, ...]:
    return tuple(diagnosis.cause for diagnosis in one.diagnoses)


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _arms(few: int, arms: int) -> str:
    return (
        f"{counted(few, 'arm')} where the first fix is clear, {arms} at most"
        if few < arms
        else counted(arms, "arm")
    )


def _minutes(seconds: float, few: int, arms: int) -> str:
    first, last = (f"{seconds * count / 60:.1f}" for count in (few, arms))
    spread = f"{first} to {last}" if few < arms else last
    return f"about {seconds / 60:.1f} an arm, {spread} in all, one after another"


def _is(verdict: Verdict) -> str:
    return "failed to run" if verdict.kind == "failed" else f"is {verdict.kind}"


def _interval(verdict: Verdict) -> str:
    found = span(verdict)
    return f"{1 - verdict.alpha:.1%} interval {found}" if found and verdict.alpha is not None else ""


def _cost(verdict: Verdict) -> str:
    return "" if verdict.cost is None else f"at the cost of {verdict.cost:.2g} original runs"


def _row(one: Trial) -> tuple[str, ...]:
    memory = f"{one.peak_memory / MEGA:.0f} MB" if one.peak_memory else "?"
    seconds = "?" if one.seconds is None else f"{one.seconds:.1f}"
    score = "NaN" if one.outcome == "nan" else number(one.score)
    return (
        one.fix or one.arm,
        str(one.seed),
        SHORT.get(one.outcome, one.outcome),
        number(one.epochs),
        number(one.steps),
        seconds,
        memory,
        score,
    )

"""The second walk: from a run that is stuck, through trials of its fixes, to verdicts and an updated diagnosis."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from plateau_doctor import examination
from plateau_doctor.budget import budget_for, stretch_of
from plateau_doctor.examination import Examination, RunExamination
from plateau_doctor.fix import Change
from plateau_doctor.letters import NothingToAnalyze, UsageError
from plateau_doctor.reexamination import after_control, nothing_to_try, with_trials
from plateau_doctor.rule import Rule
from plateau_doctor.runners import Runner
from plateau_doctor.runners.local import Local
from plateau_doctor.trials.callable import Train, trained_by
from plateau_doctor.trials.command import Template, settings_of, template
from plateau_doctor.trials.dose import dosed
from plateau_doctor.trials.environment import environment
from plateau_doctor.trials.journal import digest, opened
from plateau_doctor.trials.launch import Launch, told_where
from plateau_doctor.trials.length import length_of
from plateau_doctor.trials.plan import Asked, Plan, fixes_to_try, most_fixes
from plateau_doctor.trials.protocol import Protocol
from plateau_doctor.trials.suspects import suspects_of
from plateau_doctor.trials.trial import Arm, Trainer, Trial
from plateau_doctor.trials.trouble import Trouble
from plateau_doctor.verdict import Verdict

__all__ = [
    "Verification",
    "carried_out",
    "chosen_run",
    "folder_of",
    "plan_of",
    "protocol_of",
    "revised",
    "verify",
]

SEEDS = 8
UNJUDGED = ("too_short", "not_a_training_run")  # states of which no cause is told, whatever a control records
LARGEST_SCRIPT = 1_000_000  # bytes
SLOWEST, LEAST_TIMEOUT = (
    10.0,
    600.0,
)  # times the expected seconds that an arm may take, and seconds in any case


@dataclass(frozen=True)
class Verification:
    """How a verification is asked for.

    Attributes:
        script: An unmodified training command, wrapped in each arm; empty with `command` or `train`.
        command: A training command with placeholders.
        train: A function that trains one arm.
        settings: NAME=VALUE pairs for placeholders that the log does not tell.
        fixes: Ids of the fixes to try; those of the ranked causes when empty.
        seeds: Seeds an arm is trained with at most.
        asked: The budget.
        folder: The trial folder.
        timeout: Seconds an arm may take; ten times what it is expected to, and ten minutes, when None.
        weights: File of pretrained weights.
        checkpoint: File to start from.
    """

    script: tuple[str, ...] = ()
    command: str = ""
    train: Train | None = None
    settings: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()
    seeds: int = SEEDS
    asked: Asked = field(default_factory=Asked)
    folder: Path | None = None
    timeout: float | None = None
    weights: str | None = None
    checkpoint: str | None = None


def verify(
    run: Path | str | Examination,
    *,
    train: Train | None = None,
    command: str = "",
    script: Sequence[str] = (),
    fixes: Sequence[str] = (),
    seeds: int = SEEDS,
    epochs: int | None = None,
    folder: Path | str | None = None,
    runner: Runner | None = None,
) -> Examination:
    """Try fixes on a run's own training against a control, and return its examination with trials and verdicts.

    Args:
        run: The run, or an examination of it alone.
        train: A function that trains one arm by its `Order`, logging below its folder in `logs/`.
        command: Instead, a training command with placeholders such as {learning_rate}, {epochs}, {seed}, {logdir}.
        script: Instead, an unmodified training command, as program and arguments.
        fixes: Ids of the fixes to try; those of the ranked causes when empty, the likeliest first.
        seeds: Seeds an arm is trained with at most.
        epochs: Most epochs of an arm; by itself, a fifth of the run or what it takes to see the plateau.
        folder: The trial folder; one in the working directory when None.
        runner: Where arms run; this machine when None.

    Raises:
        NothingToAnalyze: There is no run at `run`.
        UsageError: There are several, or something is missing to train it.
    """
    how = Verification(
        script=tuple(script),
        command=command,
        train=train,
        fixes=tuple(fixes),
        seeds=seeds,
        asked=Asked(epochs=epochs),
        folder=None if folder is None else Path(folder),
    )
    rules = examination.load_rules()
    found = run if isinstance(run, Examination) else examination.analyze([run], rules=rules)
    return carried_out(found, how, rules, Local() if runner is None else runner)


def carried_out(
    found: Examination,
    how: Verification,
    rules: Sequence[Rule],
    runner: Runner,
    seen: Callable[[Trial | Verdict], None] = lambda _: None,
) -> Examination:
    """Carry out a verification of the one run of an examination; `seen` is told each trial and verdict as it comes.

    Raises:
        NothingToAnalyze: There is no run.
        UsageError: There are several, or something is missing to train it.
    """
    one = chosen_run(found)
    plan = plan_of(one, how, rules, trains=True)
    base = _template(one, how)
    launch = Launch(
        folder_of(one, how),
        plan.budget,
        runner,
        (lambda _: how.script) if base is None else base.filled,
        environment if base is None else told_where,
        _timeout(how, plan),
        how.weights,
        how.checkpoint,
    )

    def key(arm: Arm) -> str:
        order = replace(launch.order(arm), folder="")
        line = base.filled(order) if base is not None else how.script
        return digest(vars(order), line, [_content(token) for token in line])

    with opened(launch.folder) as journal:
        train = journal.resumed(launch.train if how.train is None else trained_by(how.train, launch), key)
        trials, verdicts = protocol_of(
            one, how, rules, plan, train, 1 if how.train is not None else runner.slots
        ).conduct(seen)
    control = next((trial for trial in trials if trial.fix is None), None)
    told, again = (one, plan) if control is None else revised(one, control, how, rules, plan)
    return with_trials(found, told, again, trials, verdicts, rules)


def protocol_of(
    one: RunExamination,
    how: Verification,
    rules: Sequence[Rule],
    plan: Plan,
    train: Trainer,
    at_once: int = 1,
) -> Protocol:
    """Return how a plan is carried out; what the control records chooses the fixes, where none was asked for."""
    scaled = any(fix.change and fix.change.learning_rate_scale for fix in plan.fixes)

    def after(control: Trial) -> Plan:
        return revised(one, control, how, rules, plan)[1]

    return Protocol(
        plan,
        train,
        length_of(one.run),
        _trouble(one, plan).shown_by,
        after if scaled or not how.fixes else None,
        at_once,
    )


def revised(
    one: RunExamination, control: Trial, how: Verification, rules: Sequence[Rule], plan: Plan
) -> tuple[RunExamination, Plan]:
    """Return what the first control makes of an examination, and of a plan: other fixes, and their dose."""
    told = after_control(one, control, rules)
    new = plan if how.fixes else replace(plan_of(told, how, rules), budget=plan.budget)
    return told, replace(new, fixes=tuple(dosed(fix, control.run) for fix in new.fixes))


def chosen_run(found: Examination) -> RunExamination:
    """Return the one run of an examination.

    Raises:
        NothingToAnalyze: There is none.
        UsageError: There are several.
    """
    if not found.runs:
        raise NothingToAnalyze("nothing to verify: no training run was found")
    if len(found.runs) > 1:
        names = ", ".join(one.run.name for one in found.runs[:6])
        raise UsageError(f"RUN matches {len(found.runs)} runs; give one of them: {names}")
    return found.runs[0]


def plan_of(one: RunExamination, how: Verification, rules: Sequence[Rule], *, trains: bool = False) -> Plan:
    """Return what a verification would train, or what it `trains`.

    Raises:
        UsageError: A fix does not exist, the log does not tell how long to train, or there is nothing that it trains.
    """
    asks = one.diagnoses or one.undetermined is not None
    suspects = suspects_of(one.run, rules, one.undetermined or ()) if asks and not how.fixes else ()
    fixes, worth, untestable = fixes_to_try(suspects, examination.load_fixes(), how.fixes)
    if how.script and how.weights is None:
        needy = [fix.id for fix in fixes if fix.change is not None and _takes_weights(fix.change)]
        untestable |= dict.fromkeys(needy, "it takes a file of pretrained weights; give one as --weights")
    base = _template(one, how)
    if base is not None:
        reasons = {fix.id: base.untestable(fix.change) for fix in fixes if fix.change is not None}
        untestable |= {name: why for name, why in reasons.items() if why}
    budget = budget_for(one, how.asked)
    if base is not None and "epochs" not in base.names:
        budget = replace(budget, epochs=None)
    elif budget.epochs is not None:  # steps would cut an epoch before its evaluation
        budget = replace(budget, steps=None)
    kept = [i for i, fix in enumerate(fixes) if fix.id not in untestable]
    plan = Plan(
        tuple(fixes[i] for i in kept),
        how.seeds,
        budget,
        untestable,
        len(kept) if how.fixes else most_fixes(budget.share),
        tuple(worth[i] for i in kept) if worth else (),
        asked=bool(how.fixes),
    )
    if trains and not plan.fixes and (how.fixes or one.state in UNJUDGED):
        raise UsageError(nothing_to_try(one, plan))
    return plan


def _takes_weights(change: Change) -> bool:
    return change.backbone is not None or change.unfreeze_last is not None


def folder_of(one: RunExamination, how: Verification) -> Path:
    """Return the trial folder, absolute: the one asked for, else one in the working directory named after the run."""
    return (how.folder or Path("plateau-doctor-trials") / _slug(one.run.name)).absolute()


def _content(token: str) -> str:
    """Return a digest of the script that a token names, empty where it names none: an edited one trains anew."""
    try:
        file = Path(token)
        small = file.is_file() and file.stat().st_size <= LARGEST_SCRIPT
        return digest(file.read_text(encoding="utf-8", errors="replace")) if small else ""
    except (OSError, ValueError):
        return ""


def _template(one: RunExamination, how: Verification) -> Template | None:
    return template(how.command, settings_of(one.run, how.settings)) if how.command else None


def _trouble(one: RunExamination, plan: Plan) -> Trouble:
    return Trouble(one.state, stretch_of(one), plan.budget.reaches)


def _timeout(how: Verification, plan: Plan) -> float | None:
    if how.timeout is not None:
        return how.timeout
    expected = plan.budget.seconds
    return None if expected is None else max(LEAST_TIMEOUT, SLOWEST * expected)


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:60] or "run"

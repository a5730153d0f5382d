"""What trials make of an examination: read again with what its control recorded, and told what they came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from plateau_doctor import examination
from plateau_doctor.diagnosis import Diagnosis, rank
from plateau_doctor.examination import Examination, RunExamination
from plateau_doctor.facts import Facts
from plateau_doctor.fix import Fix
from plateau_doctor.headline import LIKELY, headline
from plateau_doctor.rule import Rule
from plateau_doctor.trials.belief import reordered, updated
from plateau_doctor.trials.plan import Plan
from plateau_doctor.trials.suspects import with_recorded
from plateau_doctor.trials.trial import Trial
from plateau_doctor.trials.trouble import silence_of
from plateau_doctor.verdict import Verdict

__all__ = ["after_control", "nothing_to_try", "with_trials"]


def after_control(one: RunExamination, control: Trial, rules: Sequence[Rule]) -> RunExamination:
    """Return the examination of a run with what its control recorded beside its log; its state stays the log's."""
    if not control.ran or control.run is None:
        return one
    again = examination.examine(with_recorded(one.run, control.run), rules)
    if again.state != one.state:
        return one
    return replace(again, by_log=one, by_control=tuple(d.cause for d in again.diagnoses))


def nothing_to_try(one: RunExamination, plan: Plan) -> str:
    """Return why a plan has no fix, in a sentence for each that it might have had."""
    if plan.untestable:
        return "\n".join(f"{name}: {why}" for name, why in plan.untestable.items())
    return f"{one.run.name}: no cause is named, so there is no fix to try; give --fix"


def with_trials(
    found: Examination,
    one: RunExamination,
    plan: Plan,
    trials: Sequence[Trial],
    verdicts: Sequence[Verdict],
    rules: Sequence[Rule],
) -> Examination:
    """Return an examination of one run with its trials and verdicts, its diagnosis updated by them."""
    by_cause = {rule.cause: rule for rule in rules}
    silences = {}
    for verdict in verdicts:
        control = [t for t in trials if t.fix is None and t.ran]
        treated = [t for t in trials if t.fix == verdict.fix and t.ran]
        accused = [d for d in one.diagnoses if verdict.fix in d.fixes and d.cause in by_cause]
        silences[verdict.fix] = tuple(
            silence for d in accused for silence in silence_of(one.run, by_cause[d.cause], control, treated)
        )
    facts = Facts(one.run)
    diagnoses = updated((*one.diagnoses, *_proved(one, facts, verdicts, rules)), verdicts)
    after = replace(
        one,
        headline=headline(facts, one.state, one.plateaus, diagnoses),
        diagnoses=diagnoses,
        undetermined=None
        if one.undetermined is None
        else reordered(one.undetermined, {rule.cause: rule.fixes for rule in rules}, verdicts),
        trials=tuple(trials),
        verdicts=tuple(verdicts),
        silences=silences,
        untested=plan.untestable,
    )
    fixes: Mapping[str, Fix] = {**examination.load_fixes(), **{fix.id: fix for fix in plan.fixes}}
    named = {fix for d in after.diagnoses for fix in d.fixes}
    wanted = {*found.fixes, *named, *(verdict.fix for verdict in verdicts)}
    return replace(found, runs=(after,), fixes={name: fixes[name] for name in sorted(wanted)})


def _proved(
    one: RunExamination, facts: Facts, verdicts: Sequence[Verdict], rules: Sequence[Rule]
) -> tuple[Diagnosis, ...]:
    """Return the causes that the diagnosis does not name and that are as likely as not by a fix that was confirmed."""
    confirmed = {verdict.fix for verdict in verdicts if verdict.kind == "confirmed"}
    named = {d.cause for d in one.diagnoses}
    found = [
        replace(each.told(), named=True)
        for each in rank(facts, rules)
        if each.cause not in named and confirmed & set(each.worded.rule.fixes)
    ]
    return tuple(d for d in found if (updated([d], verdicts)[0].probability or 0.0) >= LIKELY)

"""Makes the gate of an examination: what is selected, suppressed, in the baseline, and required.

Nothing is taken out of a report: what does not count is still told, with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path

from plateau_doctor.config import Suppression
from plateau_doctor.examination import Examination, RunExamination
from plateau_doctor.facts.needs import NEEDS
from plateau_doctor.findings import findings_of, fingerprint
from plateau_doctor.gate import STATES_GATED, Gate, Lack, Waiver
from plateau_doctor.letters import UsageError, did_you_mean
from plateau_doctor.recorders.lines import HELD_OUT, framework_of, line_for
from plateau_doctor.rule import Rule

__all__ = ["Asked", "baseline_of", "check_asked", "gate_of", "gated", "read_baseline", "stale"]

BASELINE_VERSION = 1


@dataclass(frozen=True)
class Asked:
    """What a user asks of the gate.

    Attributes:
        fail_on: Lowest severity that fails, or `never`.
        min_confidence: Lowest confidence that fails.
        select: Causes or families that count; all when empty.
        ignore: Causes or families that do not.
        require: Logs, by the keys of `NEEDS`, that every run must have.
        suppressions: From the configuration.
        baseline: Fingerprints of findings that were there before.
        today: Suppressions that ended before this day do not hold.
        fail_on_state: States that fail whatever the cause: `diverged`, `stuck`.
    """

    fail_on: str = "error"
    min_confidence: str = "medium"
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    baseline: Collection[str] = frozenset()
    today: date = date.min
    fail_on_state: tuple[str, ...] = ("diverged",)


def check_asked(asked: Asked, rules: Iterable[Rule]) -> None:
    """Refuse names that no cause, family or log has.

    Raises:
        UsageError: With the nearest name that there is.
    """
    rules = list(rules)
    causes = {name for rule in rules for name in (rule.cause, rule.family)}
    known = sorted(causes | set(STATES_GATED.values()))
    for option, names in (("--select", asked.select), ("--ignore", asked.ignore)):
        for name in names:
            if name not in known:
                near = did_you_mean(name, known)
                raise UsageError(f"{option} {name}: no cause and no family is called {name!r}{near}")
    for name in asked.require:
        if name not in NEEDS:
            near = did_you_mean(name, NEEDS)
            raise UsageError(f"--require {name}: no log is called {name!r}{near}\nlogs: {', '.join(NEEDS)}")
    for one in asked.suppressions:
        if one.cause != "*" and one.cause not in known:
            near = did_you_mean(one.cause, known)
            raise UsageError(
                f"a suppression names {one.cause!r}, which no cause and no family is called{near}"
            )


def gated(examination: Examination, asked: Asked) -> Examination:
    """Return the same examination with its gate."""
    waivers = [
        waiver
        for one in examination.runs
        for cause, family in _held_against(one, asked)
        if (waiver := _waiver(one.run.name, cause, family, asked)) is not None
    ]
    lacks = tuple(lack for one in examination.runs for lack in _lacks(one, asked.require))
    return replace(examination, gate=_gate(asked, tuple(waivers), lacks))


def gate_of(gates: Iterable[Gate], asked: Asked) -> Gate:
    """Return the gate of an examination that was gated run by run."""
    held = list(gates)
    waivers = tuple(waiver for gate in held for waiver in gate.waivers)
    return _gate(asked, waivers, tuple(lack for gate in held for lack in gate.lacks))


def _gate(asked: Asked, waivers: tuple[Waiver, ...], lacks: tuple[Lack, ...]) -> Gate:
    return Gate(asked.fail_on, asked.min_confidence, waivers, lacks, asked.fail_on_state)


def _held_against(one: RunExamination, asked: Asked) -> list[tuple[str, str]]:
    """Return (cause, family) of what counts against a run: its causes, and its state where that fails by itself."""
    state = Gate(fail_on_state=asked.fail_on_state).state_of(one.state)
    return [*((d.cause, d.family) for d in one.diagnoses), *([(state, state)] if state else [])]


def stale(examination: Examination, asked: Asked) -> list[str]:
    """Return a line for each suppression that has expired, or that no finding needs any longer."""
    said = []
    for one in asked.suppressions:
        what = f"the suppression of {one.cause} in {one.run}"
        if one.expires < asked.today:
            said.append(f"{what} expired on {one.expires}: it no longer holds")
        elif not any(
            _matches(one, run.run.name, *held)
            for run in examination.runs
            for held in _held_against(run, asked)
        ):
            said.append(f"{what} matches no finding here")
    return said


def read_baseline(file: Path) -> frozenset[str]:
    """Return the fingerprints in a baseline file.

    Raises:
        UsageError: It cannot be read, or is none.
    """
    try:
        whole = json.loads(file.read_text(encoding="utf-8"))
        if whole["baseline_version"] != BASELINE_VERSION:
            raise ValueError(f"its version is {whole['baseline_version']}, expected {BASELINE_VERSION}")
        return frozenset(str(one["fingerprint"]) for one in whole["findings"])
    except OSError as error:
        raise UsageError(f"--baseline {file}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"--baseline {file}: not a baseline ({error}); write one with --write-baseline {file}"
        ) from None


def baseline_of(examination: Examination) -> str:
    """Return the text of a baseline that holds every finding of an examination, in an order that diffs well."""
    found = [one for one in findings_of(examination) if not one.cause.startswith("not_logged/")]
    rows = sorted({(one.run, one.cause, one.fingerprint) for one in found})
    findings = [{"run": run, "cause": cause, "fingerprint": mark} for run, cause, mark in rows]
    return json.dumps({"baseline_version": BASELINE_VERSION, "findings": findings}, indent=2) + "\n"


def _waiver(run: str, cause: str, family: str, asked: Asked) -> Waiver | None:
    names = {cause, family}
    if asked.select and not names & set(asked.select):
        return Waiver(run, cause, "not selected", "--select names others")
    if names & set(asked.ignore):
        return Waiver(run, cause, "not selected", f"--ignore {', '.join(names & set(asked.ignore))}")
    for one in asked.suppressions:
        if asked.today <= one.expires and _matches(one, run, cause, family):
            return Waiver(run, cause, "suppressed", one.reason, one.expires.isoformat())
    if fingerprint(run, cause) in asked.baseline:
        return Waiver(run, cause, "baseline", "it was there when the baseline was written")
    return None


def _matches(one: Suppression, run: str, cause: str, family: str) -> bool:
    return one.cause in ("*", cause, family) and fnmatchcase(run, one.run)


def _lacks(one: RunExamination, require: Sequence[str]) -> list[Lack]:
    lacking = [name for name in require if name in one.unlogged]
    framework = framework_of(one.run) if lacking else None
    evaluates = any(name not in one.unlogged for name in HELD_OUT)
    return [
        Lack(one.run.name, name, NEEDS[name].log, line_for(name, framework, evaluates)) for name in lacking
    ]

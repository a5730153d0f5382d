"""An Examination as JSON: the contract for machines, held by schema.json."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from plateau_doctor.examination import RunExamination
from plateau_doctor.findings import findings_of
from plateau_doctor.report.words import place_of
from plateau_doctor.run import Run, histogram_frame, scalar_frame

if TYPE_CHECKING:
    from plateau_doctor.diagnosis import Diagnosis, Evidence
    from plateau_doctor.examination import Examination
    from plateau_doctor.plateau import Plateau
    from plateau_doctor.run import Problem
    from plateau_doctor.trials.trial import Trial
    from plateau_doctor.verdict import Verdict

__all__ = ["SCHEMA_VERSION", "bare", "last_lines", "render", "render_lines", "run_line", "to_json"]

SCHEMA_VERSION = 1
Json = dict[str, Any]
NO_SCALARS, NO_HISTOGRAMS, NO_BINS = scalar_frame([]), histogram_frame([]), np.empty((0, 3))


def render(examination: Examination) -> str:
    """Return the JSON text, in ASCII: names from logs can hide nothing in it."""
    return json.dumps(to_json(examination), indent=2, allow_nan=False) + "\n"


def to_json(examination: Examination) -> Json:
    """Return plain dicts, lists, texts and finite numbers; NaN and Inf are None."""
    return {
        **_head(examination),
        "runs": [_run(one) for one in examination.runs],
        "problems": _problems(examination.problems),
        "gate": _gate(examination),
    }


def render_lines(examination: Examination) -> str:
    """Return JSON lines: one for each run, one for each problem, and a last one with the gate."""
    return "".join(map(run_line, examination.runs)) + last_lines(examination)


def run_line(one: RunExamination) -> str:
    """Return the line of one run, which needs no other."""
    return _line({"run": _run(one)})


def last_lines(examination: Examination) -> str:
    """Return the lines behind those of the runs; of these the bare ones are enough."""
    lines: list[Json] = [{"problem": problem} for problem in _problems(examination.problems)]
    lines.append({**_head(examination), "gate": _gate(examination)})
    return "".join(map(_line, lines))


def bare(one: RunExamination) -> RunExamination:
    """Return what the last line and the gate need of a run that was written: its causes, without evidence."""
    run = Run(one.run.name, one.run.source, one.run.format, NO_SCALARS, NO_HISTOGRAMS, NO_BINS)
    causes = tuple(replace(diagnosis, evidence=()) for diagnosis in one.diagnoses)
    return RunExamination(run, one.state, one.headline, diagnoses=causes)


def _line(line: Json) -> str:
    return json.dumps(line, allow_nan=False) + "\n"


def _head(examination: Examination) -> Json:
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "plateau-doctor", "version": examination.version},
    }


def _gate(examination: Examination) -> Json:
    gate = examination.gate
    return {
        "fail_on": gate.fail_on,
        "min_confidence": gate.min_confidence,
        "failing": [
            {"run": one.run, "cause": one.cause, "fingerprint": one.fingerprint}
            for one in findings_of(examination)
            if one.stops
        ],
        "waived": [
            {"run": one.run, "cause": one.cause, "by": one.by, "why": one.why, "expires": one.expires or None}
            for one in gate.waivers
        ],
        "lacking": [{"run": one.run, "log": one.log, "how": one.how} for one in gate.lacks],
    }


def _run(one: RunExamination) -> Json:
    rows = one.log.scalars[["tag", "role"]].drop_duplicates("tag")
    roles = {
        str(tag): role if isinstance(role, str) else None
        for tag, role in zip(rows["tag"], rows["role"], strict=True)
    }
    return {
        "name": one.run.name,
        "source": one.run.source,
        "format": one.run.format,
        "state": one.state,
        "plateaus": [_plateau(plateau) for plateau in one.plateaus],
        "diagnoses": [_diagnosis(diagnosis) for diagnosis in one.diagnoses],
        "undetermined": None if one.undetermined is None else {"candidates": list(one.undetermined)},
        "missing": [{"log": m.log, "would_decide": list(m.would_decide), "how": m.how} for m in one.missing],
        "roles": dict(sorted(roles.items())),
        "problems": _problems(one.run.problems),
        "trials": [_trial(trial) for trial in one.trials],
        "verdicts": [_verdict(verdict) for verdict in one.verdicts],
    }


def _trial(trial: Trial) -> Json:
    return {
        "fix": trial.fix,
        "arm": trial.arm,
        "seed": trial.seed,
        "outcome": trial.outcome,
        "steps": _finite(trial.steps),
        "seconds": _finite(trial.seconds),
        "score": _finite(trial.score),
    }


def _verdict(verdict: Verdict) -> Json:
    numbers = {name: _finite(getattr(verdict, name)) for name in ("gain", "low", "high")}
    return {
        "fix": verdict.fix,
        "kind": verdict.kind,
        **numbers,
        "seeds": verdict.seeds,
        "cost": _finite(verdict.cost),
    }


def _plateau(plateau: Plateau) -> Json:
    numbers = ("start_step", "end_step", "start_epoch", "level", "slope", "noise")
    return {"series": plateau.series, **{name: _finite(getattr(plateau, name)) for name in numbers}}


def _diagnosis(diagnosis: Diagnosis) -> Json:
    return {
        "cause": diagnosis.cause,
        "family": diagnosis.family,
        "probability": _finite(diagnosis.probability),
        "calibrated": diagnosis.calibrated,
        "severity": diagnosis.severity,
        "evidence": [_evidence(evidence) for evidence in diagnosis.evidence],
        "fixes": list(diagnosis.fixes),
    }


def _evidence(evidence: Evidence) -> Json:
    return {
        "says": evidence.says,
        "side": evidence.side,
        "seen": evidence.seen,
        "log_odds": _finite(evidence.log_odds),
        "facts": {name: _finite(value) for name, value in sorted(evidence.facts.items())},
    }


def _problems(problems: Iterable[Problem]) -> list[Json]:
    return [{"path": p.path, "what": p.what, "why": place_of(p)} for p in problems]


def _finite(value: float | str | bool | None) -> float | str | bool | None:
    """Return a value that JSON has: numpy's numbers as Python's, NaN and Inf as None."""
    if value is None or isinstance(value, (bool, str)):
        return value
    number = float(value)
    return number if math.isfinite(number) else None

"""Findings: what an examination holds against each run, as pipelines count and show it, the gravest first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from plateau_doctor.examination import Examination, RunExamination
from plateau_doctor.gate import SEVERITIES, Waiver
from plateau_doctor.rule import Severity

__all__ = ["Finding", "findings_of", "fingerprint", "path_in"]


@dataclass(frozen=True)
class Finding:
    """One cause named in one run, a state that fails by itself, or one log that was required and is not there.

    Attributes:
        run: Name of the run.
        path: Its log, as a path from the working directory where it lies below it.
        inside: Whether it lies below it.
        cause: Id of the cause; `diverged` or `stuck` for a state, `not_logged/<log>` for a log that was required.
        severity: `error`, `warning` or `note`.
        probability: None where it was not calibrated.
        says: The run's story and the cause in one sentence.
        evidence: Sentences of the signs that were seen and speak for the cause, the heaviest first.
        fixes: Ids of its fixes.
        fingerprint: Stable over runs of the tool: of the run's name and the cause.
        waiver: Why it does not count, None where it does.
        stops: Whether it makes the exit code 1.
    """

    run: str
    path: str
    inside: bool
    cause: str
    severity: Severity
    probability: float | None
    says: str
    evidence: tuple[str, ...]
    fixes: tuple[str, ...]
    fingerprint: str
    waiver: Waiver | None
    stops: bool


def findings_of(examination: Examination) -> tuple[Finding, ...]:
    """Return every finding: those that stop first, then by severity and probability; waived ones last."""
    waivers = {(one.run, one.cause): one for one in examination.gate.waivers}
    found = [
        one
        for run in examination.runs
        for one in (
            *_causes(run, examination, waivers),
            *_states(run, examination, waivers),
            *_lacks(run, examination),
        )
    ]
    return tuple(sorted(found, key=_rank))


def fingerprint(run: str, cause: str) -> str:
    """Return the same 32 hexadecimal digits for the same run's name and cause, whatever else changed."""
    return hashlib.sha256(f"{run}\0{cause}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def path_in(folder: str, source: str) -> tuple[str, bool]:
    """Return a path from a folder, with forward slashes, and whether it lies below it; an address as it is."""
    if "://" in source:
        return source, False
    path = PurePath(source)
    if folder and path.is_absolute() and path.is_relative_to(folder):
        path = path.relative_to(folder)
    inside = not path.is_absolute() and ".." not in path.parts
    return path.as_posix(), inside


def _causes(
    one: RunExamination, examination: Examination, waivers: dict[tuple[str, str], Waiver]
) -> Sequence[Finding]:
    name = one.run.name
    path, inside = path_in(examination.folder, one.run.source)
    found = []
    for rank, diagnosis in enumerate(one.diagnoses):
        waiver = waivers.get((name, diagnosis.cause))
        found.append(
            Finding(
                run=name,
                path=path,
                inside=inside,
                cause=diagnosis.cause,
                severity=diagnosis.severity,
                probability=diagnosis.probability if diagnosis.calibrated else None,
                says=(one.headline if rank == 0 else diagnosis.says).rstrip("."),
                evidence=tuple(sign.says for sign in diagnosis.evidence if sign.seen and sign.side == "for"),
                fixes=diagnosis.fixes,
                fingerprint=fingerprint(name, diagnosis.cause),
                waiver=waiver,
                stops=waiver is None and examination.gate.stops(diagnosis.severity, diagnosis.probability),
            )
        )
    return found


def _states(
    one: RunExamination, examination: Examination, waivers: dict[tuple[str, str], Waiver]
) -> Sequence[Finding]:
    """Return the state of a run where it fails by itself: a loss of NaN is no less sure for its cause."""
    state = examination.gate.state_of(one.state)
    if state is None:
        return []
    path, inside = path_in(examination.folder, one.run.source)
    waiver = waivers.get((one.run.name, state))
    return [
        Finding(
            run=one.run.name,
            path=path,
            inside=inside,
            cause=state,
            severity="error",
            probability=None,
            says=one.headline.rstrip("."),
            evidence=(),
            fixes=(),
            fingerprint=fingerprint(one.run.name, state),
            waiver=waiver,
            stops=waiver is None and examination.gate.fail_on != "never",
        )
    ]


def _lacks(one: RunExamination, examination: Examination) -> Sequence[Finding]:
    path, inside = path_in(examination.folder, one.run.source)
    return [
        Finding(
            run=lack.run,
            path=path,
            inside=inside,
            cause=f"not_logged/{lack.need}",
            severity="error",
            probability=None,
            says=f"{lack.log} is required and was not logged; {lack.how}",
            evidence=(),
            fixes=(),
            fingerprint=fingerprint(lack.run, f"not_logged/{lack.need}"),
            waiver=None,
            stops=examination.gate.fail_on != "never",
        )
        for lack in examination.gate.lacks
        if lack.run == one.run.name
    ]


def _rank(one: Finding) -> tuple[bool, bool, int, float, str, str]:
    sure = 0.5 if one.probability is None else one.probability
    return (
        one.waiver is not None,
        not one.stops,
        -SEVERITIES.index(one.severity),
        -sure,
        one.run,
        one.cause,
    )

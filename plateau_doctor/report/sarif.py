"""An Examination as SARIF 2.1.0.

A finding points at its log where that lies below the working directory, which in a pipeline is the repository;
any other names its run only, as a logical location. A waived finding is a suppressed result.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from plateau_doctor.findings import Finding, findings_of
from plateau_doctor.letters import visible
from plateau_doctor.report.words import summary

if TYPE_CHECKING:
    from plateau_doctor.diagnosis import Diagnosis
    from plateau_doctor.examination import Examination

__all__ = ["render"]

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
Json = dict[str, Any]


def render(examination: Examination) -> str:
    """Return the log, in ASCII."""
    found = findings_of(examination)
    rules = _rules(examination, found)
    places = {rule["id"]: n for n, rule in enumerate(rules)}
    driver = {
        "name": "plateau-doctor",
        "version": examination.version or "0",
        "rules": rules,
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(one, places) for one in found],
        "properties": {"summary": visible(summary(examination))},
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rules(examination: Examination, found: tuple[Finding, ...]) -> list[Json]:
    named: dict[str, Diagnosis] = {d.cause: d for one in examination.runs for d in one.diagnoses}
    return [_rule(cause, named.get(cause)) for cause in sorted({one.cause for one in found})]


def _rule(cause: str, diagnosis: Diagnosis | None) -> Json:
    if diagnosis is None:
        says = f"{cause.partition('/')[2]} is required and was not logged."
        return {"id": visible(cause), "shortDescription": {"text": visible(says)}}
    return {
        "id": visible(cause),
        "shortDescription": {"text": visible(diagnosis.says)},
        "fullDescription": {"text": visible(diagnosis.why)},
        "properties": {"tags": [visible(diagnosis.family)]},
    }


def _result(one: Finding, places: dict[str, int]) -> Json:
    says = f"{one.run}: {'. '.join([one.says, *one.evidence])}."
    location: Json = {"logicalLocations": [{"name": visible(one.run), "kind": "member"}]}
    if one.inside:
        artifact = {"uri": quote(one.path, safe="/", errors="backslashreplace")}
        location["physicalLocation"] = {"artifactLocation": artifact, "region": {"startLine": 1}}
    result = {
        "ruleId": visible(one.cause),
        "ruleIndex": places[visible(one.cause)],
        "level": one.severity,
        "message": {"text": visible(says)},
        "locations": [location],
        "partialFingerprints": {"runAndCause/v1": one.fingerprint},
        "properties": {"probability": one.probability, "fails": one.stops},
    }
    if one.waiver is not None:
        why = f"{one.waiver.by}: {one.waiver.why}"
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": visible(why)}]
    return result

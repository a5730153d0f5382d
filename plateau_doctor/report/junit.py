"""An Examination as JUnit XML: a run is a suite, a cause a case; a case without its data is skipped.

A finding that fails the gate is a failure; one below the bar or waived is not, and says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from plateau_doctor.findings import Finding, findings_of
from plateau_doctor.letters import visible
from plateau_doctor.report.words import STATES, gate_says, place_of, standing

if TYPE_CHECKING:
    from plateau_doctor.examination import Examination, RunExamination

__all__ = ["render"]


def render(examination: Examination) -> str:
    """Return the XML; control characters, which XML has no way to write, are shown as escapes."""
    root = Element("testsuites", name="plateau-doctor")
    found = findings_of(examination)
    for one in examination.runs:
        _suite(root, one, examination, [finding for finding in found if finding.run == one.run.name])
    if examination.problems:
        suite = SubElement(root, "testsuite", name="files that were not read")
        for problem in examination.problems:
            case = SubElement(suite, "testcase", classname="reading", name=visible(problem.path))
            SubElement(case, "skipped", message=visible(f"{problem.what}: {place_of(problem)}"))
        _count(suite)
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(root: Element, one: RunExamination, examination: Examination, found: list[Finding]) -> None:
    name = visible(one.run.name)
    suite = SubElement(root, "testsuite", name=name)
    properties = SubElement(suite, "properties")
    told = {
        "state": STATES[one.state],
        "source": one.run.source,
        "gate": "; ".join(gate_says(examination.gate)),
    }
    for key, value in told.items():
        if value:
            SubElement(properties, "property", name=key, value=visible(value))
    by_cause = {finding.cause: finding for finding in found}
    for cause in dict.fromkeys([*examination.causes, *by_cause]):
        case = SubElement(suite, "testcase", classname=name, name=visible(cause))
        if cause in by_cause:
            _told(case, by_cause[cause])
        elif why := _unknown(one, cause):
            SubElement(case, "skipped", message=visible(why))
    _count(suite)


def _told(case: Element, finding: Finding) -> None:
    says = visible(finding.says)
    lines = [says, *(f"+ {visible(sign)}" for sign in finding.evidence)]
    if finding.fixes:
        lines.append(f"fixes: {', '.join(finding.fixes)}")
    if finding.stops:
        SubElement(case, "failure", type=finding.severity, message=says).text = "\n".join(lines)
    elif finding.waiver is not None:
        SubElement(
            case, "skipped", message=visible(f"{finding.waiver.by}: {finding.waiver.why}; {finding.says}")
        )
    else:
        SubElement(case, "system-out").text = "\n".join([f"{finding.severity}, below the bar", *lines])


def _unknown(one: RunExamination, cause: str) -> str:
    """Return why a cause that is not named could not be judged, nothing where it could."""
    if standing(one) == "not judged":
        return one.headline
    logs = [missing.log for missing in one.missing if cause in missing.would_decide]
    if logs:
        return f"not logged: {', '.join(logs)}"
    return "the log does not tell it from others" if cause in (one.undetermined or ()) else ""


def _count(suite: Element) -> None:
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", "0")
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))

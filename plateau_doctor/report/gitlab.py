"""An Examination as GitLab's code quality report, a JSON array of issues.

GitLab matches issues of two branches by fingerprint: what was there before is not shown as new.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from plateau_doctor.findings import Finding, findings_of, fingerprint
from plateau_doctor.letters import visible
from plateau_doctor.report.words import gate_says

if TYPE_CHECKING:
    from plateau_doctor.examination import Examination

__all__ = ["render"]

_SEVERITIES = {"error": "major", "warning": "minor", "note": "info"}


def render(examination: Examination) -> str:
    """Return the array, in ASCII; waived findings are one issue that counts them."""
    issues = [_issue(one) for one in findings_of(examination) if one.waiver is None]
    said = "; ".join(gate_says(examination.gate))
    if examination.gate.waivers:
        path = issues[0]["location"]["path"] if issues else "plateau-doctor.toml"
        issues.append(_one(said, "waived", fingerprint("", "waived"), "info", path))
    return json.dumps(issues, indent=2) + "\n"


def _issue(one: Finding) -> dict[str, Any]:
    says = f"{one.run}: {one.says}" + (f": {one.evidence[0]}" if one.evidence else "")
    return _one(says, one.cause, one.fingerprint, _SEVERITIES[one.severity], one.path.lstrip("/"))


def _one(says: str, name: str, mark: str, severity: str, path: str) -> dict[str, Any]:
    return {
        "description": visible(says),
        "check_name": visible(name),
        "fingerprint": mark,
        "severity": severity,
        "location": {"path": visible(path), "lines": {"begin": 1}},
    }

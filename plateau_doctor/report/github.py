"""An Examination as GitHub's workflow commands: annotations, the gravest first.

GitHub shows ten of a kind a step and drops the rest in silence; so at most ten are written, and the last one
counts what is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plateau_doctor.findings import Finding, findings_of
from plateau_doctor.letters import visible
from plateau_doctor.report.words import counted, gate_says

if TYPE_CHECKING:
    from plateau_doctor.examination import Examination

__all__ = ["render"]

MOST = 10  # annotations a step
LONGEST = 1_000  # characters of one message
_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def render(examination: Examination) -> str:
    """Return one command a line; nothing that a log names can begin or end one."""
    counting = [one for one in findings_of(examination) if one.waiver is None]
    rest = gate_says(examination.gate)
    room = MOST if len(counting) <= MOST and not rest else MOST - 1
    left = len(counting) - room
    lines = [_annotation(one) for one in counting[:room]]
    said = [f"{counted(left, 'more finding')} left out here"] if left > 0 else []
    if said or rest:
        lines.append(f"::notice title=plateau-doctor::{_data('; '.join([*said, *rest]))}")
    return "".join(f"{line}\n" for line in lines)


def _annotation(one: Finding) -> str:
    place = f"file={_property(one.path)}," if one.inside else ""
    title = _property(f"{one.cause} in {one.run}")
    signs = f": {one.evidence[0]}" if one.evidence else ""
    fixes = f"; try {', '.join(one.fixes[:2])}" if one.fixes else ""
    return f"::{_COMMANDS[one.severity]} {place}title={title}::{_data(one.says + signs + fixes)}"


def _data(text: str) -> str:
    """Return the message of a command: on one line, and without the marks that begin another."""
    short = visible(text if len(text) <= LONGEST else text[:LONGEST] + "...")
    return short.replace("%", "%25").replace("::", ": :").replace("##[", "# #[")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

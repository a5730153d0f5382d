"""An Examination as Markdown, for the summary of a job or a comment on a pull request.

Names from logs are set as code, other text is escaped: neither can open a tag, ping a person or break a table.
What is above the limit of the place is left out whole, run by run, and counted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from plateau_doctor.findings import findings_of
from plateau_doctor.letters import uncommanded, visible
from plateau_doctor.report.siblings import families_say
from plateau_doctor.report.trials import verdict_says
from plateau_doctor.report.words import (
    BLIND,
    STATES,
    confidence,
    counted,
    fixes_of,
    framework_of,
    grouped,
    place_of,
    sentence,
    shown,
    standing,
    summary,
)

if TYPE_CHECKING:
    from plateau_doctor.examination import Examination, RunExamination

__all__ = ["code", "comment", "escape", "render"]

SUMMARY_LIMIT, COMMENT_LIMIT = 1_000_000, 60_000  # bytes: GitHub drops what is above 1 MiB, and above 64 KiB
MARKER = "<!-- plateau-doctor -->"  # by which a job finds its last comment, to write it anew
MOST_SIGNS, MOST_ASKED, MOST_FIXES, MOST_PROBLEMS, MOST_SIBLINGS = 6, 3, 3, 12, 12
LONGEST = 2_000  # characters of one text from a log
_MARKS = {"sick": "❌", "undetermined": "❔", "noted": "·", "fine": "✅", "not judged": "⏳"}


def render(examination: Examination) -> str:
    """Return the summary of a job, below 1 MiB."""
    return _page(examination, SUMMARY_LIMIT)


def comment(examination: Examination) -> str:
    """Return a comment on a pull request, below 64 KiB; it begins with a marker that a reader does not see."""
    return f"{MARKER}\n{_page(examination, COMMENT_LIMIT)}"


def escape(text: str) -> str:
    """Return text in which no character is Markdown's or HTML's, no word a link and no name a person."""
    short = _short(text)
    safe = short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    safe = re.sub(r"([\\`*_\[\]!|~]|^[-+=#])", r"\\\1", safe)
    return re.sub(r"@|(?<=:)(?=//)|(?<=www)(?=\.)", lambda at: f"{at[0]}<!-- -->", safe)


def code(text: str) -> str:
    """Return a name as inline code that no run of backticks in it can close, and that a table cell can hold."""
    short = _short(text)
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", short)), default=0))
    pad = " " if short[:1] in ("`", " ", "") or short[-1:] in ("`", " ") else ""
    return f"{ticks}{pad}{short}{pad}{ticks}"


def _short(text: str) -> str:
    return uncommanded(visible(text[:LONGEST])) + ("..." if len(text) > LONGEST else "")


def _page(examination: Examination, limit: int) -> str:
    head = ["## plateau-doctor", "", escape(summary(examination)), ""]
    said = families_say(examination)[:MOST_SIBLINGS]
    head += [*(f"- {escape(line)}" for line in said), ""] if said else []
    tail = _problems(examination)
    room = limit - _size([*head, *tail]) - 200  # bytes kept for the line that counts what is left out
    blocks = [_run(one, examination) for one in _ordered(examination)]
    kept: list[str] = []
    for block in blocks:
        room -= _size(block)
        if room < 0:
            break
        kept += block
    left = len(blocks) - sum(line.startswith("### ") for line in kept)
    if left:
        kept += [f"**{counted(left, 'more run')} left out here**; the JSON report has all of them.", ""]
    return "\n".join([*head, *kept, *tail]).rstrip("\n") + "\n"


def _ordered(examination: Examination) -> list[RunExamination]:
    """Return the runs, those that fail first, then sick, undetermined and fine ones, each in their order."""
    failing = {one.run for one in findings_of(examination) if one.stops}
    ranks = list(_MARKS)
    return sorted(examination.runs, key=lambda one: (one.run.name not in failing, ranks.index(standing(one))))


def _size(lines: list[str]) -> int:
    return sum(len(line.encode("utf-8", "replace")) + 1 for line in lines)


def _run(one: RunExamination, examination: Examination) -> list[str]:
    kind = standing(one)
    lines = [f"### {_MARKS[kind]} {code(one.run.name)}: {STATES[one.state]}", "", escape(sentence(one)), ""]
    if kind == "sick":
        lines += _causes(one, examination) + _signs(one) + _fixes(one, examination)
    elif kind == "undetermined":
        lines += [escape(BLIND), ""]
        if one.undetermined:
            lines += [f"Could be {', '.join(map(code, one.undetermined))}.", ""]
    lines += [f"- {escape(verdict_says(verdict))}" for verdict in one.verdicts]
    if one.missing:
        asked = grouped(one.missing)[:MOST_ASKED]
        lines += ["Not logged:", "", *(f"- {escape(log)}: {escape(how)}" for log, how in asked), ""]
    lacks = [lack for lack in examination.gate.lacks if lack.run == one.run.name]
    lines += [f"- **required, not logged**: {escape(lack.log)}; {escape(lack.how)}" for lack in lacks]
    return [*lines, ""] if lines[-1] else lines


def _causes(one: RunExamination, examination: Examination) -> list[str]:
    waived = {(w.run, w.cause): w for w in examination.gate.waivers}
    lines = ["| cause | severity | confidence | counts |", "| --- | --- | --- | --- |"]
    state = examination.gate.state_of(one.state)
    if state is not None:
        waiver = waived.get((one.run.name, state))
        fails = "no" if examination.gate.fail_on == "never" else "yes"
        counts = escape(f"no, {waiver.by}: {waiver.why}") if waiver else fails
        lines.append(f"| {code(state)} | error | its state | {counts} |")
    for diagnosis in one.diagnoses:
        waiver = waived.get((one.run.name, diagnosis.cause))
        stops = examination.gate.stops(diagnosis.severity, diagnosis.probability)
        counts = f"no, {waiver.by}: {waiver.why}" if waiver else "yes" if stops else "no, below the bar"
        row = (code(diagnosis.cause), diagnosis.severity, escape(confidence(diagnosis)), escape(counts))
        lines.append(f"| {' | '.join(row)} |")
    return [*lines, ""]


def _signs(one: RunExamination) -> list[str]:
    seen = shown(one.diagnoses[0].evidence)
    lines = [f"- {escape(sign.says)}{'' if sign.side == 'for' else ' (against)'}" for sign in seen]
    more = len(lines) - MOST_SIGNS
    return [*lines[:MOST_SIGNS], *([f"- and {more} more"] if more > 0 else []), ""]


def _fixes(one: RunExamination, examination: Examination) -> list[str]:
    lines: list[str] = []
    for rank, fix in enumerate(fixes_of(one.diagnoses[0], examination.fixes)[:MOST_FIXES]):
        lines += [f"{'or' if rank else '**Change**:'} {escape(fix.title)} ({code(fix.id)})", ""]
        framework = framework_of(one)
        snippet = fix.snippets.get(framework) or next(iter(fix.snippets.values()), "")
        if rank == 0 and snippet:
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", snippet)), default=0))
            body = [visible(line) for line in snippet.strip("\n").expandtabs(4).split("\n")]
            lines += [f"{fence}python", *body, fence, ""]
    return lines


def _problems(examination: Examination) -> list[str]:
    found = examination.problems
    if not found:
        return []
    lines = [f"- {code(p.path)}: {escape(p.what)}: {escape(place_of(p))}" for p in found[:MOST_PROBLEMS]]
    more = len(found) - MOST_PROBLEMS
    return ["Not read:", "", *lines, *([f"- and {more} more"] if more > 0 else []), ""]

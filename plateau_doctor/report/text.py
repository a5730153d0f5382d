"""An Examination as text for a terminal: the answer first, then the numbers that say so.

Everything that comes from a log passes `visible`, so that no name can move the cursor or turn text around.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plateau_doctor.letters import uncommanded, visible
from plateau_doctor.report.many import apart
from plateau_doctor.report.siblings import first_families_say
from plateau_doctor.report.trials import arms_table, control_says, silence_says, verdict_says
from plateau_doctor.report.words import (
    BLIND,
    STATES,
    confidence,
    counted,
    fixes_of,
    framework_of,
    grouped,
    last_plateau,
    place_of,
    sentence,
    shown,
    since,
    snippet_for,
    standing,
    summary,
)

if TYPE_CHECKING:
    from plateau_doctor.diagnosis import Diagnosis
    from plateau_doctor.examination import Examination, RunExamination
    from plateau_doctor.fix import Fix
    from plateau_doctor.missing import Missing
    from plateau_doctor.run import Problem

__all__ = ["FRAMEWORKS", "Page", "concise", "full"]

FRAMEWORKS = {"keras": "Keras", "torch": "PyTorch"}
MOST_ASKED, MOST_EXPLAINED = 3, 2  # logs to add, told with the line that logs them
MOST_SIGNS = {"for": 5, "against": 2}  # the heaviest
MOST_PROBLEMS = 12
NARROWEST = 40
_SGR = {
    "bold": "1",
    "dim": "2",
    "sick": "1;31",
    "undetermined": "1;33",
    "fine": "1;32",
    "noted": "1",
    "not judged": "1",
    "code": "36",
}
_MARKS = {"sick": "✗", "undetermined": "?", "noted": "·", "fine": "✓", "not judged": "·"}
_ASCII = {"✗": "x", "✓": "v", "·": "-", "…": "...", "│": "|"}
_LABEL = 10  # columns of "  Cause   "
_VERDICT = 11


@dataclass(frozen=True)
class Page:
    """How text is set: the columns it is wrapped to, and whether in color or in plain ASCII."""

    width: int = 80
    color: bool = False
    plain: bool = False

    def paint(self, text: str, style: str = "") -> str:
        """Return text in a style, and in ASCII where asked for."""
        if self.plain:
            for char, other in _ASCII.items():
                text = text.replace(char, other)
            text = text.encode("ascii", "backslashreplace").decode("ascii")
        return f"\x1b[{_SGR[style]}m{text}\x1b[0m" if self.color and style and text else text

    def wrap(self, text: str, indent: int = 2, label: str = "", style: str = "") -> list[str]:
        """Return text wrapped at an indent; a label stands in the indent of its first line, in the style."""
        room = max(self.width, NARROWEST) - indent
        lines = textwrap.wrap(self.paint(visible(text)), room, break_on_hyphens=False) or [""]
        head = self.paint(label.ljust(indent), style) if label else " " * indent
        return [head + lines[0], *(" " * indent + line for line in lines[1:])]

    def code(self, snippet: str, indent: int) -> list[str]:
        """Return a snippet as it is, behind a bar; it is never wrapped, so that it can be copied."""
        lines = snippet.strip("\n").expandtabs(4).split("\n")
        return [" " * indent + self.paint("│ " + visible(line), "code") for line in lines]


def full(examination: Examination, *, color: bool = False, plain: bool = False, width: int = 80) -> str:
    """Return the whole story of a few runs, or of the gravest of many, and a line of counts at the end."""
    page = Page(width, color, plain)
    told, further, left = apart(examination.runs)
    blocks = [_run(one, examination, page) for one in told]
    if further:
        lines = [line for one in further for line in _further(one, page)]
        blocks.append([page.paint("Further", "bold"), *lines])
    if left:
        blocks.append(page.wrap(f"… and {left}; --format concise has a line for each, --html a page", 0))
    siblings = first_families_say(examination)
    if siblings:
        lines = [line for said in siblings for line in page.wrap(said, 4, "  =")]
        blocks.insert(0, [page.paint("Siblings", "bold"), *lines])
    if examination.problems:
        blocks.append([page.paint("Not read", "bold"), *_problems(examination.problems, page)])
    blocks.append(page.wrap(summary(examination), 0))
    return uncommanded("\n\n".join("\n".join(block) for block in blocks) + "\n")


def concise(examination: Examination, *, color: bool = False, plain: bool = False, width: int = 80) -> str:
    """Return a line for siblings that are stuck together, one a run and one a verdict, and a line of counts.

    None of them is wrapped.
    """
    page = Page(width, color, plain)
    lines = [page.paint(visible(said)) for said in first_families_say(examination)]
    for one in examination.runs:
        lines.append(_line(one, page))
        lines += [page.paint(f"  {visible(verdict_says(verdict))}") for verdict in one.verdicts]
    return uncommanded("\n".join([*lines, page.paint(summary(examination))]) + "\n")


def _further(one: RunExamination, page: Page) -> list[str]:
    kind = standing(one)
    return page.wrap(_line(one, Page(plain=page.plain)), 4, f"  {_MARKS[kind]}", kind)


def _line(one: RunExamination, page: Page) -> str:
    parts = [page.paint(f"{visible(one.run.name)}: ", "bold") + page.paint(STATES[one.state], standing(one))]
    plateau = last_plateau(one)
    if plateau is not None:
        parts[0] += page.paint(f" since {since(plateau)}")
    if one.diagnoses:
        hedge = "perhaps " if one.diagnoses[0].severity == "note" else ""
        parts.append(hedge + ", ".join(f"{d.cause} ({confidence(d)})" for d in one.diagnoses))
    elif standing(one) == "undetermined":
        parts.append(
            "undetermined" + (f", could be {', '.join(one.undetermined)}" if one.undetermined else "")
        )
    return ": ".join([parts[0], *(page.paint(visible(part)) for part in parts[1:])])


def _run(one: RunExamination, examination: Examination, page: Page) -> list[str]:
    kind = standing(one)
    title = page.wrap(f"{one.run.name}: {STATES[one.state]}", 2, _MARKS[kind])
    lines = [page.paint(line, kind) for line in title]
    lines += page.wrap(_answer(one))
    if kind in ("sick", "noted"):
        lines += _why(one, page) + _what_to_do(one, examination.fixes, page) + _others(one, page)
    elif kind == "undetermined":
        lines += _open(one, page)
    elif one.checked and not one.trials:
        lines += page.wrap("; ".join(one.checked), 11, "  Checked", "dim")
    if one.trials:
        lines += _tried(one, examination.fixes, page)
    lines += _gate(one, examination, page)
    if one.run.problems:
        lines += _problems(one.run.problems, page)
    return lines


def _gate(one: RunExamination, examination: Examination, page: Page) -> list[str]:
    """Say which findings of a run do not count and why, and what was required of it and not logged."""
    gate, name = examination.gate, one.run.name
    said = [f"{w.cause} does not count, {w.by}: {w.why}" for w in gate.waivers if w.run == name]
    said += [f"required, not logged: {lack.log}; {lack.how}" for lack in gate.lacks if lack.run == name]
    return [line for text in said for line in page.wrap(text, 4, "  !")]


def _tried(one: RunExamination, fixes: Mapping[str, Fix], page: Page) -> list[str]:
    """Say what the trials came to: verdicts, the change confirmed, the arms, the signs, what was not tried."""
    lines: list[str] = [""]
    for rank, verdict in enumerate(one.verdicts):
        label = "" if rank else "  Verdict"
        lines += page.wrap(verdict_says(verdict), _VERDICT, label, "bold")
    for verdict in one.verdicts:
        if verdict.kind == "confirmed" and verdict.fix in fixes:
            framework, snippet = snippet_for(fixes[verdict.fix].snippets, framework_of(one))
            where = f", in {FRAMEWORKS[framework]}:" if snippet else ""
            lines += page.wrap(f"{fixes[verdict.fix].title}{where}", _VERDICT, "  Change", "bold")
            lines += page.code(snippet, _VERDICT) if snippet else []
    lines.append("")
    lines += _table(arms_table(one.trials), page)
    for trial in one.trials:
        if trial.why:
            lines += page.wrap(f"{trial.name}: {trial.why}", 4, "  !")
    said = control_says(one)
    for verdict in one.verdicts:
        said += silence_says(verdict.fix, one.silences.get(verdict.fix, ()))
    for line in said:
        lines += page.wrap(line, 4, "  -")
    for name, why in one.untested.items():
        lines += page.wrap(f"{name}: {why}", 4, "  ?")
    return lines


def _answer(one: RunExamination) -> str:
    healthy = one.state == "improving" and not one.diagnoses
    return f"No plateau found: {one.headline}." if healthy else sentence(one)


def _table(table: Sequence[Sequence[str]], page: Page) -> list[str]:
    """Return the arms as lines; memory is left out where they would not fit."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    if sum(widths) + 2 * len(widths) > page.width:
        kept = [i for i, head in enumerate(table[0]) if head != "memory"]
        table, widths = [[row[i] for i in kept] for row in table], [widths[i] for i in kept]
    lines = []
    for rank, row in enumerate(table):
        cells = [
            c.ljust(w) if i in (0, 2) else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(page.paint(("  " + "  ".join(cells)).rstrip(), "" if rank else "dim"))
    return lines


def _why(one: RunExamination, page: Page) -> list[str]:
    top = one.diagnoses[0]
    label = "  Perhaps" if top.severity == "note" else "  Cause"
    lines = ["", *page.wrap(f"{top.cause} ({top.severity}, {confidence(top)})", _LABEL, label, "bold")]
    if not _shown_in_full(top):
        return [
            *lines,
            *page.wrap(f"no sign of its rule is seen; plateau-doctor explain {top.cause}", _LABEL),
        ]
    signs = shown(top.evidence)
    kept = [sign for side, most in MOST_SIGNS.items() for sign in [s for s in signs if s.side == side][:most]]
    for sign in kept:
        lines += page.wrap(sign.says, _LABEL + 2, " " * _LABEL + ("+" if sign.side == "for" else "-"))
    if more := len(signs) - len(kept):
        lines += page.wrap(f"… and {counted(more, 'lighter sign')}, see --html", _LABEL + 2)
    for logs, how in grouped(_deciding(one.missing, top))[:MOST_EXPLAINED]:
        lines += page.wrap(f"not logged: {logs}; {how}", _LABEL + 2, " " * _LABEL + "?")
    return lines


def _shown_in_full(top: Diagnosis) -> bool:
    """Whether a cause is worth its evidence and its fix: not a note that the fit alone makes."""
    return top.backed or top.severity != "note"


def _deciding(missing: Sequence[Missing], diagnosis: Diagnosis) -> list[Missing]:
    return [one for one in missing if diagnosis.cause in one.would_decide]


def _what_to_do(one: RunExamination, known: Mapping[str, Fix], page: Page) -> list[str]:
    lines: list[str] = []
    top = one.diagnoses[0]
    fixes = fixes_of(top, known) if _shown_in_full(top) else ()
    for fix in fixes[:1]:
        framework, snippet = snippet_for(fix.snippets, framework_of(one))
        where = f", in {FRAMEWORKS[framework]}:" if snippet else ""
        lines += page.wrap(f"{fix.title} ({fix.id}){where}", _LABEL, "  Fix", "bold")
        lines += page.code(snippet, _LABEL) if snippet else page.wrap(fix.advice, _LABEL)
    for fix in fixes[1:]:
        lines += page.wrap(f"{fix.title} ({fix.id})", _LABEL, "  or", "dim")
    return ["", *lines] if lines else []


def _others(one: RunExamination, page: Page) -> list[str]:
    top, lines = one.diagnoses[0], list[str]()
    deciding = _deciding(one.missing, top)
    explained = {how for _, how in grouped(deciding)[:MOST_EXPLAINED]}
    rest = [missing.log for missing in one.missing if missing not in deciding or missing.how not in explained]
    if rest:
        lines += page.wrap(", ".join(rest), 15, "  Not logged", "dim")
    for rank, also in enumerate(one.diagnoses[1:]):
        change = f": {', '.join(also.fixes)}" if also.fixes else ""
        less = ", but explains less" if (also.probability or 0) > (top.probability or 1) else ""
        says = f"{also.cause} ({confidence(also)}{less}){change}"
        lines += page.wrap(says, 15, "" if rank else "  Also seen", "dim")
    alike = [cause for cause in top.confused_with if cause not in {d.cause for d in one.diagnoses}]
    if alike:
        lines += page.wrap(", ".join(alike), 15, "  Look-alikes", "dim")
    return ["", *lines] if lines else []


def _open(one: RunExamination, page: Page) -> list[str]:
    """Say what is left when no cause is named, and what to log to tell."""
    lines = page.wrap(BLIND)
    if one.undetermined:
        lines += ["", *page.wrap(", ".join(one.undetermined), 12, "  Could be", "bold")]
    asked = grouped(one.missing)
    for rank, (logs, how) in enumerate(asked[:MOST_ASKED]):
        lines += page.wrap(f"{logs}: {how}", 12, "" if rank else "  Log next", "bold")
    if len(asked) > MOST_ASKED:
        lines += page.wrap(f"… and {len(asked) - MOST_ASKED} more, see --format json", 12, "", "dim")
    return lines


def _problems(problems: Sequence[Problem], page: Page) -> Iterator[str]:
    for problem in problems[:MOST_PROBLEMS]:
        yield from page.wrap(f"{problem.path}: {problem.what}: {place_of(problem)}", 4, "  !")
    if len(problems) > MOST_PROBLEMS:
        yield page.paint(f"    … and {len(problems) - MOST_PROBLEMS} more, see --format json")

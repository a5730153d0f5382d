"""A cause or a fix in full, for `explain`: what it is, what speaks for and against it, what mends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from plateau_doctor.condition import unfilled
from plateau_doctor.facts import known_facts
from plateau_doctor.facts.needs import NEEDS
from plateau_doctor.report.text import FRAMEWORKS, Page

if TYPE_CHECKING:
    from plateau_doctor.fix import Fix
    from plateau_doctor.rule import Rule

__all__ = ["explain_cause", "explain_fix", "logs_of"]


def logs_of(rule: Rule) -> tuple[str, ...]:
    """Return the logs that the signs of a rule ask for, the cheapest to have first; keys of `NEEDS`."""
    facts = known_facts()
    names = {name for sign in rule.signs for name in sign.condition.names}
    asked = {facts[name].needs for name in names & facts.keys()}
    return tuple(need for need in NEEDS if need in asked)


def explain_cause(rule: Rule, fixes: Mapping[str, Fix] | None = None) -> str:
    """Return a cause as its rule file tells it: meaning, signs with their conditions, fixes, look-alikes.

    With `fixes`, the first one that has code is told with it, for each framework.
    """
    page = Page()
    lines = [f"{rule.cause} ({rule.family}, {rule.severity}, {rule.status})", ""]
    lines += [*page.wrap(rule.says, 0), "", *page.wrap(rule.why, 0)]
    for side in ("for", "against"):
        lines += ["", f"Speaks {side} it"]
        for sign in (sign for sign in rule.signs if sign.side == side):
            shows = f" [{sign.shows}]" if sign.shows else ""
            mark = "  " + ("+" if side == "for" else "-")
            lines += page.wrap(f"{sign.strength}{shows}: {unfilled(sign.says)}", 4, mark)
            lines += page.wrap(f"when {sign.condition.text}", 6, style="dim")
    chosen = (
        next((fixes[name] for name in rule.fixes if name in fixes and fixes[name].snippets), None)
        if fixes
        else None
    )
    if chosen is not None:
        lines += ["", "Change", *page.wrap(f"{chosen.title} ({chosen.id})", 2)]
        for framework, snippet in chosen.snippets.items():
            lines += ["", f"  {FRAMEWORKS.get(framework, framework)}", *page.code(snippet, 4)]
    logs = ", ".join(NEEDS[need].log for need in logs_of(rule))
    rest = {
        "Looks at": (logs,) if logs else (),
        "Fixes": rule.fixes,
        "Easily confused with": rule.confused_with,
        "May fire without it": (rule.falsepositives,) if rule.falsepositives else (),
        "Read": rule.references,
    }
    for title, items in rest.items():
        if items:
            lines += ["", title, *(line for item in items for line in page.wrap(item, 2))]
    return "\n".join(lines)


def explain_fix(fix: Fix) -> str:
    """Return a fix: what to do, why it helps, and the code for each framework."""
    page = Page()
    lines = [f"{fix.id}: {fix.title}", "", *page.wrap(fix.advice, 0), "", *page.wrap(fix.why, 0)]
    for framework, snippet in fix.snippets.items():
        lines += ["", FRAMEWORKS.get(framework, framework), *page.code(snippet, 2)]
    if fix.references:
        lines += ["", "Read", *(line for item in fix.references for line in page.wrap(item, 2))]
    return "\n".join(lines)

"""A cause or a fix in full, for `explain`: what it is, what speaks for and against it, what mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plateau_doctor.report.text import Page

if TYPE_CHECKING:
    from plateau_doctor.fix import Fix
    from plateau_doctor.rule import Rule

__all__ = ["explain_cause", "explain_fix"]


def explain_cause(rule: Rule) -> str:
    """Return a cause as its rule file tells it: meaning, signs with their conditions, fixes, look-alikes."""
    page = Page()
    lines = [f"{rule.cause} ({rule.family}, {rule.severity}, {rule.status})", ""]
    lines += [*page.wrap(rule.says, 0), "", *page.wrap(rule.why, 0)]
    for side in ("for", "against"):
        lines += ["", f"Speaks {side} it"]
        for sign in (sign for sign in rule.signs if sign.side == side):
            shows = f" [{sign.shows}]" if sign.shows else ""
            lines += page.wrap(
                f"{sign.strength}{shows}: {sign.condition.text}", 4, "  " + ("+" if side == "for" else "-")
            )
    rest = {
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
        lines += ["", framework, *page.code(snippet, 2)]
    if fix.references:
        lines += ["", "Read", *(line for item in fix.references for line in page.wrap(item, 2))]
    return "\n".join(lines)

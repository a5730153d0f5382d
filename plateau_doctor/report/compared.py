"""A Comparison in words or as JSON: what got worse, by how much, and how sure that is."""

from __future__ import annotations

import json
import math
import textwrap
from typing import TYPE_CHECKING, Any

from plateau_doctor.letters import uncommanded, visible
from plateau_doctor.report.words import counted, number

if TYPE_CHECKING:
    from plateau_doctor.compare import Comparison, Measure, Pair

__all__ = ["compared_json", "compared_text"]

COLUMNS = 80


def compared_text(found: Comparison) -> str:
    """Return the answer first, then each pair with its numbers."""
    bad = sum(one.worse for one in found.pairs)
    lines = [f"{bad} of {counted(len(found.pairs), 'group')} worse" if bad else "no group is worse"]
    for pair in found.pairs:
        lines += ["", *_pair(pair)]
    for names, side in ((found.only_base, "BASE"), (found.only_head, "HEAD")):
        if names:
            lines += ["", f"only in {side}: {', '.join(names)}"]
    return uncommanded("\n".join(wrapped for line in lines for wrapped in _wrapped(visible(line))) + "\n")


def compared_json(found: Comparison) -> str:
    """Return the same for machines; what is not finite is null."""
    whole = {
        "worse": found.worse,
        "pairs": [_as_json(one) for one in found.pairs],
        "only_base": list(found.only_base),
        "only_head": list(found.only_head),
    }
    return json.dumps(whole, indent=2, allow_nan=False) + "\n"


def _wrapped(line: str) -> list[str]:
    """Return a line in as many as fit into a terminal, further ones below the words behind its mark."""
    return textwrap.wrap(line, COLUMNS, subsequent_indent="    ", break_on_hyphens=False) or [""]


def _pair(pair: Pair) -> list[str]:
    sides = f"{counted(len(pair.base), 'run')} of BASE, {len(pair.head)} of HEAD"
    lines = [f"{pair.name}: {'worse' if pair.worse else 'not worse'} ({sides})"]
    lines += [f"  {_mark(one)} {_says(one)}" for one in pair.measures]
    if any(one.low is None and math.isfinite(one.change) for one in pair.measures):
        lines.append("  ? one run on each side, so the noise of seeds is unknown")
    for one in pair.new:
        fails = "" if one.stops else " (does not count)"
        lines.append(
            f"  {'x' if one.stops else '-'} new finding in {one.run}: {one.cause}{fails}: {one.says}"
        )
    if pair.gone:
        lines.append(f"  + no longer found: {', '.join(pair.gone)}")
    return lines


def _mark(one: Measure) -> str:
    return "-" if not one.worse else "x" if one.decides else "!"


def _says(one: Measure) -> str:
    there = f"{one.axis} {number(one.base)}"
    if one.what == "time" and math.isnan(one.head):
        return f"{one.tag} never reaches BASE's level, which BASE reaches at {there}"
    if one.what == "time":
        said = f"{one.tag} reaches BASE's level at {one.axis} {number(one.head)}, BASE at {there}"
    else:
        said = f"{one.tag} ends at {number(one.head)}, BASE at {number(one.base)}"
    return f"{said}: {_change(one)}"


def _change(one: Measure) -> str:
    if not math.isfinite(one.change):
        return "worse, whatever the seed"
    words = ("later", "sooner") if one.what == "time" else ("worse", "better")
    size = f"{_size(one, one.change)} {words[one.change <= 0]}"
    bar = f"counts from {_size(one, one.tolerance)}"
    if one.low is None:
        return f"{size}; {bar}"
    return f"{size}, at least {_signed(one, one.low)} at 95% over seeds; {bar}"


def _size(one: Measure, change: float) -> str:
    if one.unit == "points":
        return f"{abs(change):.1f} points"
    return f"{abs(math.expm1(min(change, 700.0))):.1%}"


def _signed(one: Measure, change: float) -> str:
    return f"{'+' if change >= 0 else '-'}{_size(one, change)}"


def _as_json(pair: Pair) -> dict[str, Any]:
    keys = ("what", "tag", "base", "head", "change", "low", "unit", "tolerance", "decides", "worse", "axis")
    return {
        "name": pair.name,
        "worse": pair.worse,
        "base": list(pair.base),
        "head": list(pair.head),
        "measures": [{key: _finite(getattr(one, key)) for key in keys} for one in pair.measures],
        "new": [{"run": one.run, "cause": one.cause, "fails": one.stops} for one in pair.new],
        "gone": list(pair.gone),
    }


def _finite(value: object) -> object:
    return value if not isinstance(value, float) or math.isfinite(value) else None

"""What was read from a path, for `inspect`: every tag, its role and why, segments, gaps, siblings and problems."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from plateau_doctor.facts.siblings import find_siblings
from plateau_doctor.letters import uncommanded, visible
from plateau_doctor.report.words import counted, number, place_of
from plateau_doctor.run import Problem, Run

__all__ = ["describe"]

MOST_NAMED = 8


def describe(found: Iterable[Run | Problem], format: str = "text") -> str:
    """Return what a reader made of some files, as `text` or `json`, before any diagnosis.

    Raises:
        ValueError: There is no such format.
    """
    if format not in ("text", "json"):
        raise ValueError(f"no format is called {format!r}; there are text, json")
    items = list(found)
    runs = [one for one in items if isinstance(one, Run)]
    problems = [one for one in items if isinstance(one, Problem)]
    siblings = _siblings(runs)
    if format == "json":
        whole = {
            "runs": [_facts_of(run) for run in runs],
            "siblings": siblings,
            "problems": _letters(problems),
        }
        return json.dumps(whole, indent=2, allow_nan=False)
    blocks = [_text(_facts_of(run)) for run in runs]
    blocks += [[_family(one) for one in siblings]] if siblings else []
    blocks += (
        [[f"not read: {p['path']}: {p['what']}: {p['why']}" for p in _letters(problems)]] if problems else []
    )
    return uncommanded("\n\n".join("\n".join(visible(line) for line in block) for block in blocks))


def _facts_of(run: Run) -> dict[str, Any]:
    tags: list[dict[str, Any]] = []
    for tag, rows in run.scalars.groupby("tag", sort=False):
        role = rows["role"].iloc[0]
        tags.append(
            {
                "tag": str(tag),
                "role": role if isinstance(role, str) else None,
                "why": run.reasons.get(str(tag), ""),
                "points": len(rows),
                "first_step": float(rows["step"].min()),
                "last_step": float(rows["step"].max()),
                "segments": int(rows["segment"].nunique()),
                "rewritten": int((~rows["live"]).sum()),
            }
        )
    return {
        "name": run.name,
        "source": run.source,
        "format": run.format,
        "tags": tags,
        "histograms": _histograms(run),
        "notes": _notes(run),
        "settings": {str(key): _plain(value) for key, value in run.settings.items()},
        "problems": _letters(run.problems),
    }


def _histograms(run: Run) -> list[dict[str, Any]]:
    groups = run.histograms.groupby("tag", sort=False)
    return [{"tag": str(tag), "kind": str(rows["kind"].iloc[0]), "points": len(rows)} for tag, rows in groups]


def _notes(run: Run) -> list[str]:
    """Return why logs were joined and tags left out: reasons that belong to no tag which is there."""
    tags = set(run.scalars["tag"])
    return [f"{name}: {why}" for name, why in run.reasons.items() if name not in tags]


def _siblings(runs: Sequence[Run]) -> list[dict[str, list[str]]]:
    """Return the names of runs that are siblings, and the settings in which they differ."""
    found = find_siblings(runs)
    families = dict.fromkeys(found[i].family for i in sorted(found))
    return [
        {
            "runs": [one.name for one in family.members],
            "differ_in": sorted(
                key
                for key in {key for one in family.members for key in one.settings}
                if len({one.settings.get(key) for one in family.members}) > 1
            ),
        }
        for family in families
    ]


def _family(one: dict[str, list[str]]) -> str:
    names = ", ".join(one["runs"][:MOST_NAMED])
    more = len(one["runs"]) - MOST_NAMED
    said = f" and {more} more" if more > 0 else ""
    apart = f"; they differ in {', '.join(one['differ_in'])}" if one["differ_in"] else ""
    return f"siblings: {names}{said}{apart}"


def _text(run: dict[str, Any]) -> list[str]:
    lines = [f"{run['name']} ({run['format']}, {run['source']})"]
    wide = min(40, max((len(t["tag"]) for t in run["tags"]), default=0))
    for tag in run["tags"]:
        steps = f"steps {number(tag['first_step'])}..{number(tag['last_step'])}"
        span = f"{counted(tag['points'], 'point')}, {steps}"
        if tag["segments"] > 1:
            span += f", {tag['segments']} segments, {tag['rewritten']} rewritten"
        why = f" ({tag['why']})" if tag["why"] else ""
        lines.append(f"  {tag['tag'].ljust(wide)}  {tag['role'] or 'unknown'}{why}: {span}")
    lines += [
        f"  {h['tag'].ljust(wide)}  {h['kind']} histogram: {counted(h['points'], 'point')}"
        for h in run["histograms"]
    ]
    lines += [f"  {note}" for note in run["notes"]]
    if run["settings"]:
        lines.append("  settings: " + ", ".join(f"{k}={number(v)}" for k, v in run["settings"].items()))
    return lines + [f"  problem: {p['path']}: {p['what']}: {p['why']}" for p in run["problems"]]


def _letters(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    return [
        {"path": p.path, "what": p.what, "why": place_of(p), "offset": p.offset, "length": p.length}
        for p in problems
    ]


def _plain(value: float | str | bool) -> float | str | bool | None:
    """Return a value that JSON has."""
    if isinstance(value, (bool, str)):
        return value
    number = float(value)
    return number if number - number == 0 else None

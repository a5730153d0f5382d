"""What verifications came to, against the truth: a line a pair, and the table of measures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from accuracy import wilson

__all__ = ["helps", "in_a_line", "table"]

EARLY = 0.2  # share of a run


def helps(gain: list[float] | str) -> bool | None:
    """Whether a fix helps at full length; None where that is not clear, or cannot be told."""
    if isinstance(gain, str):
        return None
    mean, error = gain
    if mean < 1.0:
        return False
    return True if mean > 2 * error else None


def in_a_line(told: dict[str, Any]) -> str:
    """Return what came of a pair."""
    tried = ", ".join(f"{fix} {kind}" for fix, kind in told["as_user"]) or "nothing to try"
    truth = ", ".join(f"{fix} {helps(gain)}" for fix, gain in told["gains"].items())
    causes = f"{' '.join(told['causes'][:2]) or 'no cause'} -> {' '.join(told['again'][:2]) or 'no cause'}"
    sound = "" if faulty(told) else " (not faulty)"
    return f"{told['pair']}{sound}: {causes} | {tried} | truth: {truth}"


def faulty(told: dict[str, Any]) -> bool:
    """Whether the script without its sickness ends better."""
    return helps(told["undone"]) is True


def table(told: Sequence[dict[str, Any]]) -> list[str]:
    """Return the lines of the table of measures."""
    verdicts = [(helps(one["gains"][fix]), kind) for one in told for fix, kind in one["alone"].items()]
    useless = [kind == "confirmed" for truth, kind in verdicts if truth is False]
    useful = [kind == "confirmed" for truth, kind in verdicts if truth is True]
    refuted = [kind == "refuted" for truth, kind in verdicts if truth is True]
    ended = [
        any(kind == "confirmed" and helps(one["gains"][fix]) for fix, kind in one["as_user"]) for one in told
    ]
    ill = [hit for hit, one in zip(ended, told, strict=True) if faulty(one)]
    first, before = (
        [one["pair"].split("-")[-1] in one[which][:1] for one in told] for which in ("suspects", "before")
    )
    lines = [f"{len(told)} pairs of script and sickness, {len(verdicts)} fixes tried on them"]
    lines += [f"{'measure':64s} {'n':>4s} {'share':>7s}  95 % interval"]
    for what, hits in (
        ("confirmed among fixes that do not help at full length", useless),
        ("confirmed among fixes that help at full length", useful),
        ("refuted among fixes that help at full length", refuted),
        ("faulty pairs that end with a confirmed fix that really helps", ill),
        ("  all pairs, those that are not faulty counted as missed", ended),
        ("pairs whose sickness is the first suspect by the log", before),
        ("  with what the first control recorded", first),
    ):
        low, high = wilson(sum(hits), len(hits))
        share = f"{np.mean(hits):7.1%}" if hits else f"{'-':>7s}"
        lines.append(f"{what:64s} {len(hits):4d} {share}  {low:.1%} to {high:.1%}")
    for what, costs in (
        ("cost to a verdict, in original runs, median", [one["cost"] for one in told]),
        (
            f"  where the plateau began before {EARLY:.0%}",
            [o["cost"] for o in told if o["onset"] is not None and o["onset"] < EARLY],
        ),
    ):
        lines.append(f"{what:64s} {len(costs):4d} {np.median(costs) if costs else float('nan'):7.2f}")
    return lines

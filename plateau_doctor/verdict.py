"""Whether a fix helped: effects paired over seeds, an interval for few of them, and a word by interval and threshold.

The effect of a fix is ln(control / treated) of the held-out loss, or points of a metric.

The interval is a moderated t (Smyth 2004, doi:10.2202/1544-6115.1027): the variance of few seeds is shrunk toward a
prior, whose degrees of freedom and variance `benchmarks/seed_variance.py` measures on the corpus. Its error is spent
over looks, after 2, 3, 5 and 8 seeds, by the power family of Kim and DeMets (1987, doi:10.1093/biomet/74.1.149), a
quarter of it at the first, in increments that hold by the union bound whatever the looks have in common; and over the
fixes by weighted Bonferroni: falling weights in the order in which they were asked for (the fallback procedure of Wiens
2003, doi:10.1002/pst.64), or a fifth of it in equal parts and the rest by the square of what speaks for each. So it
does not matter which of them are followed up, nor in which order. What speaks for a fix is taken from the log and from
the gradients of the first control, not from its score; that the two are independent where no fix helps is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = [
    "ALPHA",
    "FEWEST",
    "LOSS",
    "POINTS",
    "Interval",
    "Kind",
    "Measure",
    "Pair",
    "Verdict",
    "alpha_by_worth",
    "alpha_of_fix",
    "alpha_of_look",
    "effects",
    "interval",
    "judge",
    "looks_of",
]

Kind = Literal["confirmed", "refuted", "inconclusive", "failed"]

ALPHA = 0.05  # of all looks and all fixes together, half of it on either side
FEWEST = 2  # pairs without which nothing is known of the spread
FIRST_LOOK = 0.25  # share of the error of a fix that its first look may spend, where others may follow
EQUAL = 0.2  # of the error that fixes share in equal parts
LEAST_LOSS = 1e-8  # a loss that is smaller counts as this


@dataclass(frozen=True)
class Measure:
    """A scale on which arms are compared.

    Attributes:
        unit: `log ratio` of a loss, or `points` of a metric (hundredths, for one on 0..1).
        threshold: Least effect that is worth a change.
        degrees: Degrees of freedom that the prior of the seed variance is worth.
        variance: Variance of an effect between seeds, by the prior.
    """

    unit: Literal["log ratio", "points"]
    threshold: float
    degrees: float
    variance: float


LOSS = Measure("log ratio", -math.log(0.95), 1.11, 0.0132)  # the loss falls by 5 %
POINTS = Measure("points", 1.0, 0.89, 6.46)


@dataclass(frozen=True)
class Pair:
    """Scores of control and treated arm of one seed: a loss, or a metric in points."""

    control: float
    treated: float


@dataclass(frozen=True)
class Interval:
    """An estimate and what it may be; the ends are infinite where no error is left to spend."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """What the trials of one fix came to.

    Attributes:
        fix: Its id.
        kind: `confirmed`, `refuted`, `inconclusive` or `failed`.
        why: The reason, with its numbers, as a part of a sentence.
        gain: Mean effect, None where nothing could be compared.
        low: Lower end of its interval.
        high: Upper end.
        unit: Unit of the three.
        alpha: Two-sided error of the interval, what this look was given of the whole.
        seeds: Pairs that were compared.
        cost: Steps of all arms it took, in original runs; None where the log does not tell.
    """

    fix: str
    kind: Kind
    why: str
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    alpha: float | None = None
    seeds: int = 0
    cost: float | None = None


def judge(
    fix: str,
    pairs: Sequence[Pair],
    measure: Measure,
    alpha: float,
    *,
    reproduced: bool = True,
    effective: bool = True,
) -> Verdict:
    """Return the verdict of one look.

    Args:
        fix: Id of the fix.
        pairs: Scores of the seeds so far.
        measure: The scale they are on.
        alpha: Two-sided error that this look may spend.
        reproduced: Whether the control showed the plateau again.
        effective: Whether arms differ between seeds.
    """
    if not pairs:
        return Verdict(fix, "failed", "no seed has both a control and a treated arm that ran")
    deltas = effects(pairs, measure)
    if len(pairs) < FEWEST:
        why = "one seed tells nothing of the spread between seeds"
        return Verdict(fix, "inconclusive", why, float(deltas[0]), unit=measure.unit, seeds=1)
    found = interval(deltas, measure, alpha)
    kind, why = _kind(found, measure)
    if not effective:
        kind, why = "inconclusive", "seed not effective: the arms are identical across seeds"
    elif not reproduced:
        kind, why = "inconclusive", "not reproduced: the control does not show the trouble again"
    ends = _known(found.low), _known(found.high)
    return Verdict(fix, kind, why, found.estimate, *ends, measure.unit, alpha, len(pairs))


def effects(pairs: Sequence[Pair], measure: Measure) -> np.ndarray:
    """Return the effect of each pair, shape (n,); above 0 is better."""
    control = np.array([pair.control for pair in pairs], dtype=float)
    treated = np.array([pair.treated for pair in pairs], dtype=float)
    if measure.unit == "points":
        return np.asarray(treated - control)
    return np.asarray(np.log(np.maximum(control, LEAST_LOSS) / np.maximum(treated, LEAST_LOSS)))


def interval(deltas: np.ndarray, measure: Measure, alpha: float) -> Interval:
    """Return the mean of effects (n,) and its moderated two-sided interval of error `alpha`.

    The variance is (d0 s0² + (n - 1) s²) / (d0 + n - 1), with as many degrees of freedom as the divisor.
    """
    from scipy.special import stdtrit

    n, estimate = len(deltas), float(np.mean(deltas))
    own = float(np.var(deltas, ddof=1)) if n > 1 else 0.0
    degrees = measure.degrees + n - 1
    variance = (measure.degrees * measure.variance + (n - 1) * own) / degrees
    half = float(stdtrit(degrees, 1 - alpha / 2)) * math.sqrt(variance / n) if alpha > 0 else math.inf
    return Interval(estimate, estimate - half, estimate + half)


def looks_of(planned: int) -> tuple[int, ...]:
    """Return after how many seeds a fix is judged: 2, 3, 5, 8 and so on, up to those that are planned."""
    looks = [min(FEWEST, planned)]
    step = 1
    while looks[-1] < planned:
        looks, step = [*looks, min(planned, looks[-1] + step)], looks[-1]
    return tuple(looks)


def alpha_of_look(seeds: int, planned: int, alpha: float) -> float:
    """Return the two-sided error that the look after `seeds` of the `planned` seeds may spend; none before two.

    The looks of one fix together spend `alpha`: until each, a power of the share of the seeds.
    """
    if seeds < FEWEST:
        return 0.0
    power = math.log(FIRST_LOOK) / math.log(FEWEST / planned) if planned > FEWEST else 1.0
    last = max((look for look in looks_of(planned) if look < seeds), default=0)
    return float(alpha * (min(1.0, seeds / planned) ** power - (last / planned) ** power))


def alpha_of_fix(rank: int, fixes: int, alpha: float = ALPHA) -> float:
    """Return the error that a fix may spend: each half as much as the one before it, all together `alpha`."""
    return float(alpha * 2.0 ** (fixes - 1 - rank) / (2.0**fixes - 1))


def alpha_by_worth(worth: Sequence[float], alpha: float) -> tuple[float, ...]:
    """Return the error that each fix may spend: a fifth of it in equal parts, the rest by the square of its worth."""
    whole = math.fsum(one * one for one in worth)
    return tuple(alpha * (EQUAL / len(worth) + (1 - EQUAL) * one * one / whole) for one in worth)


def _kind(found: Interval, measure: Measure) -> tuple[Kind, str]:
    bar = _amount(measure.threshold, measure)
    if found.low > 0 and found.estimate >= measure.threshold:
        return "confirmed", f"all of the interval is above 0 and the estimate is at least {bar}"
    if found.high < measure.threshold:
        return "refuted", f"all of the interval is below {bar}, the least that is worth a change"
    if found.low > 0:
        return "inconclusive", f"it helps, but the estimate is below {bar}, the least that is worth a change"
    return "inconclusive", f"the interval holds both 0 and {bar}, the least that is worth a change"


def _amount(effect: float, measure: Measure) -> str:
    return f"{1 - math.exp(-effect):.0%}" if measure.unit == "log ratio" else f"{effect:g} points"


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None

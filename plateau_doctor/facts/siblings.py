"""Facts about the other runs of an analysis that are siblings of this one: other seeds, other points of a sweep.

What a sibling did with one setting changed is the nearest to an experiment that a log can hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from plateau_doctor.facts.logged import Logged
from plateau_doctor.facts.loss import first_level, last_level, state_name
from plateau_doctor.facts.needs import BESIDE
from plateau_doctor.facts.rate import peak_rate
from plateau_doctor.facts.registry import REGISTRY, Value, fact
from plateau_doctor.kinship import Place, families, place_of, settings_of
from plateau_doctor.run import Run, scalar_frame
from plateau_doctor.siblings import Family, Siblings
from plateau_doctor.summary import Seeds, Summary, of_one_scale

__all__ = ["find_siblings", "siblings_of", "summary_of", "told_by"]


def find_siblings(runs: Sequence[Run | Logged]) -> dict[int, Siblings]:
    """Return what each run knows of its siblings, by its place in `runs`; runs without any are left out.

    Curves are looked at only where runs lie together, once for each run.
    """
    seen = [Logged.of(run) for run in runs]
    return siblings_of([place_of(one.run) for one in seen], lambda i: summary_of(seen[i]))


def siblings_of(places: Sequence[Place], summary: Callable[[int], Summary]) -> dict[int, Siblings]:
    """Return the same of runs that stand at these places; `summary` gives that of the run at a place of the list."""
    found: dict[int, Siblings] = {}
    for group in families(places):
        summaries = [summary(i) for i in group]
        chosen = of_one_scale(summaries)
        if len(chosen) >= 2:
            family = Family([summaries[k] for k in chosen])
            found |= {group[k]: Siblings(family, summaries[k]) for k in chosen}
    return found


def told_by(siblings: Siblings) -> dict[str, Value]:
    """Return the facts that a run's siblings tell, by name: all that has to be known of them to diagnose the run."""
    logged = Logged(_no_run(), siblings)  # these facts look at nothing but the siblings
    return {name: one.compute(logged) for name, one in REGISTRY.items() if one.needs == BESIDE}


@cache
def _no_run() -> Run:
    return Run("", "", "", scalar_frame([]))


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def summary_of(logged: Logged) -> Summary:
    """Return what a run tells its siblings; a learning rate that was logged as a curve counts as a setting."""
    settings, rate = settings_of(logged.run), peak_rate(logged)
    if rate is not None and not isinstance(settings.get("learning_rate"), float):
        settings["learning_rate"] = float(f"{rate:.3g}")
    curve, state = logged.primary, state_name(logged, "state")
    if curve is None or not len(curve.values):  # never logged, or never a number
        return Summary(logged.run.name, settings, state)  # type: ignore[arg-type]
    plateaus, held_out = logged.plateaus(curve.role), logged.curve("val_loss")
    last = plateaus[-1] if plateaus and plateaus[-1].end_step >= curve.bin_steps[-1] else None
    epoch = last.start_epoch if last is not None else None
    return Summary(
        name=logged.run.name,
        settings=settings,
        state=state,  # type: ignore[arg-type]
        tag=curve.tag,
        level=None if curve.lost[1] else last_level(curve),
        first=first_level(curve),
        lowest=float(curve.bins.min()),
        held_out=None if held_out is None or held_out.lost[1] else last_level(held_out),
        sign=curve.sign,
        steps=float(curve.steps[-1]),
        since=None if last is None else last.start_step if epoch is None else epoch,
        unit="step" if epoch is None or not math.isfinite(epoch) else "epoch",
    )


@fact("siblings.count", "runs", BESIDE)
def count(logged: Logged, _: str) -> Value:
    """Other runs of the analysis that are siblings of this one, and long enough to judge."""
    return None if logged.siblings is None else float(logged.siblings.others)


@fact("siblings.stuck", "share of the siblings", BESIDE)
def stuck(logged: Logged, _: str) -> Value:
    """Share of the other siblings that are plateaued or diverged."""
    beside = logged.siblings
    if beside is None or not beside.others:
        return None
    own = beside.mine.judged and beside.mine.stuck
    return (len(beside.family.stuck) - own) / beside.others


@fact("siblings.seeds", "runs", BESIDE)
def seeds(logged: Logged, _: str) -> Value:
    """Other siblings that differ from this run in the seed alone; the seed must be logged, or in the name."""
    found = _seeds(logged)
    return None if logged.siblings is None else float(len(found.members) - 1) if found else 0.0


@fact("siblings.seeds_spread", "share of the level", BESIDE)
def seeds_spread(logged: Logged, _: str) -> Value:
    """Range of the final levels of this run and of those that differ in the seed alone, over their median."""
    found = _seeds(logged)
    return None if found is None else found.spread


@fact("siblings.shared_floor", "flag", BESIDE)
def shared_floor(logged: Logged, _: str) -> Value:
    """Whether this run and those that differ in the seed alone all end flat, within 5 % of one level."""
    found = _seeds(logged)
    return None if found is None else found.share_a_floor


@fact("siblings.seeds_escaped", "share of the siblings", BESIDE)
def seeds_escaped(logged: Logged, _: str) -> Value:
    """Share of the siblings that differ in the seed alone which are not stuck and ended a tenth lower or more."""
    found = _seeds(logged)
    return None if found is None or logged.siblings is None else found.escaped(logged.siblings.mine)


def _seeds(logged: Logged) -> Seeds | None:
    return None if logged.siblings is None else logged.siblings.seeds


@fact("siblings.escaped", "share of the level", BESIDE)
def escaped(logged: Logged, _: str) -> Value:
    """How much lower than this run the best sibling ended; negative where this run is the best."""
    beside = logged.siblings
    if beside is None:
        return None
    best = next((one for one in beside.family.best if one is not beside.mine), None)
    return None if best is None else beside.lower(best.level)


@fact("siblings.escaped_by", "text", BESIDE)
def escaped_by(logged: Logged, _: str) -> Value:
    """The one numeric setting that separates stuck siblings, this run among them, from those that escaped.

    `lower learning_rate` where all that escaped had a lower one than this run and no stuck sibling lies among
    them; None where no setting separates them, or several do.
    """
    beside = logged.siblings
    separation = beside.family.separation if beside is not None and beside.mine.stuck else None
    if beside is None or separation is None:
        return None
    side = separation.side(beside.mine.settings.get(separation.key))
    return None if side is None else f"{side} {separation.key}"


@fact("siblings.at_lower_rate", "share of the level", BESIDE)
def at_lower_rate(logged: Logged, _: str) -> Value:
    """How much lower the best sibling ended that differs in a lower learning rate (and seed) alone."""
    return _at_rate(logged, "lower")


@fact("siblings.at_higher_rate", "share of the level", BESIDE)
def at_higher_rate(logged: Logged, _: str) -> Value:
    """How much lower the best sibling ended that differs in a higher learning rate (and seed) alone."""
    return _at_rate(logged, "higher")


def _at_rate(logged: Logged, side: str) -> Value:
    beside = logged.siblings
    return None if beside is None else beside.lower(beside.family.best_at(beside.mine, side))

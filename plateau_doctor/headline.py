"""The answer in one sentence, and what was checked where nothing is wrong."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from plateau_doctor.diagnosis import Diagnosis
from plateau_doctor.facts import Facts, Logged, Value
from plateau_doctor.plateau import Plateau, State, moment
from plateau_doctor.series import Curve

__all__ = ["LIKELY", "WORRIED", "checked", "headline"]

WORRIED: Collection[State] = ("plateaued", "diverged")
LIKELY = 0.5  # of a cause that is told without a perhaps


def headline(facts: Facts, state: State, plateaus: Sequence[Plateau], found: Sequence[Diagnosis]) -> str:
    """Return how a run stands, since when, and the likeliest cause, in one sentence.

    A validation loss that is NaN beside a sound training loss is no state of the run, but nothing can be chosen by it:
    that is told, too.
    """
    told = _told(facts, state, plateaus, found)
    lost = "" if state == "diverged" else _lost_beside(facts.logged)
    if not lost:
        return told
    return f"{told[:-1]}; {lost}." if told.endswith(".") else f"{told}; {lost}"


def _told(facts: Facts, state: State, plateaus: Sequence[Plateau], found: Sequence[Diagnosis]) -> str:
    where = _where(facts, state, plateaus)
    quiet = all(one.severity == "note" for one in found)
    if found and (found[0].backed or state in WORRIED or not quiet):
        unlikely = found[0].probability is not None and found[0].probability < LIKELY
        says = f"{found[0].says[:1].lower()}{found[0].says[1:]}"
        return f"{where}; perhaps: {says}" if quiet or unlikely else f"{where}: {says}"
    if state in WORRIED:
        return f"{where}; the log does not tell why"
    return where


def _where(facts: Facts, state: State, plateaus: Sequence[Plateau]) -> str:
    primary = facts.logged.primary
    if primary is None:
        return "no loss, metric or reward was logged"
    if state == "too_short":
        n = len(primary.values)
        return f"{f'{n} points' if n > 1 else 'one point'} of {primary.tag} {'are' if n > 1 else 'is'} too few to judge"
    if state == "diverged":
        return _diverged(facts.logged, primary)
    last = next((p for p in reversed(plateaus) if p.tag == primary.tag), None)
    if state in ("plateaued", "converged") and last is not None:
        verb = "stuck" if state == "plateaued" else "converged, flat"
        return f"{verb} since {moment(last.start_step, last.start_epoch)} at {primary.tag} {last.level:.3g}"
    return f"still improving at the end ({primary.tag} {primary.values[-1]:.3g})"


def _diverged(logged: Logged, primary: Curve) -> str:
    """Return since when a curve is NaN or Inf, else where it was best before it ran away."""
    rows = logged.columns(primary.tag)
    lost = rows["live"] & ~np.isfinite(rows["value"])
    if lost.any():
        at = int(np.argmax(lost))
        return f"{primary.tag} is NaN or Inf from {moment(rows['step'][at], rows['epoch'][at])} on"
    best = int(np.argmin(primary.sign * primary.values))
    return f"{primary.tag} diverged after {moment(primary.steps[best], primary.epochs[best])}"


def _lost_beside(logged: Logged) -> str:
    """Return since when a validation loss is NaN or Inf to its end, where it is not what the run is judged by."""
    primary = logged.primary
    for tag in logged.tags_of("val_loss"):
        rows = logged.columns(tag)
        steps, epochs, values = (rows[name][rows["live"]] for name in ("step", "epoch", "value"))
        finite = np.flatnonzero(np.isfinite(values))
        first = int(finite[-1]) + 1 if len(finite) else 0
        gap = int(np.diff(finite).max()) - 1 if len(finite) > 1 else 0  # where not each epoch is validated
        usual = max(gap, 1) if len(finite) else 0
        if len(values) - first > usual and (primary is None or tag != primary.tag):
            return f"{tag} is NaN or Inf from {moment(steps[first], epochs[first])} on"
    return ""


def checked(facts: Facts, rules: int) -> tuple[str, ...]:
    """Return what was looked at in a run that has nothing wrong, with its numbers."""

    def line(template: str, name: str) -> str | None:
        value: Value = facts[name]
        return template.format(value) if isinstance(value, float) else None

    lines = (
        line("training loss fell by {:.0%} of its first level", "train_loss.drop"),
        line("validation loss ends {:.1%} above its best", "val_loss.rise"),
        line("validation metric ends {:.3f} below its best", "val_metric.fall"),
        line("the learning rate ends at {:.2g} of its peak", "rate.left"),
        line("the first layer's gradient is {:.2g} times the last one's", "gradients.first_last"),
    )
    return (*(one for one in lines if one), f"{rules} causes were checked; none has enough signs")

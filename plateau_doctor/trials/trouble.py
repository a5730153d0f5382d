"""Whether a trial shows the trouble of the original run again, and whether the accusing signs fell silent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plateau_doctor.condition import render
from plateau_doctor.facts import Facts
from plateau_doctor.plateau import Plateau
from plateau_doctor.rule import Rule
from plateau_doctor.run import Run
from plateau_doctor.series import curve_of
from plateau_doctor.trials.trial import Trial

__all__ = ["Silence", "Trouble", "silence_of"]

WORRIED = ("plateaued", "diverged")
BETTER = 0.05  # share of the plateau's level by which a control that shows it again may end lower


@dataclass(frozen=True)
class Trouble:
    """What the control has to show again.

    Attributes:
        state: State of the original run.
        plateau: The flat stretch it ended in, None where it ended in none.
        reaches: Whether the budget reaches the onset of that.
    """

    state: str
    plateau: Plateau | None
    reaches: bool = True

    def shown_by(self, run: Run) -> bool | None:
        """Return whether a control's run shows it again; None where the original was neither stuck nor diverged.

        It does where it is stuck or diverged itself, or where it got as far as the onset and ends no better than the
        plateau's level by 5 %, or by three times its noise.
        """
        if self.state not in WORRIED:
            return None
        if Facts(run)["state.name"] in WORRIED:
            return True
        curve = curve_of(run, self.plateau.series) if self.plateau is not None else None
        if self.plateau is None or curve is None or not self.reaches or not len(curve.bins):
            return False
        level = curve.sign * self.plateau.level
        end = float(np.median(curve.bins[-max(1, len(curve.bins) // 8) :]))
        return end >= level - max(BETTER * abs(level), 3 * self.plateau.noise)


@dataclass(frozen=True)
class Silence:
    """A sign that accused a cause in the original run, and in how many arms it is seen again.

    Attributes:
        cause: The cause.
        says: The sign, with the original run's numbers.
        control: Control arms that show it.
        treated: Treated arms that show it.
        arms: Pairs of arms it could be looked for in; 0 where the arms do not log what it asks for.
    """

    cause: str
    says: str
    control: int
    treated: int
    arms: int

    @property
    def fell_silent(self) -> bool:
        """Whether the control shows the sign, and the treated arms, most of them, do not."""
        return 2 * self.control > self.arms and 2 * self.treated < self.arms


def silence_of(
    run: Run, rule: Rule, control: Sequence[Trial], treated: Sequence[Trial]
) -> tuple[Silence, ...]:
    """Return the signs that speak for a cause in a run, measured again in its trials' arms."""
    before = Facts(run)
    pairs = [
        (Facts(one.run), Facts(other.run))
        for one, other in zip(control, treated, strict=False)
        if one.run is not None and other.run is not None
    ]
    found = []
    for sign in rule.signs:
        if sign.side != "for" or not sign.condition.evaluate(before):
            continue
        seen = [(sign.condition.evaluate(one), sign.condition.evaluate(other)) for one, other in pairs]
        known = [pair for pair in seen if None not in pair]
        in_control, in_treated = (sum(pair[place] is True for pair in known) for place in (0, 1))
        found.append(Silence(rule.cause, render(sign.says, before), in_control, in_treated, len(known)))
    return tuple(found)

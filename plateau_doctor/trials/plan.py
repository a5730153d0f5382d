"""What a verification is going to train: fixes, seeds and budget; the fixes may be chosen anew after its first arm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from plateau_doctor.fix import Fix
from plateau_doctor.letters import UsageError, did_you_mean
from plateau_doctor.plateau import Plateau
from plateau_doctor.run import Run
from plateau_doctor.trials.length import Length, length_of, onset_of, turn_of
from plateau_doctor.trials.suspects import Suspect

__all__ = ["Asked", "Budget", "Plan", "budget_of", "fixes_to_try", "most_fixes"]

SHARE = 0.2  # of the original run, where the trouble does not begin later
HORIZON = 1 / 8  # of the original run, which a plateau must last to be one (see plateau.py)
MOST_FIXES, FEWEST_FIXES = 6, 3  # that are tried, without --fix
SCREENING = (
    2.0  # original runs that the first seeds of the fixes may take together, where they are more than few
)


@dataclass(frozen=True)
class Asked:
    """What the user asked for: at most one of the three ways to say a budget."""

    share: float | None = None
    epochs: int | None = None
    minutes: float | None = None


@dataclass(frozen=True)
class Budget:
    """How long every arm trains, the same for all.

    Attributes:
        epochs: Most epochs; None where they are not known.
        steps: Most steps; likewise.
        share: The same as a share of the original run; None where its length is not known.
        seconds: What one arm is expected to take; None where the log holds no wall times.
        says: How it was come by, in a sentence.
        reaches: Whether it reaches the onset of the trouble.
    """

    epochs: int | None
    steps: int | None
    share: float | None
    seconds: float | None
    says: str
    reaches: bool = True


@dataclass(frozen=True)
class Plan:
    """Fixes in the order they are tried, seeds, and the budget of each arm.

    Attributes:
        fixes: Fixes with a change, the likeliest first. Those behind the first `most` are tried where one of these
            turns out not to be testable.
        seeds: Seeds an arm is trained with at most.
        budget: How long each trains.
        untestable: Fix -> why it is not tried.
        most: Fixes that are tried at most.
        worth: What speaks for each of the fixes, above 0, on any scale; empty where the user asked for them.
        asked: Whether the user asked for them, and wants a verdict on each; else they are screened.
    """

    fixes: tuple[Fix, ...]
    seeds: int
    budget: Budget
    untestable: Mapping[str, str] = field(default_factory=dict)
    most: int = MOST_FIXES
    worth: tuple[float, ...] = ()
    asked: bool = True

    @property
    def arms(self) -> int:
        """Arms that are trained to their end, at most: the control and each fix, with each seed."""
        return (1 + (min(self.most, len(self.fixes)) if self.asked else self.most)) * self.seeds


def fixes_to_try(
    suspects: Sequence[Suspect], fixes: Mapping[str, Fix], asked: Sequence[str] = ()
) -> tuple[tuple[Fix, ...], tuple[float, ...], dict[str, str]]:
    """Return the fixes to try, the likeliest first, what each is worth, and fix -> why another is not tried.

    A fix is worth the probability of each cause that it is for (half as much for each cause that stands before, where
    none was calibrated), over its place in that cause's list.

    Args:
        suspects: Causes that the run may have.
        fixes: All fixes, by id.
        asked: Fixes that the user wants instead; they are worth nothing said.

    Raises:
        UsageError: A fix that was asked for does not exist.
    """
    for name in asked:
        if name not in fixes:
            raise UsageError(f"no fix is called {name!r}{did_you_mean(name, fixes)}")
    worth: dict[str, float] = {}
    for rank, one in enumerate(suspects):
        likely = 0.5 ** (rank + 1) if one.probability is None else one.probability
        for place, name in enumerate(one.fixes):
            worth[name] = worth.get(name, 0.0) + likely / (place + 1)
    ranked = list(dict.fromkeys(asked)) or sorted(worth, key=lambda name: -worth[name])
    testable = [fixes[name] for name in ranked if name in fixes and fixes[name].change is not None]
    told = set(asked) or {name for one in suspects if one.named for name in one.fixes}
    why = {
        name: "only a person can do it: it has advice, but no change that a trial can make"
        for name in ranked
        if name in told and name in fixes and fixes[name].change is None
    }
    return tuple(testable), () if asked else tuple(worth[fix.id] for fix in testable), why


def most_fixes(share: float | None) -> int:
    """Return how many fixes are tried at most, where an arm takes this share of the original run."""
    return max(FEWEST_FIXES, min(MOST_FIXES, int(SCREENING / share))) if share else MOST_FIXES


def budget_of(run: Run, trouble: Plateau | None, asked: Asked) -> Budget:
    """Return how long each arm trains.

    By itself that is a fifth of the original run, or until one horizon after the onset of its trouble where that is
    later: of the plateau it ends in, or where it ends in none, of the rise of its validation loss, a quarter of which
    is to be seen.

    Raises:
        UsageError: The log does not tell what the budget is a share of.
    """
    length = length_of(run)
    onset = onset_of(run, trouble) if trouble is not None else turn_of(run)
    needed = 0.0 if onset is None else onset + HORIZON
    if asked.epochs is not None:
        share = asked.epochs / length.epochs if length.epochs else None
        says = f"--epochs {asked.epochs}"
        reaches = share is None or onset is None or share > onset
        return Budget(asked.epochs, None, share, _times(length.seconds, share), says, reaches)
    if length.epochs is None and length.steps is None:
        raise UsageError(f"{run.name}: its log tells neither epochs nor steps; give --epochs")
    if asked.minutes is not None:
        if length.seconds is None:
            raise UsageError(
                f"{run.name}: its log holds no wall times to turn --minutes into epochs; give --epochs"
            )
        share = min(1.0, 60 * asked.minutes / length.seconds)
        says = f"--minutes {asked.minutes:g}"
    else:
        share = min(1.0, max(SHARE if asked.share is None else asked.share, needed))
        says = _in_words(share, SHARE if asked.share is None else asked.share, onset)
    return _of(length, share, says, onset)


def _of(length: Length, share: float, says: str, onset: float | None) -> Budget:
    epochs = None if length.epochs is None else max(1, math.ceil(share * length.epochs - 1e-9))
    steps = None if length.steps is None else max(1, math.ceil(share * length.steps - 1e-9))
    return Budget(
        epochs,
        steps,
        share,
        _times(length.seconds, share),
        says,
        share > (onset if onset is not None else 0.0),
    )


def _in_words(share: float, asked: float, onset: float | None) -> str:
    if onset is None or share <= asked:
        return f"{share:.0%} of the original run"
    return (
        f"{share:.0%} of the original run: its trouble begins at {onset:.0%}, and a horizon is {HORIZON:.0%}"
    )


def _times(seconds: float | None, share: float | None) -> float | None:
    return None if seconds is None or share is None else seconds * share

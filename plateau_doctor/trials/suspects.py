"""What the control arm recorded, read beside the log it is trained for: which causes a verification goes by.

A control is the user's own training once more, and the wrap records it richly: gradients, weights and activations,
the recall of each class, the scale of the inputs. Most logs hold none of that. So the causes are ranked again on the
original log with what the control recorded beside it, before a fix is chosen. Curves stay the log's own: a control
is shorter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from plateau_doctor.diagnosis import rank
from plateau_doctor.facts import Facts
from plateau_doctor.readers.gradients_apart import CURVES, made_whole
from plateau_doctor.rule import Rule
from plateau_doctor.run import Run
from plateau_doctor.trials.length import length_of

__all__ = ["Suspect", "suspects_of", "with_recorded"]

LEAST = 0.1  # probability that makes a cause a suspect though it is not named


@dataclass(frozen=True)
class Suspect:
    """A cause that a run may have.

    Attributes:
        cause: Its id.
        probability: As calibrated, None where it was not.
        named: Whether the diagnosis names it.
        fixes: Ids of its fixes, the first one first.
    """

    cause: str
    probability: float | None
    named: bool
    fixes: tuple[str, ...]


def suspects_of(run: Run, rules: Sequence[Rule], left: Sequence[str] = ()) -> tuple[Suspect, ...]:
    """Return the causes that a run may have, the one that explains most first.

    These are the causes named, the likely others, and the look-alikes `left` where none is named.
    """
    found = (
        Suspect(one.cause, one.probability, one.named, one.worded.rule.fixes)
        for one in rank(Facts(run), rules)
    )
    return tuple(one for one in found if one.named or (one.probability or 0.0) >= LEAST or one.cause in left)


def with_recorded(run: Run, recorded: Run) -> Run:
    """Return a run with what its control recorded and it did not log, except curves; in the run's own steps."""
    moved = _in_steps_of(run, recorded)
    new = ~moved.scalars["role"].isin(CURVES | set(run.scalars["role"].dropna()))
    kinds = moved.histograms["kind"].isin(set(run.histograms["kind"]))
    part = replace(moved, scalars=moved.scalars[new], histograms=moved.histograms[~kinds], problems=())
    return made_whole(run, [part], "holds what a control arm recorded")


def _in_steps_of(run: Run, recorded: Run) -> Run:
    """Return a recorded run with its steps counted as those of another one count the same training."""
    steps, own = run.scalars["step"], recorded.scalars["step"]
    length = length_of(recorded)
    share = length_of(run).share(length.steps, length.epochs)
    if not len(steps) or not len(own) or share is None or own.max() <= 0:
        return recorded
    first, scale = float(steps.min()), share * float(steps.max() - steps.min() + 1) / float(own.max())
    return replace(
        recorded,
        scalars=recorded.scalars.assign(step=first + scale * own),
        histograms=recorded.histograms.assign(step=first + scale * recorded.histograms["step"]),
    )

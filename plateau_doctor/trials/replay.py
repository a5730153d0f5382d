"""The protocol on recorded runs: nothing is trained, an arm is looked up among runs that exist.

It is how the protocol itself is tested: with controls in the place of treated arms (A/A), nothing may be confirmed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence

from plateau_doctor.run import Run
from plateau_doctor.runners.process import Ended
from plateau_doctor.trials.order import Outcome
from plateau_doctor.trials.trial import Arm, Trial, judged

__all__ = ["Recorded", "replayed"]

Recorded = Run | Outcome  # what an arm logged, or what its child told


def replayed(
    arms: Mapping[str | None, Sequence[Recorded]],
) -> Callable[[Sequence[Arm]], Generator[Trial, None, None]]:
    """Return a trainer that answers from recordings.

    Args:
        arms: Fix id, None for the control -> its recordings, one a seed; seeds that have none count as failed.
    """

    def train(wanted: Sequence[Arm]) -> Generator[Trial, None, None]:
        for arm in wanted:
            recordings = arms.get(arm.fix, ())
            if arm.seed < len(recordings):
                one = recordings[arm.seed]
                told, run = (one, None) if isinstance(one, Outcome) else (None, one)
                yield judged(arm, Ended("by itself", 0), told, run)
            else:
                yield Trial(arm.fix, arm.seed, "crashed", "no recording of this seed")

    return train

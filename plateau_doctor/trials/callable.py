"""Arms trained by a Python function, in this process, one after another."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Generator, Sequence

from plateau_doctor.runners.process import Ended
from plateau_doctor.trials.launch import Launch
from plateau_doctor.trials.order import Order, Outcome
from plateau_doctor.trials.trial import Arm, Trial, trial_of

__all__ = ["Train", "trained_by"]

Train = Callable[[Order], Outcome | None]  # logs into the order's folder, under logs/


def trained_by(train: Train, launch: Launch) -> Callable[[Sequence[Arm]], Generator[Trial, None, None]]:
    """Return a trainer that calls a function with each arm's Order.

    An Outcome that it returns is written beside its logs; what it raises is a crash of the arm.
    """

    def train_all(arms: Sequence[Arm]) -> Generator[Trial, None, None]:
        for arm in arms:
            order = launch.prepared(arm)
            began = time.monotonic()
            code, tail = 0, ""
            try:
                outcome = train(order)
                if outcome is not None:
                    outcome.write(launch.folder / arm.name)
            except Exception:
                code, tail = 1, traceback.format_exc().strip()
            yield trial_of(arm, order, Ended("by itself", code, time.monotonic() - began, 0, tail))

    return train_all

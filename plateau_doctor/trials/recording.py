"""Runs a training command unmodified and records what a diagnosis needs: `plateau-doctor record`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plateau_doctor.letters import UsageError
from plateau_doctor.runners.foreground import foreground
from plateau_doctor.trials.environment import wrapped
from plateau_doctor.trials.order import Order, Outcome

__all__ = ["Recorded", "record"]


@dataclass(frozen=True)
class Recorded:
    """What came of a recording.

    Attributes:
        code: Exit status of the command, 128 + n where signal n ended it.
        outcome: What the process that trained tells; None where no Python of the command was wrapped.
    """

    code: int
    outcome: Outcome | None


def record(command: Sequence[str], logdir: Path, every: int) -> Recorded:
    """Run a command, with the trainings in it recorded into `logdir`; the folder is made when the first one begins.

    Raises:
        UsageError: The command cannot be started.
    """
    with tempfile.TemporaryDirectory(prefix="plateau-doctor-") as folder:
        order = Order(folder, logdir=str(logdir.absolute()), every=every)
        order.write()
        try:
            code = foreground(command, wrapped(order))
        except OSError as error:
            raise UsageError(f"{command[0]} cannot be started: {error.strerror or error}") from None
        return Recorded(code, Outcome.read(Path(folder)))

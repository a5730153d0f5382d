"""Training arms as child processes: folders, orders, commands, and what came back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plateau_doctor.letters import UsageError
from plateau_doctor.runners import Job, Runner
from plateau_doctor.runners.process import kill_marked
from plateau_doctor.trials.order import ENVIRONMENT, ORDER, Order
from plateau_doctor.trials.plan import Budget
from plateau_doctor.trials.trial import Arm, Trial, knobs_of, trial_of

__all__ = ["Launch", "told_where"]


@dataclass(frozen=True)
class Launch:
    """How arms become processes.

    Attributes:
        folder: The trial folder, absolute.
        budget: How long each arm trains.
        runner: Where they run.
        command: Order -> program and arguments.
        environment: Order -> variables of the child beside those inherited.
        timeout: Seconds an arm may take, None without end.
        weights: File of pretrained weights.
        checkpoint: File to start from.
    """

    folder: Path
    budget: Budget
    runner: Runner
    command: Callable[[Order], tuple[str, ...]]
    environment: Callable[[Order], Mapping[str, str]]
    timeout: float | None = None
    weights: str | None = None
    checkpoint: str | None = None

    def order(self, arm: Arm) -> Order:
        """Return what an arm is told."""
        return Order(
            folder=str(self.folder / arm.name),
            change=knobs_of(arm.change),
            seed=arm.seed,
            epochs=self.budget.epochs,
            steps=self.budget.steps,
            weights=self.weights,
            checkpoint=self.checkpoint,
        )

    def prepared(self, arm: Arm) -> Order:
        """Return an arm's order, written into its empty folder."""
        order = self.order(arm)
        _cleared(Path(order.folder))
        order.write()
        return order

    def train(self, arms: Sequence[Arm]) -> Generator[Trial, None, None]:
        """Train arms, and yield what came of each as it ends.

        Raises:
            UsageError: The trial folder cannot be written.
        """
        waiting: dict[str, tuple[Arm, Order]] = {}
        try:
            for arm in arms:
                waiting[arm.name] = (arm, self.prepared(arm))
            jobs = [self._job(arm, order) for arm, order in waiting.values()]
            running = self.runner.run(jobs)
            try:
                for job, ended in running:
                    yield trial_of(*waiting[job.name], ended)
            finally:
                running.close()
        except OSError as error:
            raise UsageError(
                f"{self.folder}: the trial folder cannot be written: {error.strerror or error}"
            ) from None

    def _job(self, arm: Arm, order: Order) -> Job:
        told = dict(self.environment(order))
        return Job(arm.name, self.command(order), order.folder, told, self.timeout, str(Path.cwd()))


def told_where(order: Order) -> dict[str, str]:
    """Return the environment of a script that takes its settings from its command line."""
    return {ENVIRONMENT: str(Path(order.folder) / ORDER)}


def _cleared(folder: Path) -> None:
    """Empty an arm's folder of an earlier attempt, and end what that may have left running."""
    kill_marked(str(folder))
    if (folder / ORDER).is_file():
        shutil.rmtree(folder)
    (folder / "logs").mkdir(parents=True, exist_ok=True)

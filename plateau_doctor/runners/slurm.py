"""Arms as Slurm jobs, through submitit; the trial folder must be on a file system that all nodes share."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from plateau_doctor.letters import UsageError
from plateau_doctor.runners.process import Ended, Job, execute, kill_marked

__all__ = ["Slurm"]

PAUSE = 0.5  # seconds between two looks at the jobs; submitit asks Slurm itself less often


class Slurm:
    """Submits each job to Slurm.

    Args:
        options: Of submitit's `update_parameters`: slurm_partition, timeout_min, mem_gb, gpus_per_node ...
        cluster: `slurm`, or `local` for processes of this machine; found by itself when None.

    Raises:
        UsageError: submitit is not installed, or an option is none of its.
    """

    def __init__(self, options: Mapping[str, Any] | None = None, cluster: str | None = None) -> None:
        try:
            import submitit
        except ImportError:
            raise UsageError("--runner slurm needs submitit: pip install 'plateau-doctor[slurm]'") from None
        self._submitit, self._options, self._cluster = (
            submitit,
            {"gpus_per_node": 1, **(options or {})},
            cluster,
        )
        self.slots = 64  # Slurm queues them
        gpus = self._options["gpus_per_node"]
        name = "Slurm" if cluster in (None, "slurm") else f"submitit on this machine ({cluster})"
        self.device = f"{name}, {f'{gpus} GPU each' if gpus else 'CPU'}"

    def run(self, jobs: Sequence[Job]) -> Generator[tuple[Job, Ended], None, None]:
        """Submit all jobs, and yield each as it ends.

        Raises:
            UsageError: An option is none of submitit's.
        """
        waiting = [(job, self._executor(job).submit(execute, job)) for job in jobs]
        try:
            while waiting:
                done = [pair for pair in waiting if pair[1].done()]
                for pair in done:
                    waiting.remove(pair)
                    yield pair[0], self._ended(pair[1])
                if not done:
                    time.sleep(PAUSE)
        finally:
            for job, submitted in waiting:
                submitted.cancel(check=False)
                kill_marked(job.folder)

    def _executor(self, job: Job) -> Any:
        executor = self._submitit.AutoExecutor(folder=Path(job.folder) / "slurm", cluster=self._cluster)
        try:
            executor.update_parameters(name="plateau-doctor", **self._options)
        except (NameError, TypeError) as error:
            raise UsageError(f"--runner-option: {error}") from None
        return executor

    def _ended(self, submitted: Any) -> Ended:
        try:
            found = submitted.result()
        except (
            self._submitit.core.utils.UncompletedJobError,
            self._submitit.core.utils.FailedJobError,
        ) as error:
            return Ended("not started", tail=str(error).strip().splitlines()[0])
        return found if isinstance(found, Ended) else Ended("not started", tail=repr(found))

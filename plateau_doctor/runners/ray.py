"""A Ray cluster: one that runs already, by address, or one that Ray starts on this machine.

What it reads and writes must be at the same place on every node, and plateau-doctor installed there.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from typing import Any

from plateau_doctor.letters import UsageError
from plateau_doctor.runners.process import GRACE, Ended, Job, execute

__all__ = ["Ray", "connected", "registered"]


def connected(address: str | None = None) -> Any:
    """Connect to a cluster and return the module `ray`.

    Args:
        address: Of a cluster that runs; that of RAY_ADDRESS, else one of this machine, when None.

    Raises:
        UsageError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError:
        raise UsageError("--runner ray needs Ray: pip install 'plateau-doctor[ray]'") from None
    where = address or os.environ.get("RAY_ADDRESS")
    try:
        ray.init(where, ignore_reinit_error=True, log_to_driver=False, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UsageError(f"no Ray cluster answers at {where}: {error}") from None
    return ray


def registered() -> str:
    """Make Ray known to joblib, and return the name of its back-end there."""
    from ray.util.joblib import register_ray

    register_ray()
    return "ray"


class Ray:
    """Runs jobs as Ray tasks; Ray gives each its GPU through CUDA_VISIBLE_DEVICES.

    Args:
        address: Of a cluster that runs; that of RAY_ADDRESS, else one of this machine, when None.
        gpus: GPUs of each job; one where the cluster has any, when None.

    Raises:
        UsageError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, address: str | None = None, gpus: float | None = None) -> None:
        ray = connected(address)
        self._ray = ray
        there = ray.cluster_resources()
        has = int(there.get("GPU", 0))
        self._gpus = float(bool(has)) if gpus is None else gpus
        self.slots = max(1, int(has / self._gpus) if self._gpus else int(there.get("CPU", 1)))
        each = (
            f"{self._gpus:g} of {has} GPUs each"
            if self._gpus
            else f"one of {there.get('CPU', 1):g} CPUs each"
        )
        self.device = f"Ray cluster, {each}"

    def run(self, jobs: Sequence[Job]) -> Generator[tuple[Job, Ended], None, None]:
        """Submit all jobs, and yield each as it ends."""
        task = self._ray.remote(num_cpus=1, num_gpus=self._gpus, max_retries=0)(execute)
        waiting = {task.remote(job): job for job in jobs}
        try:
            while waiting:
                (first, *_), _ = self._ray.wait(list(waiting), num_returns=1)
                job = waiting.pop(first)
                try:
                    yield job, self._ray.get(first)
                except (
                    self._ray.exceptions.RayError
                ) as error:  # a node that went away, or a worker that was killed
                    yield job, Ended("not started", tail=str(error).strip().splitlines()[-1])
        finally:
            for reference in waiting:  # raises KeyboardInterrupt in the task, which ends its child
                self._ray.cancel(reference)
            if waiting:
                self._ray.wait(list(waiting), num_returns=len(waiting), timeout=2 * GRACE)

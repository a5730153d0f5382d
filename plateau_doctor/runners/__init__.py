"""Runners: where the arms of a trial run. One file an engine; each takes Jobs and yields how they ended.

A runner has `device` (where its jobs run, in words), `slots` (how many at a time) and
`run(jobs) -> Iterator[tuple[Job, Ended]]`, which yields each job as it ends; closing the iterator, or an interrupt in
it, stops what still runs and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

from plateau_doctor.runners.process import Ended, Job, execute

__all__ = ["Ended", "Job", "Runner", "execute"]


class Runner(Protocol):
    """Something that runs jobs."""

    device: str
    slots: int

    def run(self, jobs: Sequence[Job]) -> Generator[tuple[Job, Ended], None, None]:
        """Run the jobs, the first ones first, and yield each as it ends."""
        ...

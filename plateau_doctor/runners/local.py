"""Arms on this machine: one a GPU through CUDA_VISIBLE_DEVICES, or several on the CPU."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from plateau_doctor.runners.process import Ended, Job, execute

__all__ = ["Local", "find_gpus"]

VISIBLE = "CUDA_VISIBLE_DEVICES"
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


class Local:
    """Runs jobs as child processes of this machine.

    Args:
        gpus: Ids of GPUs, each given to one job at a time; none for the CPU, found by itself when None.
        jobs: Jobs at a time on the CPU, which then share its cores.
    """

    def __init__(self, gpus: Sequence[str] | None = None, jobs: int = 1) -> None:
        found = find_gpus() if gpus is None else tuple(gpus)
        self._places: list[Mapping[str, str]] = (
            [{VISIBLE: gpu} for gpu in found] if found else [_on_cpu(jobs, told=gpus is not None)] * jobs
        )
        self.slots = len(self._places)
        self.device = f"GPU {', '.join(found)}" if found else _cpu_in_words(jobs, gpus is None)

    def run(self, jobs: Sequence[Job]) -> Generator[tuple[Job, Ended], None, None]:
        """Run the jobs, as many at a time as there are places, and yield each as it ends.

        Raises:
            OSError: A job's folder cannot be written.
        """
        stop = threading.Event()
        free: queue.SimpleQueue[Mapping[str, str]] = queue.SimpleQueue()
        for place in self._places:
            free.put(place)

        def one(job: Job) -> tuple[Job, Ended]:
            if stop.is_set():
                return job, Ended("stopped")
            place = free.get()
            try:
                return job, execute(job, stop.is_set, place)
            finally:
                free.put(place)

        with ThreadPoolExecutor(self.slots) as pool:
            try:
                for future in as_completed([pool.submit(one, job) for job in jobs]):
                    yield future.result()
            finally:
                stop.set()  # the pool waits on leaving until each has killed its own


def find_gpus() -> tuple[str, ...]:
    """Return the ids of the GPUs that may be used: those of CUDA_VISIBLE_DEVICES, else all that nvidia-smi lists."""
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        return tuple(one.strip() for one in visible.split(",") if one.strip() not in ("", "-1"))
    if shutil.which("nvidia-smi") is None:
        return ()
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in listed.splitlines() if line.strip().isdigit())


def _on_cpu(jobs: int, told: bool) -> dict[str, str]:
    """Return what an arm on the CPU is told: no GPU where none is wanted, and its share of the cores."""
    place = {VISIBLE: ""} if told else {}
    if jobs > 1:
        share = str(max(1, (os.cpu_count() or 1) // jobs))
        place |= {name: share for name in THREADS if name not in os.environ}
    return place


def _cpu_in_words(jobs: int, looked: bool) -> str:
    why = "no GPU was found" if looked else "no GPU was asked for"
    return f"CPU ({why})" if jobs == 1 else f"CPU, {jobs} arms at a time ({why})"

"""One job as a child process: its own process group, a time-out, and nothing left running when it is over.

A child may ignore SIGTERM, fork, or leave its group. Its descendants are known by a variable in their environment, so
that on Linux even those that made a session of their own are found in /proc and killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

__all__ = ["MARK", "Ended", "Job", "execute", "kill_marked"]

MARK = "PLATEAU_DOCTOR_ARM"  # in the environment of a job and of all it starts: the job's folder
GRACE = 5.0  # seconds between SIGTERM and SIGKILL
LINGER = 0.2  # ... for what a child that ended by itself left behind
TAIL = 4000  # bytes of stderr that are kept


@dataclass(frozen=True)
class Job:
    """A command to run.

    Attributes:
        name: What it is called in progress and journal.
        command: Program and arguments; no shell sees them.
        folder: Where `stdout.txt` and `stderr.txt` go, absolute.
        environment: Variables beside those inherited.
        timeout: Seconds it may take; None without end.
        directory: Working directory; that of the runner where empty.
    """

    name: str
    command: tuple[str, ...]
    folder: str
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    directory: str = ""


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    Attributes:
        how: `by itself`, `timed out`, `stopped` (by us), or `not started`.
        code: Its exit status, negative for a signal; None where it never ran.
        seconds: Wall time.
        peak_memory: Largest resident memory of the child, bytes, as seen five times a second; 0 where unknown. (What
            wait4 tells counts our own memory at the fork as the child's.)
        tail: The end of its stderr, or why it did not start.
    """

    how: Literal["by itself", "timed out", "stopped", "not started"]
    code: int | None = None
    seconds: float = 0.0
    peak_memory: int = 0
    tail: str = ""


def execute(
    job: Job, stopped: Callable[[], bool] = lambda: False, extra: Mapping[str, str] | None = None
) -> Ended:
    """Run a job to its end, its time-out, or until `stopped()`; whatever it started is gone on return.

    Raises:
        OSError: Its folder cannot be written.
    """
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **job.environment, **(extra or {}), MARK: job.folder}
    began = time.monotonic()
    with (folder / "stdout.txt").open("wb") as out, (folder / "stderr.txt").open("w+b") as err:
        try:
            child = subprocess.Popen(
                job.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                cwd=job.directory or None,
                start_new_session=True,
            )
        except OSError as error:
            return Ended("not started", tail=f"{job.command[0]}: {error.strerror or error}")
        how: Literal["by itself", "timed out", "stopped"] = "stopped"
        memory = 0
        try:
            how, memory = _wait(child.pid, began, job.timeout, stopped)
        finally:
            code = _finish(child, job.folder, LINGER if how == "by itself" else GRACE)
        return Ended(how, code, time.monotonic() - began, memory, _tail(err))


def kill_marked(folder: str) -> list[int]:
    """Kill every process that was started in the name of a folder, and return their ids; Linux alone."""
    killed = []
    wanted = f"{MARK}={folder}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(entry.name) != os.getpid() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
                killed.append(int(entry.name))
    return killed


def _wait(
    pid: int, began: float, timeout: float | None, stopped: Callable[[], bool]
) -> tuple[Literal["by itself", "timed out", "stopped"], int]:
    """Wait for the end of a child without reaping it; return how it came and the child's peak memory."""
    pause, memory = 0.01, 0
    while True:
        memory = max(memory, _resident(pid))
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return "by itself", memory
        if stopped():
            return "stopped", memory
        if timeout is not None and time.monotonic() - began > timeout:
            return "timed out", memory
        time.sleep(pause)
        pause = min(0.2, pause * 1.5)


def _resident(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _finish(child: subprocess.Popen[bytes], folder: str, grace: float) -> int:
    """End the child's whole group and what left it, reap the child, and return its exit status.

    The child is reaped last: until then its id, and that of its group, cannot be given to another.
    """
    _signal(child.pid, signal.SIGTERM)
    until = time.monotonic() + grace
    while time.monotonic() < until and _running(child.pid):
        time.sleep(0.02)
    _signal(child.pid, signal.SIGKILL)
    _, status = os.waitpid(child.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    child.returncode = code  # tells Popen that the child was reaped
    while kill_marked(folder):
        time.sleep(0.01)
    return code


def _running(group: int) -> bool:
    """Whether a process of the group still runs; True where that cannot be seen."""
    try:
        entries = list(Path("/proc").glob("[0-9]*/stat"))
    except OSError:
        return True
    for entry in entries:
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, _, its_group = entry.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                return True
    return not entries


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _tail(stream: IO[bytes]) -> str:
    end = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, end - TAIL))
    return stream.read().decode("utf-8", "replace").strip()

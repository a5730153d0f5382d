"""Refuses what would change a file that was there before the trial: overwriting, deleting, renaming.

It hangs on Python's audit events, so it sees whatever goes through Python's own file functions, whoever calls
them; it does not see what native code (TensorFlow's file system, HDF5, a database) and other programs do.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from pathlib import Path
from typing import Any

from plateau_doctor.trials.arm import Arm

__all__ = ["Guard", "install"]

CHANGES = os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_APPEND
TICK = 0.05  # seconds; the clock that stamps files may lag behind
EVENTS = {
    "os.remove": "delete",
    "os.rename": "rename",
    "os.rmdir": "delete",
    "os.truncate": "overwrite",
    "shutil.rmtree": "delete",
}
FOLDERS = {
    "os.remove": 1,
    "os.rmdir": 1,
    "os.rename": 2,
    "shutil.rmtree": 1,
}  # argument with the folder's descriptor


class Guard:
    """Knows what was there before.

    Args:
        arm: Where what is refused is told.
        start: When the trial began, in seconds since 1970.
    """

    def __init__(self, arm: Arm, start: float) -> None:
        self._arm, self._start = arm, start
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        caches = [os.environ[name] for name in ("HF_HOME", "TORCH_HOME") if name in os.environ]
        self._own = tuple(f"{os.path.abspath(one)}{os.sep}" for one in (str(arm.folder), str(home), *caches))

    def was_there(self, path: str) -> bool:
        """Whether this is a file or folder, outside the trial's own and the caches, older than the trial."""
        path = os.path.abspath(path)
        if path.startswith(self._own) or f"{os.sep}__pycache__" in path or "torchinductor_" in path:
            return False
        try:
            found = os.lstat(path)
            if stat.S_ISLNK(found.st_mode):
                found = os.stat(os.path.realpath(path))
        except (OSError, ValueError):
            return False
        plain = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
        return plain and found.st_ctime < self._start

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        """Take one of Python's audit events; raise PermissionError for what is refused."""
        if event == "open":
            path, _, flags = args
            if isinstance(flags, int) and flags & CHANGES:
                self._refuse("overwrite", path)
        elif event in EVENTS:
            place = FOLDERS.get(event, len(args))
            self._refuse(EVENTS[event], args[0], *args[place : place + 1])
            if event == "os.rename" and not os.path.isdir(_text(args[1])):
                self._refuse("overwrite", args[1], *args[3:4])

    def _refuse(self, act: str, path: Any, folder: Any = None) -> None:
        name = _text(path)
        if isinstance(folder, int) and folder >= 0:
            name = os.path.join(os.path.realpath(f"/proc/self/fd/{folder}"), name)
        if name and self.was_there(name):
            self._arm.add("refused", f"would {act} {os.path.abspath(name)}")
            self._arm.write()
            raise PermissionError(f"plateau-doctor: a trial does not {act} what was there before it: {name}")


def install(arm: Arm) -> Guard:
    """Guard this process, to its end: an audit hook cannot be taken off."""
    guard = Guard(arm, time.time() - TICK)
    hear = guard.hear
    events = {"open", *EVENTS}

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in events:
            hear(event, args)

    sys.addaudithook(hook)
    return guard


def _text(path: Any) -> str:
    if isinstance(path, int):
        return ""
    try:
        return os.fsdecode(path)
    except TypeError:
        return ""

"""Sends what a script saves into the trial's folder, and lets it read there what it saved.

A file that the script means to write at `models/best.pt` is written at `saved/models/best.pt` of the trial;
from then on every look at `models/best.pt` finds the copy. So a log of the last run is not overwritten, a
checkpoint is read back as the script expects, and a second trial does not meet the first one's files. A file
that is changed in place is copied first, and one that the script deletes is only hidden from it (`folders.py`).
Folders are made where the script wants them, since native code may write there, and those that stayed empty are taken
away at the end. Only Python's own file functions go this way, and the savers that are named here; what they do not
cover and would hurt, the guard refuses.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

from plateau_doctor.trials import folders
from plateau_doctor.trials.arm import Arm

__all__ = ["SAVED", "Saving", "install"]

SAVED = "saved"
LARGEST_COPY = 64 * 2**20  # bytes; larger files that are changed in place are left to the guard
READS = ("stat", "chmod", "utime")
WhenImported = Callable[[str, Callable[[ModuleType], None]], None]


class Saving:
    """Where what is saved goes.

    Args:
        arm: Where what is redirected is told.
    """

    def __init__(self, arm: Arm) -> None:
        self._arm = arm
        self._here, self._script = os.getcwd(), _folder_of_script()
        self._saved = os.path.join(os.path.abspath(arm.folder), SAVED)
        self.elsewhere = os.path.join(self._saved, "_")  # what was meant for outside the working directory
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(Path.home(), ".cache")
        self._left = tuple(f"{one}{os.sep}" for one in (os.path.abspath(arm.folder), cache, "/dev", "/proc"))
        self._temporary = f"{os.path.realpath(tempfile.gettempdir())}{os.sep}"
        self._stat = os.stat
        self._start = time.time()
        self._any = os.path.isdir(self._saved)
        self._made: list[str] = []  # folders
        self._hidden: set[str] = set()
        arm.at_end.append(self.tidy)

    def to_write(self, path: Any, keep: bool = False) -> Any:
        """Return where a file is to be written that was meant for `path`; `keep` what it holds so far."""
        name = self.ours(path)
        if name is None:
            return path
        copy = self.copy_of(name)
        if not self.is_there(copy):
            old = self.is_there(name) and not self.is_hidden(name)
            if old and keep and self._stat(name).st_size > LARGEST_COPY:
                return path
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            if old and keep:
                shutil.copyfile(name, copy)
            self._any = True
            self._arm.add("redirected", name)
        return copy

    def to_read(self, path: Any) -> Any:
        """Return the copy of `path` where there is one or the script deleted what was there, else `path`."""
        if not self._any:
            return path
        name = self.ours(path)
        if name is None:
            return path
        copy = self.copy_of(name)
        return copy if self.is_there(copy) or self.is_hidden(name) else path

    def folder(self, path: Any) -> str:
        """Return the folder to log into that was meant to be `path`."""
        copy = self.copy_of(os.path.abspath(os.fspath(path)))
        self._any = True
        self._arm.add("redirected", os.path.abspath(os.fspath(path)))
        return copy

    def hide(self, name: str) -> None:
        """Let the script no longer see a file or folder that was there before, which it means to delete."""
        self._hidden.add(name)
        self._any = True
        self._arm.add("redirected", name)

    def is_hidden(self, name: str) -> bool:
        """Whether the script has deleted this, or a folder that it was in, to its own mind."""
        return any(name == one or name.startswith(f"{one}{os.sep}") for one in self._hidden)

    def made(self, path: Any) -> None:
        """Take note of a folder that was made."""
        name = self.ours(path)
        if name is not None:
            self._made.append(name)

    def tidy(self) -> None:
        """Take away the folders that were made and hold nothing, since what went into them was redirected."""
        for name in reversed(self._made):
            with contextlib.suppress(OSError):
                os.rmdir(name)

    @property
    def differs(self) -> bool:
        """Whether the script sees anything else than what is there: something was saved or hidden."""
        return self._any

    def ours(self, path: Any) -> str | None:
        """Return the absolute name of a path that is redirected, None for what is left where it is."""
        if isinstance(path, int) or not isinstance(path, (str, bytes, os.PathLike)):
            return None
        name = os.path.abspath(os.fsdecode(path))
        if name.startswith(self._left) or f"{os.sep}__pycache__{os.sep}" in name or "torchinductor_" in name:
            return None
        passing = name.startswith(self._temporary) and not name.startswith((self._here, self._script))
        return None if passing and not self.was_there(name) else name

    def was_there(self, name: str) -> bool:
        """Whether this was there before the trial."""
        try:
            return self._stat(name).st_ctime < self._start
        except (OSError, ValueError):
            return False

    def copy_of(self, name: str) -> str:
        """Return where that is saved which the script means to save under an absolute name."""
        if name == self._here:
            return self._saved
        if name.startswith(f"{self._here}{os.sep}"):
            return os.path.join(self._saved, os.path.relpath(name, self._here))
        return self.elsewhere + name.replace(":", "")

    def is_there(self, name: str) -> bool:
        """Whether there is such a file or folder, in truth."""
        try:
            self._stat(name)
        except (OSError, ValueError):
            return False
        return True


def install(arm: Arm, when_imported: WhenImported) -> Saving:
    """Replace the functions that open, look at, rename and delete files, and the savers in native code."""
    saving = Saving(arm)
    _replace_open(saving)
    for name in READS:
        _replace_first(saving, os, name)
    for name in ("rename", "replace", "link", "symlink"):
        _replace_move(saving, name)
    folders.install(saving)
    when_imported("h5py", lambda module: _replace_hdf5(saving, module))
    when_imported("keras", lambda module: _replace_tensorboard(saving, module))
    when_imported("torch", lambda module: _replace_torch(saving, module))
    for name in ("torch.utils.tensorboard.writer", "tensorboardX.writer"):
        when_imported(name, lambda module: _replace_writer(saving, module))
    when_imported("safetensors.torch", lambda module: _replace_safetensors(saving, module))
    when_imported("transformers.training_args", lambda module: _replace_output_dir(saving, module))
    return saving


def _replace_open(saving: Saving) -> None:
    original = io.open

    @wraps(original)
    def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if isinstance(mode, str) and not isinstance(file, int):
            if set(mode) & set("wax+"):
                file = saving.to_write(file, keep="a" in mode or "r" in mode)
            else:
                file = saving.to_read(file)
        return original(file, mode, *args, **kwargs)

    builtins.open = io.open = opened


def _replace_first(saving: Saving, home: Any, name: str) -> None:
    original = getattr(home, name)

    @wraps(original)
    def moved(path: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("dir_fd") is None:
            path = saving.to_read(path)
        return original(path, *args, **kwargs)

    setattr(home, name, moved)


def _replace_move(saving: Saving, name: str) -> None:
    original = getattr(os, name)

    @wraps(original)
    def moved(src: Any, dst: Any, **kwargs: Any) -> Any:
        return original(saving.to_read(src), saving.to_write(dst), **kwargs)

    setattr(os, name, moved)


def _replace_hdf5(saving: Saving, h5py: Any) -> None:
    original = h5py.File.__init__

    @wraps(original)
    def start(self: Any, name: Any, mode: str = "r", *args: Any, **kwargs: Any) -> None:
        name = saving.to_read(name) if mode == "r" else saving.to_write(name, keep=mode in ("a", "r+"))
        original(self, name, mode, *args, **kwargs)

    h5py.File.__init__ = start


def _replace_tensorboard(saving: Saving, keras: Any) -> None:
    original = keras.callbacks.TensorBoard.__init__

    @wraps(original)
    def start(self: Any, log_dir: Any = "logs", *args: Any, **kwargs: Any) -> None:
        original(self, saving.folder(log_dir), *args, **kwargs)

    keras.callbacks.TensorBoard.__init__ = start


def _replace_torch(saving: Saving, torch: Any) -> None:
    save, load = torch.save, torch.load

    @wraps(save)
    def saved(obj: Any, f: Any, *args: Any, **kwargs: Any) -> Any:
        return save(obj, saving.to_write(f), *args, **kwargs)

    @wraps(load)
    def loaded(f: Any, *args: Any, **kwargs: Any) -> Any:
        return load(saving.to_read(f), *args, **kwargs)

    torch.save, torch.load = saved, loaded
    torch.serialization.save, torch.serialization.load = saved, loaded


def _replace_writer(saving: Saving, module: Any) -> None:
    original = module.SummaryWriter.__init__

    @wraps(original)
    def start(self: Any, *args: Any, **kwargs: Any) -> None:
        name = "log_dir" if "log_dir" in kwargs or "logdir" not in kwargs else "logdir"
        given = args[0] if args else kwargs.pop(name, None)
        original(self, saving.folder(given or "runs"), *args[1:], **kwargs)

    module.SummaryWriter.__init__ = start


def _replace_safetensors(saving: Saving, module: Any) -> None:
    save, load = module.save_file, module.load_file

    @wraps(save)
    def saved(tensors: Any, filename: Any, *args: Any, **kwargs: Any) -> Any:
        return save(tensors, saving.to_write(filename), *args, **kwargs)

    @wraps(load)
    def loaded(filename: Any, *args: Any, **kwargs: Any) -> Any:
        return load(saving.to_read(filename), *args, **kwargs)

    module.save_file, module.load_file = saved, loaded


def _replace_output_dir(saving: Saving, module: Any) -> None:
    """Give a Trainer an output folder of its own: it would delete old checkpoints there, or go on from one."""
    original = module.TrainingArguments.__post_init__

    @wraps(original)
    def start(self: Any, *args: Any, **kwargs: Any) -> None:
        if self.output_dir is not None:
            self.output_dir = saving.folder(self.output_dir)
        original(self, *args, **kwargs)

    module.TrainingArguments.__post_init__ = start


def _folder_of_script() -> str:
    script = next((one for one in sys.argv if one.endswith(".py")), "")
    return os.path.dirname(os.path.abspath(script)) if script else os.getcwd()

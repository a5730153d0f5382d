"""Starts the wrap in a child: waits for a framework to be imported; in a trial, guards files and offsets seeds."""

from __future__ import annotations

import atexit
import importlib
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import NoReturn

from plateau_doctor.trials import guard, saving, seeds
from plateau_doctor.trials.arm import Arm, told
from plateau_doctor.trials.order import ENVIRONMENT, Order

__all__ = ["refuse", "start", "when_imported"]

WORLD = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "HOROVOD_SIZE", "PMI_SIZE")
FRAMEWORKS = {  # module whose import is awaited -> module of ours that wraps it
    "keras": "plateau_doctor.trials.keras",
    "torch": "plateau_doctor.trials.torch",
}
WATCHES = {**FRAMEWORKS, "keras": "plateau_doctor.trials.keras_watch"}  # where a training is only recorded
RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "HOROVOD_RANK", "PMI_RANK", "SLURM_PROCID")


def start() -> Arm:
    """Wrap this process as its order says.

    Raises:
        OSError: There is no order where the environment says.
    """
    arm = Arm(Order.read(Path(os.environ[ENVIRONMENT])))
    if arm.watched and any(_above_zero(os.environ.get(name)) for name in RANKS):
        return arm  # the first of several processes records
    atexit.register(arm.close)
    _watch_for_crashes(arm)
    if not arm.watched:
        _keep_apart(arm)
    for name, home in (WATCHES if arm.watched else FRAMEWORKS).items():
        when_imported(name, lambda module, home=home: _wrap(arm, module, home))  # type: ignore[misc]
    return arm


def _keep_apart(arm: Arm) -> None:
    """Keep an arm of a trial away from the user's files, and give it the seeds of its order."""
    if world := next((name for name in WORLD if _above_one(os.environ.get(name))), None):
        refuse(arm, f"{world}={os.environ[world]}")
    guard.install(arm)
    saving.install(arm, when_imported)
    seeds.install(arm, when_imported)


def refuse(arm: Arm, why: str) -> NoReturn:
    """End a training that runs in several processes: an arm is one."""
    arm.add(
        "problems",
        f"{why}: this training is spread over several processes; verify trains in one. "
        "Give the plain command (python train.py ...) instead of the launcher (torchrun, accelerate, "
        "deepspeed, horovodrun, mpirun)",
    )
    arm.crashed = True
    arm.write()
    print(f"plateau-doctor: {arm.outcome.problems[-1]}", file=sys.stderr, flush=True)
    os._exit(2)  # Python has not started the script yet: SystemExit would read as a fault of Python itself


def when_imported(name: str, do: Callable[[ModuleType], None]) -> None:
    """Call `do` with the module `name` once it is imported, or now if it is."""
    if name in sys.modules and not _half_imported(sys.modules[name]):
        do(sys.modules[name])
        return
    finder = next((one for one in sys.meta_path if isinstance(one, _Finder)), None)
    if finder is None:
        finder = _Finder()
        sys.meta_path.insert(0, finder)
    finder.awaited.setdefault(name, []).append(do)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds nothing itself: has the other finders find, and calls back after the module has run."""

    def __init__(self) -> None:
        self.awaited: dict[str, list[Callable[[ModuleType], None]]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.awaited:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = None if finder is self or find is None else find(fullname, path, target)
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    self._call_after(fullname, spec.loader)
                return spec  # type: ignore[no-any-return]
        return None

    def _call_after(self, name: str, loader: importlib.abc.Loader) -> None:
        run = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            for do in self.awaited.pop(name, []):
                do(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]


def _wrap(arm: Arm, module: ModuleType, home: str) -> None:
    with told(arm, f"{module.__name__} could not be wrapped"):
        importlib.import_module(home).wrap(arm, module)


def _watch_for_crashes(arm: Arm) -> None:
    hook = sys.excepthook

    def crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        arm.crashed = True
        hook(kind, error, trace)

    sys.excepthook = crashed


def _half_imported(module: ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _above_one(value: str | None) -> bool:
    return value is not None and value.isdigit() and int(value) > 1


def _above_zero(value: str | None) -> bool:
    return value is not None and value.isdigit() and int(value) > 0

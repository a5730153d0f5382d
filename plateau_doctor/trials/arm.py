"""The arm that this process trains: its order, what it did so far, and when it is at its cap.

One process of a trial is the arm: the first that trains. Others that the script starts (workers that load
data, a launcher) leave the outcome alone.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import fields, replace
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

from plateau_doctor.fix import Change
from plateau_doctor.trials.order import EITHER, Order, Outcome

__all__ = ["LOOKED_FOR", "Arm", "guarded"]

LOOKED_FOR = ("keras.Model.fit", "torch.optim.Optimizer.step", "lightning.Trainer", "transformers.Trainer")
CLAIM, LOGS = "claim", "logs"
Wrapped = TypeVar("Wrapped", bound=Callable[..., Any])


class Arm:
    """What one child does.

    Args:
        order: What it was told.

    Attributes:
        order: The same.
        change: The knobs to turn, typed.
        steps: Optimizer steps so far.
        scored: Whether there is a score at the end of the training so far.
        epochs_before: Epochs that earlier models of a recording had.
        crashed: Whether the script ends by an error.
        at_end: Called as the process ends, before the last outcome is written.
    """

    def __init__(self, order: Order) -> None:
        self.order = order
        self.change = Change(**_typed(order.change))
        self.steps = 0
        self.scored = False
        self.crashed = False
        self.at_end: list[Callable[[], None]] = []
        self._told = Outcome(looked_for=LOOKED_FOR)
        self._pid = os.getpid()
        self._first = self._last = 0.0  # seconds of a clock at the first and at the last step
        self._models = 0
        self._without: dict[str, str] = {}  # knobs of EITHER that cannot be turned, and why
        self.epochs_before = 0

    @property
    def outcome(self) -> Outcome:
        """What is known so far; `tell` adds to it."""
        return replace(self._told, steps=self.steps, seconds=self._last - self._first)

    @property
    def watched(self) -> bool:
        """Whether the training is only recorded."""
        return self.order.logdir is not None

    @property
    def folder(self) -> Path:
        """The trial's own folder."""
        return Path(self.order.folder)

    @property
    def knobs(self) -> dict[str, object]:
        """The knobs that are set, by name."""
        values = {one.name: getattr(self.change, one.name) for one in fields(Change)}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def at_cap(self) -> bool:
        """Whether all steps or epochs of the order are done."""
        return self.epochs_left == 0 or self.steps_left == 0

    @property
    def epochs_left(self) -> int | None:
        """Epochs until the cap; None without one."""
        return None if self.order.epochs is None else max(0, self.order.epochs - self._told.epochs)

    @property
    def steps_left(self) -> int | None:
        """Optimizer steps until the cap; None without one."""
        return None if self.order.steps is None else max(0, self.order.steps - self.steps)

    def logs(self, another: bool = False) -> Path:
        """Return where the log goes; of a recording, what `another` model does is a run of its own."""
        if self.order.logdir is None:
            return self.folder / LOGS
        self._models += another
        if another:
            self.epochs_before = self._told.epochs
        return Path(self.order.logdir) / (str(self._models) if self._models > 1 else "")

    def hold_on(self, to: str) -> None:
        """Take note of what is wrapped; the first process of the trial that does so is the arm."""
        if self._told.held_on is None:
            with contextlib.suppress(FileExistsError):
                (self.folder / CLAIM).touch(exist_ok=False)
                (self.folder / CLAIM).write_text(str(self._pid), encoding="utf-8")
            self._told = replace(self._told, held_on=to)
            self.write()

    def applied(self, knob: str, what: str) -> None:
        """Take note that a knob is turned, in words."""
        self._told = replace(self._told, applied={**self._told.applied, knob: what})

    def not_testable(self, knob: str, why: str) -> None:
        """Take note that a knob cannot be turned in this script; of `EITHER`, once none of those of the change can."""
        either = EITHER & self.knobs.keys()
        if knob in either:
            self._without[knob] = why
            if self._without.keys() < either:
                return
            why = "; ".join(self._without.values())
        if self._told.not_testable.get(knob) != why:
            self._told = replace(self._told, not_testable={**self._told.not_testable, knob: why})
            self.write()

    def seeded(self, seed: int) -> None:
        """Take note of a seed that the script sets."""
        if seed not in self._told.seeds and len(self._told.seeds) < 100:
            self._told = replace(self._told, seeds=(*self._told.seeds, seed))

    def tell(self, **values: Any) -> None:
        """Set fields of the outcome."""
        self._told = replace(self._told, **values)

    def add(self, name: str, what: str) -> None:
        """Add to one of the outcome's lists, once: `redirected`, `refused`, `problems`."""
        known: tuple[str, ...] = getattr(self._told, name)
        if what not in known and len(known) < 1000:
            self.tell(**{name: (*known, what)})

    def stepped(self, steps: int = 1) -> None:
        """Count optimizer steps; end the script where a knob cannot be turned, for its arm can tell nothing."""
        if self._told.not_testable:
            self.leave("not testable")
        self.begin()
        self.steps += steps
        self._last = time.monotonic()

    def begin(self) -> None:
        """Start the clock, before the first step."""
        if not self._first:
            self._first = self._last = time.monotonic()

    def leave(self, ended: str = "cap") -> NoReturn:
        """End the script, at the cap or before: there is nothing left to learn from it.

        What follows a training (saving, plotting, testing) would cost time and might fail for what a short
        training has not made. SystemExit runs the script's `finally` clauses and exit handlers. In another
        than the main thread it would end only that thread, so the process ends there.
        """
        self.tell(ended=ended)
        self.write()
        if threading.current_thread() is not threading.main_thread():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
        raise SystemExit(0)

    def close(self) -> None:
        """Write the last outcome, as the process ends."""
        for do in self.at_end:
            with told(self, "at the end"):
                do()
        if self._told.ended is None and not self.crashed and self._told.held_on:
            self.tell(ended="script")
        if self._told.held_on:
            for knob in self.knobs:
                if knob not in {**self._told.applied, **self._told.not_testable, **self._without}:
                    self.not_testable(knob, "nothing in this script took it")
        self.write()

    def write(self) -> None:
        """Write what is known so far, if this process is the arm or nobody is."""
        if os.getpid() != self._pid or not self._mine():
            return
        self.tell(peak_memory=_peak_memory())
        with contextlib.suppress(OSError):  # a full disk; the parent misses the outcome and says so
            self.outcome.write(self.folder)

    def _mine(self) -> bool:
        try:
            return (self.folder / CLAIM).read_text(encoding="utf-8") in ("", str(self._pid))
        except OSError:
            return self.folder.is_dir()


def guarded(arm: Arm, what: str) -> Callable[[Wrapped], Wrapped]:
    """Make a function of ours safe to call from a training: what it raises becomes a problem of the outcome."""

    def decorate(function: Wrapped) -> Wrapped:
        @wraps(function)
        def safe(*args: Any, **kwargs: Any) -> Any:
            with told(arm, what):
                return function(*args, **kwargs)

        return cast(Wrapped, safe)

    return decorate


class told:  # noqa: N801 - it reads as what it does: `with told(...)`
    """Turn an error inside into a problem of the outcome, and go on; a class, for a step enters a dozen of them."""

    __slots__ = ("_arm", "_what")

    def __init__(self, arm: Arm, what: str) -> None:
        self._arm, self._what = arm, what

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self._arm.add("problems", f"{self._what}: {type(error).__name__}: {error}")
        self._arm.write()
        return True


def _typed(knobs: Any) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in knobs.items() if v is not None}


def _peak_memory() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

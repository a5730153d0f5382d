"""Follows the passes of torch's data loaders, and turns the knobs that lie in them: shuffling and batch size.

A loop takes a batch, uses it, and asks for the next. Trainers ask ahead: accelerate is told that there is no batch
left while it still holds the last one, and Lightning counts and never asks for one too many. Such a pass is over when
the next one begins, over whatever loader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from plateau_doctor.trials.arm import Arm, told

__all__ = ["Loaders"]


class Loaders:
    """The data loaders of the script.

    Args:
        arm: Whose change is made, and where it is told.
        torch: The module.
        evaluating: Whether the script is evaluating now.
        over: Called with a loader when a pass over it is at its end.

    Attributes:
        current: The loader that is being gone through, None outside of any.
        last: The loader whose batch the last step was made on, None before any.
    """

    def __init__(
        self, arm: Arm, torch: Any, evaluating: Callable[[], bool], over: Callable[[Any], None]
    ) -> None:
        self._arm, self._torch = arm, torch
        self._evaluating, self._over = evaluating, over
        self.current: Any = None
        self.last: Any = None
        self._at: _Pass | None = None  # the pass that gave the last batch
        self._called = False  # whether the model was, since the last step
        self._open: Any = None  # a loader that has given its last batch, of a pass that is not over
        self._trained: dict[int, Any] = {}
        self._turned: dict[int, Any] = {}
        kind = torch.utils.data.DataLoader
        original = kind.__iter__

        @wraps(original)
        def begin(loader: Any) -> Any:
            with told(self._arm, "the end of an epoch was not seen"):
                self.settle()
            if not self._evaluating():
                with told(self._arm, "the data loader could not be changed"):
                    self._turn(loader)
            return _Pass(self, loader, original(loader))

        kind.__iter__ = begin

    @property
    def any_trained(self) -> bool:
        """Whether any step was made on batches of a loader."""
        return bool(self._trained)

    def used(self) -> None:
        """Take note that the model was called on a batch."""
        self._called = True
        if self._at is not None:
            self._at.ahead = max(0, self._at.ahead - 1)

    def settle(self) -> None:
        """End the pass that has given its last batch, if one has."""
        if self._open is not None:
            self.current, loader, self._open = None, self._open, None
            self._over(loader)

    def stepped(self) -> None:
        """Take note that a step was made on the present batch."""
        if not self._called:
            self.used()
        self._called = False
        if self.current is not None:
            self.last = self.current
            self._trained[id(self.current.dataset)] = self.current.dataset

    def is_training(self, loader: Any) -> bool:
        """Whether steps were made on data of this loader."""
        return id(loader.dataset) in self._trained

    def enter(self, one: _Pass, last: bool) -> None:
        """Take note that a pass has given a batch; `last` where it is known to be the last one."""
        self._at, self.current = one, one.loader
        one.ahead += 1
        if last:
            self._open = one.loader

    def leave(self, one: _Pass) -> None:
        """Take note that there is no batch left, though the last one may be yet to be used."""
        self._open = one.loader
        if not one.ahead:
            self.settle()

    def _turn(self, loader: Any) -> None:
        change = self._arm.change
        if id(loader) in self._turned or (change.shuffle is None and change.batch_size_scale is None):
            return
        self._turned[id(loader)] = loader  # kept, so that its id stays its own
        batches = loader.batch_sampler
        data = self._torch.utils.data
        if batches is None or isinstance(loader.dataset, data.IterableDataset):
            for knob in ("shuffle", "batch_size_scale"):
                self._arm.not_testable(
                    knob, "the loader gives batches in the order in which its data set does"
                )
            return
        if change.shuffle is not None and isinstance(batches.sampler, data.SequentialSampler):
            batches.sampler = data.RandomSampler(loader.dataset)
            self._arm.applied("shuffle", "the training data are shuffled in each epoch")
        elif change.shuffle is not None:
            self._arm.not_testable("shuffle", f"the loader has a {type(batches.sampler).__name__} already")
        if change.batch_size_scale is not None:
            old = batches.batch_size
            batches.batch_size = max(1, round(old * change.batch_size_scale))
            self._arm.applied("batch_size_scale", f"{old} -> {batches.batch_size}")


class _Pass:
    """One pass over a loader; all else is the loader's own iterator.

    Attributes:
        loader: The loader.
        ahead: Batches that were given and not used yet.
    """

    def __init__(self, loaders: Loaders, loader: Any, batches: Any) -> None:
        self._loaders, self._batches = loaders, batches
        self.loader, self.ahead = loader, 0
        self._given, self._length = 0, _length(loader)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            batch = next(self._batches)
        except StopIteration:
            self._loaders.leave(self)
            raise
        self._given += 1
        self._loaders.enter(self, self._given == self._length)
        return batch

    def __len__(self) -> int:
        return len(self._batches)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)


def _length(loader: Any) -> int | None:
    """Return the number of batches in a pass, None where the data set has no length."""
    return len(loader) if hasattr(loader.dataset, "__len__") else None

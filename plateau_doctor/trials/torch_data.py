"""Follows the passes of torch's data loaders, and turns the knobs that lie in them: shuffling and batch size."""

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
    """

    def __init__(
        self, arm: Arm, torch: Any, evaluating: Callable[[], bool], over: Callable[[Any], None]
    ) -> None:
        self._arm, self._torch = arm, torch
        self._evaluating, self._over = evaluating, over
        self.current: Any = None
        self._trained: dict[int, Any] = {}
        self._turned: dict[int, Any] = {}
        kind = torch.utils.data.DataLoader
        original = kind.__iter__

        @wraps(original)
        def begin(loader: Any) -> Any:
            if not self._evaluating():
                with told(self._arm, "the data loader could not be changed"):
                    self._turn(loader)
            return _Pass(self, loader, original(loader))

        kind.__iter__ = begin

    @property
    def any_trained(self) -> bool:
        """Whether any step was made on batches of a loader."""
        return bool(self._trained)

    def stepped(self) -> None:
        """Take note that a step was made on the present batch."""
        if self.current is not None:
            self._trained[id(self.current.dataset)] = self.current.dataset

    def is_training(self, loader: Any) -> bool:
        """Whether steps were made on data of this loader."""
        return id(loader.dataset) in self._trained

    def enter(self, loader: Any) -> None:
        """Take note that a batch of this loader is at hand."""
        self.current = loader

    def leave(self, loader: Any) -> None:
        """Take note that a pass is at its end."""
        self.current = None
        self._over(loader)

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
    """One pass over a loader; all else is the loader's own iterator."""

    def __init__(self, loaders: Loaders, loader: Any, batches: Any) -> None:
        self._loaders, self._loader, self._batches = loaders, loader, batches

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            batch = next(self._batches)
        except StopIteration:
            self._loaders.leave(self._loader)
            raise
        self._loaders.enter(self._loader)
        return batch

    def __len__(self) -> int:
        return len(self._batches)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)

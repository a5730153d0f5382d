"""Offsets the seeds that a script sets itself, and fixes the ones that it does not.

`random.seed`, `numpy.random.seed`, `numpy.random.default_rng(int)`, `torch.manual_seed`, `tf.random.set_seed`
and `keras.utils.set_random_seed` are replaced by functions that add the order's offset; `seed_everything` and
the like call these. Generators made by other means (`RandomState(42)`, scikit-learn's `random_state=42`,
`torch.Generator`) keep their seeds: they mostly split data, and both arms see the same split.

Where a script sets no seed, both arms of a pair would start from different weights. So Python's, numpy's and
the framework's global generators are seeded with the offset as soon as they are imported; any seed that the
script sets comes later and wins.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

from plateau_doctor.trials.arm import Arm

__all__ = ["install"]

LARGEST = 2**32  # seeds of numpy are below

WhenImported = Callable[[str, Callable[[ModuleType], None]], None]


def install(arm: Arm, when_imported: WhenImported) -> None:
    """Replace the functions that set seeds, now or when their module is imported."""
    seeds = _Seeds(arm)
    seeds.replace(random, "seed")
    seeds.start(random.seed)
    when_imported("numpy.random", seeds.numpy)
    when_imported("torch", seeds.torch)
    when_imported("tensorflow", seeds.tensorflow)
    when_imported("keras", seeds.keras)


class _Seeds:
    def __init__(self, arm: Arm) -> None:
        self._arm = arm
        self._inside = threading.local()

    def numpy(self, module: Any) -> None:
        self.replace(module, "seed")
        self.replace(module, "default_rng", by_script=True)
        self.start(module.seed)

    def torch(self, module: Any) -> None:
        self.replace(module, "manual_seed")
        module.random.manual_seed = module.manual_seed
        self.start(module.manual_seed)

    def tensorflow(self, module: Any) -> None:
        self.replace(module.random, "set_seed")

    def keras(self, module: Any) -> None:
        self.replace(module.utils, "set_random_seed")
        module.src.utils.set_random_seed = module.utils.set_random_seed
        self.start(module.utils.set_random_seed)

    def replace(self, home: Any, name: str, by_script: bool = False) -> None:
        """Replace one function whose first argument is the seed; `by_script`, leave calls of packages alone."""
        original = getattr(home, name)

        @wraps(original)
        def offset(*args: Any, **kwargs: Any) -> Any:
            if getattr(self._inside, "on", False):  # called by another of these, with a seed already offset
                return original(*args, **kwargs)
            if by_script and "-packages" in sys._getframe(1).f_code.co_filename:
                return original(*args, **kwargs)
            self._inside.on = True
            try:
                return original(*map(self._offset, args[:1]), *args[1:], **self._keywords(kwargs))
            finally:
                self._inside.on = False

        setattr(home, name, offset)

    def _offset(self, seed: Any) -> Any:
        if isinstance(seed, bool) or not hasattr(seed, "__index__"):
            return seed
        self._arm.seeded(int(seed))
        return (int(seed) + self._arm.order.seed) % LARGEST if self._arm.order.seed else seed

    def _keywords(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return {name: self._offset(v) if name in ("seed", "a") else v for name, v in kwargs.items()}

    def start(self, seed: Callable[[int], object]) -> None:
        """Seed a global generator with the offset alone; not a seed of the script, so it is not told."""
        self._inside.on = True
        try:
            seed(self._arm.order.seed)
        finally:
            self._inside.on = False

"""Hooks on torch modules that stay behind when a module is copied or pickled."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

__all__ = ["Hook"]


class Hook:
    """A module hook, of any signature.

    A module carries its hooks along: `copy.deepcopy(model)` for a moving average and `torch.save(model)` would copy
    and pickle whatever a hook holds, an open file among it. In a copy a function of the standard library stands in
    its place that takes anything and returns None.
    """

    def __init__(self, do: Callable[..., Any]) -> None:
        self._do = do

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do what the hook is there for."""
        return self._do(*args, **kwargs)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Leave the stand-in: a copy neither records nor needs this package to be loaded."""
        return getattr, (contextlib.nullcontext, "__exit__")

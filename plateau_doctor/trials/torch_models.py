"""Finds the module that an optimizer trains: the outermost one that the script calls before its first step."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

__all__ = ["Models"]


class Models:
    """The script's optimizers, and the module of each.

    Args:
        torch: The module.
        called: Called with (module, arguments) before each outermost call, until an optimizer has its module; what it
            returns replaces the arguments.
        found: Called with each module that an optimizer gets, once.
    """

    def __init__(self, torch: Any, called: Callable[[Any, Any], Any], found: Callable[[Any], None]) -> None:
        self._hooks_of = torch.nn.modules.module
        self._called, self._found = called, found
        self._hooks: list[Any] = []
        self._depth = 0
        self._outermost: Any = None
        self._made: list[tuple[weakref.ref[Any], bool]] = []  # and whether another was at work then
        self._known: dict[int, tuple[Any, Any]] = {}  # the optimizer is kept, so that its id stays its own

    def watch(self) -> None:
        """Watch the calls of all modules from now on, since an optimizer is about to be made."""
        if not self._hooks:
            self._hooks = [
                self._hooks_of.register_module_forward_pre_hook(self._enter),
                self._hooks_of.register_module_forward_hook(self._leave, always_call=True),
            ]

    def made(self, optimizer: Any) -> None:
        """Take note of an optimizer."""
        if all(optimizer is not ref() for ref, _ in self._made):
            self._made.append((weakref.ref(optimizer), bool(self._known)))

    def has(self, optimizer: Any) -> bool:
        """Whether this optimizer has its module."""
        return id(optimizer) in self._known

    def attach(self, optimizer: Any) -> None:
        """Give an optimizer the module that was called last, and watch no longer: it costs time in every call."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._depth = [], 0
        model = self._outermost
        if model is not None and all(model is not known for _, known in self._known.values()):
            self._found(model)
        self._known[id(optimizer)] = (optimizer, model)

    def of(self, optimizer: Any) -> Any:
        """Return the module of an optimizer, None where no module was called before it was attached."""
        return self._known[id(optimizer)][1]

    def new_optimizer_of(self, module: Any) -> Any:
        """Return the optimizer that is about to train a module, None where that is not clear yet.

        It holds some of its parameters, and is the first, or was made when another was at work already: a second phase
        or a second model. Those of two networks that are trained in turn are made before any is at work.
        """
        own = {id(one) for one in module.parameters()}
        for ref, late in self._made:
            optimizer = ref()
            if optimizer is None or self.has(optimizer) or (self._known and not late):
                continue
            if any(id(one) in own for group in optimizer.param_groups for one in group["params"]):
                return optimizer
        return None

    def _enter(self, module: Any, args: Any) -> Any:
        self._depth += 1
        if self._depth > 1 or next(module.parameters(), None) is None:
            return None
        self._outermost = module
        return self._called(module, args)

    def _leave(self, *_: Any) -> None:
        self._depth -= 1

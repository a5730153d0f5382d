"""Makes a torch model wider where its sizes lie in data: between the layers of a `torch.nn.Sequential`.

A layer that hands its output on within a Sequential is asked by nobody else how wide it is. Its weights take a new
shape in place, so that the optimizer keeps hold of them. They are drawn anew from the values that the script gave them,
so a width is all that changes: a poor initialization stays a poor one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from functools import wraps
from itertools import pairwise
from typing import Any

__all__ = ["listen_for_weights", "widen"]

SIZED = "Linear Conv1d Conv2d Conv3d".split()
FOLLOWS = "BatchNorm1d BatchNorm2d BatchNorm3d".split()  # take the width of the layer before
PASSES = (  # leave the width as it is, or, as Flatten, multiply it by the size of an image
    "Flatten Identity Dropout Dropout1d Dropout2d Dropout3d AlphaDropout MaxPool1d MaxPool2d MaxPool3d AvgPool1d "
    "AvgPool2d AvgPool3d AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d "
    "ReLU ReLU6 LeakyReLU ELU SELU CELU GELU SiLU Mish Sigmoid Tanh Softplus Softsign Hardtanh Hardswish"
).split()
SALT = 7919  # so that the draws are not those of the script's own generator


def widen(torch: Any, model: Any, scale: float) -> int:
    """Make the hidden layers of a model's Sequentials wider, and return how many were.

    A layer's weights are (out, in, ...) and (out,); `out` grows by `scale`, rounded, and so does `in` of the next one.
    Layers that are frozen, grouped, or used in two places stay as they are.
    """
    owners = Counter(id(p) for m in _every(model) for p in m.parameters(recurse=False))
    draw = torch.Generator().manual_seed((torch.initial_seed() + SALT) % 2**63)
    widened = 0
    with torch.no_grad():
        for chain in _chains(torch, model):
            places = [i for i, module in enumerate(chain) if type(module).__name__ in SIZED]
            for at, behind in pairwise(places):
                widened += _Link(torch, chain[at : behind + 1], owners).grow(scale, draw)
    return widened


def listen_for_weights(torch: Any) -> list[str]:
    """Return a list that has an entry for each time that a model is given weights of a file from now on."""
    heard: list[str] = []
    original = torch.nn.Module.load_state_dict

    @wraps(original)
    def load_state_dict(module: Any, *args: Any, **kwargs: Any) -> Any:
        heard.append(type(module).__name__)
        return original(module, *args, **kwargs)

    torch.nn.Module.load_state_dict = load_state_dict
    return heard


def _every(model: Any) -> Iterator[Any]:
    """Yield the modules of a model, one that stands in two places twice."""
    yield model
    for child in model._modules.values():
        if child is not None:
            yield from _every(child)


def _chains(torch: Any, model: Any) -> Iterator[list[Any]]:
    """Yield the modules that follow on one another in each outermost Sequential, up to one that is not known."""
    inner: set[int] = set()
    for one in model.modules():
        if type(one) is not torch.nn.Sequential or id(one) in inner:
            continue
        inner |= {id(part) for part in one.modules()}
        chain: list[Any] = []
        for module in _flat(torch, one):
            if type(module).__name__ in (*SIZED, *FOLLOWS, *PASSES):
                chain.append(module)
            else:
                yield chain
                chain = []
        yield chain


def _flat(torch: Any, one: Any) -> Iterator[Any]:
    for module in one:
        if type(module) is torch.nn.Sequential:
            yield from _flat(torch, module)
        else:
            yield module


class _Link:
    """A layer, the next one, and what stands between."""

    def __init__(self, torch: Any, part: list[Any], owners: Counter[int]) -> None:
        self._torch = torch
        self._layer, *between, self._next = part
        self._norms = [one for one in between if type(one).__name__ in FOLLOWS]
        self._width = self._layer.weight.shape[0]
        flat = any(type(one).__name__ == "Flatten" for one in between)
        changed = (self._layer, self._next, *self._norms)
        parameters = [p for one in changed for p in one.parameters()]
        self._can = (
            self._next.weight.shape[1] % self._width == 0
            and (flat or hasattr(self._layer, "in_features") == hasattr(self._next, "in_features"))
            and all(getattr(one, "groups", 1) == 1 for one in (self._layer, self._next))
            and all(norm.num_features == self._width for norm in self._norms)
            and all(p.requires_grad and owners[id(p)] == 1 for p in parameters)
        )

    def grow(self, scale: float, draw: Any) -> bool:
        """Widen what the layer hands on; return whether it could be."""
        if not self._can:
            return False
        new = max(1, round(self._width * scale))
        taken = self._next.weight.shape[1] // self._width * new
        shrink = math.sqrt(self._next.weight.shape[1] / taken)
        for name in ("weight", "bias"):
            self._reshape(self._layer, name, 0, new, draw)
        self._reshape(self._next, "weight", 1, taken, draw)
        self._next.weight.mul_(shrink)  # what it gives out stays as large
        for module, side, size in ((self._layer, "out", new), (self._next, "in", taken)):
            setattr(module, f"{side}_{'features' if hasattr(module, 'in_features') else 'channels'}", size)
        for norm in self._norms:
            norm.num_features = new
            for name in ("weight", "bias", "running_mean", "running_var"):
                self._reshape(norm, name, 0, new, draw)
        return True

    def _reshape(self, module: Any, name: str, side: int, size: int, draw: Any) -> None:
        """Give an array of a module another length along one side, in place, its values drawn from those it has."""
        old = getattr(module, name)
        if old is None:
            return
        shape = list(old.shape)
        shape[side] = size
        at = self._torch.randint(old.numel(), shape, generator=draw)
        old.data = old.detach().flatten()[at.to(old.device)]

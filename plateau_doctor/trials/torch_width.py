"""Makes a torch model wider where its sizes lie in data: between the layers of a `torch.nn.Sequential`.

A layer that hands its output on within a Sequential is asked by nobody else how wide it is. Its weights take a new
shape in place, so that the optimizer keeps hold of them, and all of the model's layers that change start anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["widen"]

SIZED = "Linear Conv1d Conv2d Conv3d".split()
FOLLOWS = "BatchNorm1d BatchNorm2d BatchNorm3d".split()  # take the width of the layer before
PASSES = (  # leave the width as it is, or multiply it by the size of an image
    "Flatten Identity Dropout Dropout1d Dropout2d Dropout3d AlphaDropout MaxPool1d MaxPool2d MaxPool3d AvgPool1d "
    "AvgPool2d AvgPool3d AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d "
    "ReLU ReLU6 LeakyReLU ELU SELU CELU GELU SiLU Mish Sigmoid Tanh Softplus Softsign Hardtanh Hardswish"
).split()


def widen(torch: Any, model: Any, scale: float) -> int:
    """Make the hidden layers of a model's Sequentials wider, and return how many were.

    A layer's weights are (out, in, ...) and (out,); `out` grows by `scale`, rounded, and so does `in` of the next one.
    Frozen and grouped layers stay as they are.
    """
    widened = 0
    last: Any
    between: list[Any]
    with torch.no_grad():
        for chain in _chains(torch, model):
            last, between = None, []
            for module in chain:
                kind = type(module).__name__
                if kind in SIZED:
                    if last is not None:
                        widened += _grow(torch, last, module, between, scale)
                    last, between = module, []
                elif last is not None and kind in FOLLOWS:
                    between.append(module)
    return widened


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


def _grow(torch: Any, layer: Any, following: Any, between: list[Any], scale: float) -> bool:
    """Widen what one layer hands to the next; return whether it could be."""
    old, taken = layer.weight.shape[0], following.weight.shape[1]
    one_way = all(getattr(one, "groups", 1) == 1 and one.weight.requires_grad for one in (layer, following))
    if taken % old or not one_way or any(norm.num_features != old for norm in between):
        return False
    new = max(1, round(old * scale))
    for module, side, size in ((layer, 0, new), (following, 1, taken // old * new)):
        _reshape(torch, module, "weight", side, size)
        if side == 0:
            _reshape(torch, module, "bias", 0, size)
        name = ("out_", "in_")[side] + ("features" if hasattr(module, "in_features") else "channels")
        setattr(module, name, size)
        module.reset_parameters()
    for norm in between:
        norm.num_features = new
        for name in ("weight", "bias", "running_mean", "running_var"):
            _reshape(torch, norm, name, 0, new)
        norm.reset_parameters()
    return True


def _reshape(torch: Any, module: Any, name: str, side: int, size: int) -> None:
    """Give an array of a module another length along one side, in place; its values are lost."""
    old = getattr(module, name)
    if old is not None:
        shape = list(old.shape)
        shape[side] = size
        old.data = torch.zeros(shape, dtype=old.dtype, device=old.device)

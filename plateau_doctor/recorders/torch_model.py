"""What a torch model and its optimizers tell about themselves; imports nothing of torch.

"Kernels" are the trainable arrays of two or more dimensions; biases and scales of normalization are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from plateau_doctor.recorders.events import Setting
from plateau_doctor.recorders.sample import spread, stride_of
from plateau_doctor.recorders.tape import MOST_HEARD, place

__all__ = [
    "array_of",
    "dead_share",
    "fetched",
    "first_layer",
    "gradients_of",
    "heard_at",
    "kernels_of",
    "norms_of",
    "part_of",
    "scale_of",
    "settings_of",
    "steps_of",
]

BENDS = frozenset(
    "CELU ELU GELU Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid Mish PReLU ReLU ReLU6 RReLU SELU SiLU "
    "Sigmoid Softplus Softsign Tanh".split()
)


def kernels_of(model: Any) -> dict[str, Any]:
    """Return name -> parameter for every kernel, in the order in which the modules were made."""
    paths = {_plain(name): p for name, p in model.named_parameters() if p.requires_grad and p.dim() >= 2}
    owners = list(dict.fromkeys(path.rpartition(".")[0] for path in paths))
    named = {}
    for path, parameter in paths.items():
        owner, _, own = path.rpartition(".")
        named[f"{place(owners.index(owner), len(owners), owner or 'model')}/{own}"] = parameter
    return named


def first_layer(model: Any, kernels: Mapping[str, Any]) -> Any:
    """Return the module that owns the first kernel; None in a model without any."""
    kernel = next(iter(kernels.values()), None)
    owners = (m for m in model.modules() if any(p is kernel for p in m.parameters(recurse=False)))
    return None if kernel is None else next(owners, None)


def heard_at(model: Any, kernels: Iterable[str]) -> list[tuple[str, Any, bool]]:
    """Return (name, module, whether its output is meant) for every place where activations can be heard.

    These are the outputs of activation modules; in a model without any, the inputs of layers, which are what
    functions gave. Of many places some are taken, the first and the last among them.
    """
    modules = [(_plain(path), module) for path, module in model.named_modules()]
    owners = list(dict.fromkeys(name.rpartition("/")[0] for name in kernels))
    last = place(0, len(owners), "input")
    bends = any(type(module).__name__ in BENDS for _, module in modules)
    found = []
    for path, module in modules:
        own = next((o for o in owners if o.partition("_")[2] == path), None)
        if bends and type(module).__name__ in BENDS:
            found.append((f"{last.partition('_')[0]}_{path}", module, True))
        elif not bends and own and own != owners[0]:
            found.append((last, module, False))
        last = own or last
    return [found[at] for at in spread(len(found), MOST_HEARD)]


def gradients_of(optimizer: Any) -> list[Any]:
    """Return the gradients that an optimizer is given; of a sparse one the values that it holds."""
    slopes = [
        p.grad.detach() for group in optimizer.param_groups for p in group["params"] if p.grad is not None
    ]
    return [slope.coalesce().values() if slope.is_sparse else slope for slope in slopes]


def norms_of(torch: Any, tensors: Sequence[Any]) -> list[Any]:
    """Return the norm of each tensor, where it lies; halves are summed up in float32."""
    plain = [one.detach() for one in tensors]
    if plain and all(one.dtype == torch.float32 for one in plain):
        return list(torch._foreach_norm(plain))  # one launch for all on a GPU
    wide = [torch.promote_types(one.dtype, torch.float32) for one in plain]
    return [torch.linalg.vector_norm(one, dtype=kind) for one, kind in zip(plain, wide, strict=True)]


def part_of(values: Any) -> Any:
    """Return a copied sample of a tensor, flat, in float32, where it lies."""
    return values.detach().reshape(-1)[:: stride_of(values.shape)].float().clone()


def fetched(torch: Any, parts: Sequence[Mapping[str, Any]]) -> list[dict[str, np.ndarray]]:
    """Return tensors by name as flat arrays, float32, in one wait for their device."""
    tensors = [one.reshape(-1).float() for part in parts for one in part.values()]
    if not tensors:
        return [{} for _ in parts]
    joined = torch.cat([one.to(tensors[0].device) for one in tensors]).cpu().numpy()
    ends = np.cumsum([one.numel() for one in tensors])
    arrays = iter(np.split(joined, ends[:-1]))
    return [{name: next(arrays) for name in part} for part in parts]


def scale_of(optimizer: Any) -> float:
    """Return the factor on the gradients of this step: a gradient scaler leaves it to a fused optimizer."""
    scale = getattr(optimizer, "grad_scale", None)
    return 1.0 if scale is None else float(scale)


def steps_of(optimizer: Any) -> int:
    """Return the updates that an optimizer's state counts, as Adam's does; 0 where it counts none."""
    counts = [state["step"] for state in optimizer.state.values() if "step" in state]
    return int(max(map(float, counts), default=0))


def settings_of(model: Any, optimizer: Any, framework: str) -> dict[str, Setting | None]:
    """Return the settings that the model and its first optimizer know."""
    group = optimizer.param_groups[0]
    rates = [float(m.p) for m in model.modules() if "Dropout" in type(m).__name__ and hasattr(m, "p")]
    return {
        "optimizer": type(optimizer).__name__.lower(),
        "learning_rate": float(group["lr"]),
        "momentum": float(group["momentum"]) if "momentum" in group else None,
        "weight_decay": float(group.get("weight_decay", 0.0)),
        "dropout": max(rates, default=0.0),
        "parameters": float(sum(p.numel() for p in model.parameters() if p.requires_grad)),
        "framework": framework,
        "gradients": "after clipping",
    }


def dead_share(outputs: Any) -> Any:
    """Return the share of units, or channels of images, that gave exactly 0 on every sample of a batch, where it lies.

    None for what has no units.
    """
    if outputs.dim() < 2 or not outputs.numel():
        return None
    units = 1 if outputs.dim() > 3 else outputs.dim() - 1
    others = [side for side in range(outputs.dim()) if side != units]
    return ((outputs.amax(others) == 0) & (outputs.amin(others) == 0)).float().mean()


def array_of(values: Any) -> np.ndarray:
    """Return a copy of a tensor on the CPU, in float32 where it is of floats."""
    if not hasattr(values, "detach"):
        return np.asarray(values)
    values = values.detach().cpu()
    values = values.to_dense() if values.is_sparse else values
    return np.array(values.float().numpy() if values.is_floating_point() else values.numpy())


def _plain(path: str) -> str:
    """Return a module's path without what compiling and data parallelism put around the model."""
    return path.replace("_orig_mod.", "").removeprefix("module.")

"""Turns the knobs that lie in a torch model, without its code: on its modules, and by hooks between them.

It works on the modules that hold an optimizer's parameters, at the moment when the optimizer is made: the model
is whole then and not yet trained.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

from plateau_doctor.trials.arm import Arm
from plateau_doctor.trials.torch_width import listen_for_weights, widen

__all__ = ["Layers", "augment", "owners_of"]

ACTIVATIONS = {"relu": "ReLU", "leaky_relu": "LeakyReLU", "elu": "ELU", "gelu": "GELU", "tanh": "Tanh"}
SWAPPED = "ReLU ReLU6 LeakyReLU ELU SELU CELU GELU SiLU Sigmoid Tanh Softplus Softsign Hardtanh Mish".split()
NORMALIZES = ("Norm",)
LAYERS = "Linear Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d".split()
STATISTICS = 50  # batches of training from which the inputs' mean and deviation are taken
INITIALIZERS: dict[str, Callable[[Any, Any], Any]] = {
    "he_normal": lambda init, w: init.kaiming_normal_(w, nonlinearity="relu"),
    "he_uniform": lambda init, w: init.kaiming_uniform_(w, nonlinearity="relu"),
    "glorot_normal": lambda init, w: init.xavier_normal_(w),
    "glorot_uniform": lambda init, w: init.xavier_uniform_(w),
    "lecun_normal": lambda init, w: init.kaiming_normal_(w, nonlinearity="linear"),
    "orthogonal": lambda init, w: init.orthogonal_(w),
}


class Layers:
    """Changes the modules of a model, each knob once.

    Args:
        arm: Whose change is made, and where it is told.
        torch: The module.
    """

    def __init__(self, arm: Arm, torch: Any) -> None:
        self._arm, self._torch, self._nn = arm, torch, torch.nn
        self._done: set[int] = set()
        self._attended: dict[int, Any] = {}
        self._loaded = listen_for_weights(torch) if arm.change.width_scale is not None else []
        self._changed: tuple[Any, Any] = (None, None)  # normalized inputs of the last call, and as given

    def turn(self, parameters: list[Any]) -> list[Any]:
        """Change the modules that own these parameters; return the parameters that came to them."""
        new: list[Any] = []
        for model in owners_of(self._torch, parameters):
            if id(model) in self._done:
                continue
            self._done.add(id(model))
            change = self._arm.change
            weighted = list(_weighted(model))
            if change.width_scale is not None:
                self._widen(model, change.width_scale)
            if change.initializer is not None:
                self._initialize(weighted, change.initializer)
            if change.dropout is not None or change.dropout_scale is not None:
                self._drop(model, weighted)
            if change.activation is not None:
                self._activate(model, change.activation)
            if change.batch_normalization:
                new += self._normalize(model, weighted)
            if change.train_all_layers:
                frozen = [one for one in model.parameters() if not one.requires_grad]
                for one in frozen:
                    one.requires_grad_(True)
                new += [one for one in model.parameters() if not any(one is p for p in parameters + new)]
                self._arm.applied("train_all_layers", f"{len(frozen)} frozen arrays of weights are trained")
        return new

    def turned(self, given: Any) -> list[Any]:
        """Turn the knobs of the model that holds these parameters; return them as given, and the new ones."""
        given = [given] if hasattr(given, "grad") else list(given)
        named = bool(given) and isinstance(given[0], tuple)
        new = self.turn([one[1] for one in given] if named else given)
        return [*given, *([(f"plateau_doctor.{i}", one) for i, one in enumerate(new)] if named else new)]

    def attend(self, model: Any, args: Any) -> Any:
        """Hang what changes the inputs before the module that is called; return those of this first call."""
        if id(model) in self._attended:
            return None
        self._attended[id(model)] = model
        hooks = []
        if self._arm.change.normalize_inputs:
            hooks.append(self._standardize())
        if self._arm.change.augmentation is not None:
            hooks.append(self._augment(self._arm.change.augmentation))
        for hook in hooks:
            model.register_forward_pre_hook(hook)
            changed = hook(model, args)
            args = args if changed is None else changed
        return args if hooks else None

    def as_given(self, args: Any) -> Any:
        """Return the arguments of a call as the script gave them, before the inputs were normalized."""
        changed, given = self._changed
        return (given, *args[1:]) if args and args[0] is changed and changed is not None else args

    def _widen(self, model: Any, scale: float) -> None:
        count = 0 if self._loaded else widen(self._torch, model, scale)
        if self._loaded:
            self._arm.not_testable(
                "width_scale", "the weights of the model were loaded, and are lost in a wider one"
            )
        elif count:
            self._arm.applied("width_scale", f"x{scale:g} in {count} hidden layers, which start anew")
        else:
            why = "no hidden layer hands on its output within a torch.nn.Sequential, so the model's code sets its size"
            self._arm.not_testable("width_scale", why)

    def _initialize(self, weighted: list[Any], name: str) -> None:
        with self._torch.no_grad():
            for module in weighted:
                INITIALIZERS[name](self._nn.init, module.weight)
        self._arm.applied("initializer", f"{name} in {len(weighted)} layers")

    def _drop(self, model: Any, weighted: list[Any]) -> None:
        change = self._arm.change
        found = [m for m in model.modules() if isinstance(m, self._nn.modules.dropout._DropoutNd)]
        knob = "dropout" if change.dropout is not None else "dropout_scale"
        for module in found if change.dropout is not None else [m for m in found if m.p]:
            new = change.dropout if change.dropout is not None else module.p * (change.dropout_scale or 0.0)
            self._arm.applied(knob, f"{module.p:g} -> {new:g} in {len(found)} modules")
            module.p = min(0.95, new)
        if not found and weighted and change.dropout is not None:
            rate, drop = change.dropout, self._nn.functional.dropout
            weighted[-1].register_forward_pre_hook(lambda m, a: (drop(a[0], rate, m.training), *a[1:]))
            self._arm.applied(knob, f"{rate:g} before the last layer")

    def _activate(self, model: Any, name: str) -> None:
        kind, count = getattr(self._nn, ACTIVATIONS[name]), 0
        hidden = list(model.named_modules())
        last = max((i for i, (_, m) in enumerate(hidden) if _has_weights(m)), default=0)
        for path, module in hidden[:last]:
            if type(module).__name__ in SWAPPED and path:
                parent, _, own = path.rpartition(".")
                setattr(model.get_submodule(parent), own, kind())
                count += 1
        if count:
            self._arm.applied("activation", f"{name} in {count} modules")
        else:
            self._arm.not_testable(
                "activation", "the model's activations are no modules but calls in its code"
            )

    def _normalize(self, model: Any, weighted: list[Any]) -> list[Any]:
        if any(word in type(m).__name__ for m in model.modules() for word in NORMALIZES):
            self._arm.not_testable("batch_normalization", "the model has normalization layers already")
            return []
        new: list[Any] = []
        for module in weighted[:-1]:
            dims = module.weight.dim()
            kind = {2: "BatchNorm1d", 3: "BatchNorm1d", 4: "BatchNorm2d", 5: "BatchNorm3d"}[dims]
            norm = getattr(self._nn, kind)(_channels_out(module))
            norm.to(module.weight.device, module.weight.dtype)
            module.add_module("batch_normalization", norm)
            module.register_forward_hook(_normalized)
            new += norm.parameters()
        if new:
            self._arm.applied("batch_normalization", f"after {len(weighted) - 1} layers")
        else:
            self._arm.not_testable("batch_normalization", "there is no hidden layer of weights")
        return new

    def _standardize(self) -> Callable[[Any, Any], Any]:
        seen: dict[str, Any] = {"count": 0}

        def hook(module: Any, args: tuple[Any, ...]) -> Any:
            x = args[0] if args else None
            if x is None or not hasattr(x, "is_floating_point") or not x.is_floating_point() or x.dim() < 2:
                self._arm.not_testable("normalize_inputs", "the model's first input is no tensor of numbers")
                return None
            over = [0, *range(2, x.dim())]  # all but channels or features
            if module.training and self._torch.is_grad_enabled() and seen["count"] < STATISTICS:
                self._see(seen, x.detach(), over)
            if not seen["count"]:
                return None
            self._arm.applied(
                "normalize_inputs", f"by mean and deviation of {seen['count']} training batches"
            )
            deviation = (seen["square"] - seen["mean"] ** 2).clamp_min(0).sqrt()
            changed = (x - seen["mean"]) / deviation.clamp_min(1e-6)
            self._changed = changed, x
            return (changed, *args[1:])

        return hook

    def _see(self, seen: dict[str, Any], x: Any, over: list[int]) -> None:
        mean, square = x.mean(over, keepdim=True), (x**2).mean(over, keepdim=True)
        count = seen["count"]
        seen["mean"] = mean if not count else (seen["mean"] * count + mean) / (count + 1)
        seen["square"] = square if not count else (seen["square"] * count + square) / (count + 1)
        seen["count"] = count + 1

    def _augment(self, motions: tuple[str, ...]) -> Callable[[Any, Any], Any]:
        def hook(module: Any, args: tuple[Any, ...]) -> Any:
            x = args[0] if args else None
            if x is None or not hasattr(x, "is_floating_point") or not x.is_floating_point() or x.dim() != 4:
                self._arm.not_testable("augmentation", "the model's first input is no batch of images")
                return None
            if not module.training or not self._torch.is_grad_enabled():
                return None
            self._arm.applied("augmentation", ", ".join(motions))
            return (augment(self._torch, x, motions), *args[1:])

        return hook


def augment(torch: Any, images: Any, motions: tuple[str, ...]) -> Any:
    """Return images (n, channels, height, width), each moved a little at random.

    Flips left to right; turns by up to 10 degrees; shifts by up to 10 %; shears and zooms by up to 0.1.
    """
    n = len(images)

    def within(most: float) -> Any:
        return most * (2 * torch.rand(n) - 1)

    none = torch.zeros(n)
    flip = 1 - 2.0 * torch.randint(0, 2, (n,)) if "flip" in motions else none + 1
    zoom = 1 + within(0.1) if "zoom" in motions else none + 1
    angle = within(0.17) if "rotate" in motions else none
    shear = within(0.1) if "shear" in motions else none
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = flip * zoom * angle.cos(), shear - angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = flip * angle.sin(), zoom * angle.cos()
    if "shift" in motions:
        theta[:, :, 2] = 0.2 * (2 * torch.rand(n, 2) - 1)  # an image is 2 wide
    grid = torch.nn.functional.affine_grid(theta.to(images), list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, align_corners=False)


def owners_of(torch: Any, parameters: list[Any]) -> list[Any]:
    """Return the modules that own any of these parameters and are part of no other module that does."""
    wanted = {id(one) for one in parameters}
    alive = [one for one in gc.get_objects() if issubclass(type(one), torch.nn.Module)]
    owners = [one for one in alive if any(id(p) in wanted for p in one.parameters())]
    inner = {id(part) for one in owners for part in one.modules() if part is not one}
    return [one for one in owners if id(one) not in inner]


def _weighted(model: Any) -> Iterator[Any]:
    """Yield the dense and convolutional modules in order; the last one gives the output."""
    attention = {id(m.out_proj) for m in model.modules() if hasattr(m, "out_proj") and hasattr(m, "head_dim")}
    for module in model.modules():
        if type(module).__name__ in LAYERS and id(module) not in attention:
            yield module


def _has_weights(module: Any) -> bool:
    return type(module).__name__ in LAYERS


def _channels_out(module: Any) -> int:
    return int(module.out_features if hasattr(module, "out_features") else module.out_channels)


def _normalized(module: Any, _: Any, output: Any) -> Any:
    norm = module.batch_normalization
    if module.weight.dim() == 2 and output.dim() > 2:  # a dense layer over sequences: features come last
        return norm(output.reshape(-1, output.shape[-1])).reshape(output.shape)
    return norm(output)

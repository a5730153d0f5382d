"""What a Keras model tells about itself; knows it only through its public attributes and imports nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from plateau_doctor.recorders.events import Setting
from plateau_doctor.recorders.sample import spread
from plateau_doctor.recorders.tape import MOST_HEARD, place

__all__ = [
    "activations_of",
    "inner_optimizer",
    "inputs_of",
    "kernels_of",
    "learning_rate_of",
    "mean_loss",
    "rescales",
    "settings_of",
]

ACTIVATION_LAYERS = frozenset("Activation ReLU LeakyReLU PReLU ELU Softmax".split())
RESCALES = frozenset("Rescaling Normalization BatchNormalization LayerNormalization Lambda".split())


def kernels_of(model: Any) -> dict[str, Any]:
    """Return name -> variable for every trainable array of two or more dimensions, in forward order.

    Biases and the scales of normalization layers are left out. Subclassed models are taken in the order in
    which their layers were made.
    """
    kernels = [v for v in model.trainable_variables if len(v.shape) >= 2]
    paths = [_path(model, variable) for variable in kernels]
    parents = list(dict.fromkeys(path.rpartition("/")[0] for path in paths))
    named = {}
    for path, variable in zip(paths, kernels, strict=True):
        parent, _, own = path.rpartition("/")
        named[f"{place(parents.index(parent), len(parents), parent or 'model')}/{own}"] = variable
    return named


def activations_of(model: Any) -> dict[str, Any]:
    """Return name -> symbolic output of the hidden layers that apply a nonlinearity; of many some are taken.

    Empty for a subclassed model, which has no symbolic outputs.
    """
    places = {id(variable): name.rpartition("/")[0] for name, variable in kernels_of(model).items()}
    outputs, last = {}, place(0, len(places), "input")
    final = {id(output) for output in getattr(model, "outputs", None) or []}
    for layer in _leaves(model):
        own = next((places[id(v)] for v in layer.trainable_variables if id(v) in places), None)
        last = own or last
        name = own or f"{last.partition('_')[0]}_{layer.name}"
        try:
            output = layer.output
        except (AttributeError, ValueError):  # never called symbolically, or called at several places
            continue
        if _bends(layer) and not isinstance(output, (list, tuple, dict)) and id(output) not in final:
            outputs[name] = output
    kept = [list(outputs)[at] for at in spread(len(outputs), MOST_HEARD)]
    return {name: outputs[name] for name in kept}


def inner_optimizer(model: Any) -> Any:
    """Return the optimizer that makes the updates, inside any that scale the loss."""
    optimizer = model.optimizer
    while getattr(optimizer, "inner_optimizer", None) is not None:
        optimizer = optimizer.inner_optimizer
    return optimizer


def inputs_of(model: Any) -> Any:
    """Return the symbolic inputs of a model in the structure that it is called with."""
    functional = getattr(model, "_functional", None) or model  # a Sequential model keeps its graph there
    return getattr(functional, "_inputs_struct", model.inputs)


def learning_rate_of(model: Any) -> float:
    """Return the learning rate of the next update."""
    return float(
        f"{float(inner_optimizer(model).learning_rate):.7g}"
    )  # kept as float32: 0.1, not 0.10000000149


def mean_loss(model: Any) -> Any:
    """Return the metric that `fit` reports as the loss, with its `total` and `count`; None where there is none."""
    found = (one for one in model.metrics if one.name == "loss")
    return next((one for one in found if hasattr(one, "total") and hasattr(one, "count")), None)


def rescales(model: Any) -> bool:
    """Whether the model itself brings its inputs to scale before the first kernel."""
    for layer in _leaves(model):
        if type(layer).__name__ in RESCALES:
            return True
        if any(len(v.shape) >= 2 for v in layer.trainable_variables):
            return False
    return False


def settings_of(model: Any) -> dict[str, Setting | None]:
    """Return the settings that the model and its optimizer know."""
    optimizer = inner_optimizer(model)
    layers = list(_leaves(model))
    sizes = [_size(v.shape) for v in model.trainable_variables]
    penalties = [getattr(getattr(layer, "kernel_regularizer", None), "l2", None) for layer in layers]
    rates = [getattr(layer, "rate", None) for layer in layers if "Dropout" in type(layer).__name__]
    clips = {name: getattr(optimizer, name, None) for name in ("clipnorm", "global_clipnorm", "clipvalue")}
    return {
        "optimizer": type(optimizer).__name__.lower(),
        "learning_rate": learning_rate_of(model),
        "momentum": _number(getattr(optimizer, "momentum", None)),
        "weight_decay": _number(getattr(optimizer, "weight_decay", None)) or 0.0,
        "dropout": max((float(r) for r in rates if r is not None), default=0.0),
        "l2": max((float(p) for p in penalties if p is not None), default=0.0),
        "parameters": float(sum(sizes)),
        "loss": _name(model.loss),
        "gradients": "before clipping",
        **{name: _number(value) for name, value in clips.items()},
    }


def _leaves(model: Any) -> Iterator[Any]:
    for layer in getattr(model, "layers", ()):
        if getattr(layer, "layers", None):
            yield from _leaves(layer)
        else:
            yield layer


def _bends(layer: Any) -> bool:
    if type(layer).__name__ in ACTIVATION_LAYERS:
        return True
    activation = getattr(layer, "activation", None)
    return activation is not None and getattr(activation, "__name__", "") != "linear"


def _path(model: Any, variable: Any) -> str:
    return str(getattr(variable, "path", variable.name)).removeprefix(f"{model.name}/")


def _size(shape: Any) -> int:
    size = 1
    for side in shape:
        size *= int(side)
    return size


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _name(loss: Any) -> str | None:
    if loss is None or isinstance(loss, (dict, list)):
        return None
    return loss if isinstance(loss, str) else str(getattr(loss, "name", None) or type(loss).__name__)

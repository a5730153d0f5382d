"""Turns the knobs that lie in a Keras model: on its layers in place, or by building it again from them.

What changes no shape (dropout, activation functions, initial weights, penalties, which layers are trained) is
changed in place, in models of every kind. What puts layers between others or changes their sizes needs the
graph of a Sequential or functional model. The model that the script holds is then given the new one's contents,
so that whatever the script does with it goes on with the new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from plateau_doctor.trials.arm import Arm

__all__ = ["WEIGHTED", "Layers", "hidden_of", "leaves_of", "replace_by", "statistics_of"]

WEIGHTED = "Dense EinsumDense Conv1D Conv2D Conv3D SeparableConv1D SeparableConv2D".split()
RECURRENT = "GRU LSTM SimpleRNN".split()  # have a width, too
ACTIVATIONS = "Activation ReLU LeakyReLU PReLU ELU".split()
MOTIONS: dict[str, Any] = {
    "flip": lambda layers: layers.RandomFlip("horizontal"),
    "rotate": lambda layers: layers.RandomRotation(10 / 360),
    "shift": lambda layers: layers.RandomTranslation(0.1, 0.1),
    "shear": lambda layers: layers.RandomShear(0.1, 0.1),
    "zoom": lambda layers: layers.RandomZoom(0.1),
}
STRUCTURAL = ("batch_normalization", "skip_connections", "width_scale", "augmentation", "normalize_inputs")


class Layers:
    """Changes the layers of models, each model once.

    Args:
        arm: Whose change is made, and where it is told.
        keras: The module.
    """

    def __init__(self, arm: Arm, keras: Any) -> None:
        self._arm, self._keras = arm, keras

    def turn(self, model: Any, statistics: tuple[Any, Any] | None) -> bool:
        """Change a built model; return whether it must be compiled again.

        Args:
            model: The model that is about to be fitted.
            statistics: Mean and variance of the inputs by channel, None where they are not known.
        """
        self._in_place(model)
        knobs = [knob for knob in STRUCTURAL if knob in self._arm.knobs]
        dropout = self._arm.change.dropout is not None and "dropout" not in self._arm.outcome.applied
        swap = self._arm.change.activation is not None and _has(model, ACTIVATIONS[1:])
        again = self._arm.change.train_all_layers is not None
        if not knobs and not dropout and not swap:
            return again
        knobs += ["dropout"] * dropout + ["activation"] * swap
        if type(model) not in (self._keras.Sequential, self._keras.src.models.functional.Functional):
            for knob in knobs:
                self._arm.not_testable(knob, "the model is a class of its own, without a graph to change")
            return again
        try:
            new, words = _Rebuilding(self._keras, self._arm, model, dropout).build(statistics)
        except (ValueError, TypeError) as error:
            for knob in knobs:
                self._arm.not_testable(knob, f"the model cannot be built with it: {error}"[:300])
            return again
        for knob, what in words.items():
            self._arm.applied(knob, what)
        replace_by(model, new)
        return True

    def _in_place(self, model: Any) -> None:
        change, arm = self._arm.change, self._arm
        drops = [one for one in leaves_of(model) if hasattr(one, "rate") and "Dropout" in type(one).__name__]
        for knob, new in (("dropout", change.dropout), ("dropout_scale", change.dropout_scale)):
            if new is None:
                continue
            for layer in drops:
                rate = new if knob == "dropout" else layer.rate * new
                if rate or layer.rate:
                    arm.applied(knob, f"{layer.rate:g} -> {rate:g} in {len(drops)} layers")
                layer.rate = min(0.95, rate)
        if change.dropout_scale is not None and not any(one.rate for one in drops):
            arm.not_testable("dropout_scale", "the model has no dropout to scale")
        if change.activation is not None:
            self._activate(model, change.activation)
        if change.initializer is not None:
            kernels = [k for one in leaves_of(model) for k in [getattr(one, "kernel", None)] if k is not None]
            for kernel in kernels:
                kernel.assign(self._keras.initializers.get(change.initializer)(kernel.shape))
            arm.applied("initializer", f"{change.initializer} in {len(kernels)} layers")
        if change.weight_decay_scale is not None:
            self._penalties(model, change.weight_decay_scale)
        if change.train_all_layers:
            frozen = [one for one in leaves_of(model) if one.weights and not one.trainable]
            model.trainable = True
            for layer in leaves_of(model):
                layer.trainable = True
            arm.applied("train_all_layers", f"{len(frozen)} frozen layers are trained")

    def _activate(self, model: Any, name: str) -> None:
        function = self._keras.activations.get(name)
        linear = self._keras.activations.linear
        layers = [one for one in hidden_of(model) if callable(getattr(one, "activation", None))]
        layers = [one for one in layers if one.activation is not linear]
        for layer in layers:
            layer.activation = function
        if layers:
            self._arm.applied("activation", f"{name} in {len(layers)} layers")
        elif not _has(model, ACTIVATIONS[1:]):
            self._arm.not_testable(
                "activation", "no hidden layer has an activation function that Keras knows of"
            )

    def _penalties(self, model: Any, scale: float) -> None:
        found = {
            id(one): one
            for variable in model.trainable_variables
            for one in [getattr(variable, "regularizer", None)]
            if one is not None and (hasattr(one, "l2") or hasattr(one, "l1"))
        }
        for penalty in found.values():
            for name in ("l1", "l2"):
                if hasattr(penalty, name):
                    setattr(penalty, name, getattr(penalty, name) * scale)
        if found:
            before = self._arm.outcome.applied.get("weight_decay_scale")
            words = f"penalties of {len(found)} layers times {scale:g}"
            self._arm.applied("weight_decay_scale", f"{before}; {words}" if before else words)
        elif "weight_decay_scale" not in self._arm.outcome.applied:
            self._arm.not_testable(
                "weight_decay_scale", "there is neither weight decay nor a penalty to scale"
            )


class _Rebuilding:
    """Builds a model once more along its graph, with layers put in or changed."""

    def __init__(self, keras: Any, arm: Arm, model: Any, dropout: bool) -> None:
        self._keras, self._layers, self._arm, self._change = keras, keras.layers, arm, arm.change
        self._model, self._dropout = model, dropout
        self._hidden = {id(one) for one in hidden_of(model) if type(one).__name__ in WEIGHTED}
        self._sized = {id(one) for one in hidden_of(model) if type(one).__name__ in (*WEIGHTED, *RECURRENT)}
        self._last = next((one for one in reversed(model.layers) if type(one).__name__ in WEIGHTED), None)
        self._old: dict[int, Any] = {}  # new layer -> the one in whose place it is
        self._pairs: list[tuple[Any, Any]] = []
        self._inputs: dict[int, Any] = {}
        self._words: dict[str, str] = {}
        self._wider = 0

    def build(self, statistics: tuple[Any, Any] | None) -> tuple[Any, dict[str, str]]:
        """Return the new model, not compiled, and what was done, by knob."""
        keras, model = self._keras, self._model
        plain = keras.Model(model.inputs if len(model.inputs) > 1 else model.inputs[0], model.outputs)
        fresh = [keras.Input(batch_shape=one.shape, dtype=one.dtype, name=one.name) for one in model.inputs]
        for one in fresh:
            self._inputs[id(one)] = self._front(one, statistics)
        given = fresh if len(fresh) > 1 else fresh[0]
        new = keras.models.clone_model(
            plain, input_tensors=given, clone_function=self._layer, call_function=self._call
        )
        for one, old in self._pairs:
            if [w.shape for w in one.weights] == [w.shape for w in old.weights]:
                one.set_weights(old.get_weights())
        return new, self._words

    def _front(self, tensor: Any, statistics: tuple[Any, Any] | None) -> Any:
        """Return what the layers see in place of an input."""
        change = self._change
        if change.normalize_inputs:
            if statistics is None:
                self._arm.not_testable("normalize_inputs", "the inputs are not one array of numbers")
            else:
                mean, variance = statistics
                tensor = self._layers.Normalization(axis=-1, mean=mean, variance=variance)(tensor)
                self._words["normalize_inputs"] = (
                    "by mean and deviation of each channel of the training inputs"
                )
        if change.augmentation is not None:
            if len(tensor.shape) != 4:
                self._arm.not_testable("augmentation", "the inputs are no images")
                return tensor
            for motion in change.augmentation:
                tensor = MOTIONS[motion](self._layers)(tensor)
            self._words["augmentation"] = ", ".join(change.augmentation)
        return tensor

    def _layer(self, layer: Any) -> Any:
        """Return the layer that takes this one's place."""
        hidden, change = id(layer) in self._hidden, self._change
        config = layer.get_config()
        if change.width_scale is not None and layer.weights:
            if id(layer) in self._sized:
                side = "units" if "units" in config else "filters"
                config[side] = max(1, round(config[side] * change.width_scale))
                self._wider += 1
                self._words["width_scale"] = f"x{change.width_scale:g} in {self._wider} hidden layers"
        elif change.activation and type(layer).__name__ in ACTIVATIONS[1:]:
            self._words["activation"] = f"{change.activation} in the layers"
            return self._layers.Activation(change.activation)
        elif getattr(layer, "layers", None):
            return layer  # a model within: the script may hold it, to free it later
        if hidden and change.batch_normalization:
            config["activation"] = "linear"
        new = type(layer).from_config(config)
        self._old[id(new)] = layer
        self._pairs.append((new, layer))
        return new

    def _call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        args = tuple(self._inputs.get(id(one), one) for one in args)
        old, change = self._old.get(id(layer)), self._change
        if old is self._last and old is not None and self._dropout:
            args = (self._layers.Dropout(change.dropout)(args[0]), *args[1:])
            self._words["dropout"] = f"{change.dropout:g} before the last layer"
        output = layer(*args, **kwargs)
        if old is None or id(old) not in self._hidden:
            return output
        if change.batch_normalization:
            output = self._layers.BatchNormalization()(output)
            output = self._layers.Activation(old.activation)(output)
            self._words["batch_normalization"] = f"after {len(self._hidden)} layers, before their activation"
        if change.skip_connections:
            output = self._skip(args[0], output)
        return output

    def _skip(self, before: Any, after: Any) -> Any:
        """Return `after` plus `before`, brought to its number of channels; `after` where their sides differ."""
        if before.shape[:-1] != after.shape[:-1]:
            return after
        if before.shape[-1] != after.shape[-1]:
            rank = len(after.shape) - 2
            kind = {0: "Dense", 1: "Conv1D", 2: "Conv2D", 3: "Conv3D"}[rank]
            sides = (after.shape[-1],) if rank == 0 else (after.shape[-1], 1)
            before = getattr(self._layers, kind)(*sides)(before)
        self._words["skip_connections"] = "around each hidden layer that keeps the sides of what it is given"
        return self._layers.Add()([before, after])


def replace_by(model: Any, new: Any) -> None:
    """Give a model the contents of another; whoever holds it holds the other from now on."""
    name = model.name
    object.__setattr__(model, "__class__", type(new))
    model.__dict__.clear()
    model.__dict__.update(new.__dict__)
    model.__dict__["_name"] = name


def leaves_of(model: Any) -> Iterator[Any]:
    """Yield the layers of a model in order, those of models inside it in their place."""
    for layer in getattr(model, "layers", ()):
        if getattr(layer, "layers", None):
            yield from leaves_of(layer)
        else:
            yield layer


def hidden_of(model: Any) -> list[Any]:
    """Return the layers before the last one that has weights of a dense or convolutional layer."""
    layers = list(leaves_of(model))
    places = [i for i, one in enumerate(layers) if type(one).__name__ in WEIGHTED]
    return layers[: places[-1]] if places else []


def statistics_of(values: Any) -> tuple[Any, Any]:
    """Return mean and variance by channel (last axis) of an array."""
    over = tuple(range(values.ndim - 1))
    return values.mean(axis=over, dtype=np.float64), values.var(axis=over, dtype=np.float64)


def _has(model: Any, names: list[str]) -> bool:
    return any(type(one).__name__ in names for one in hidden_of(model))

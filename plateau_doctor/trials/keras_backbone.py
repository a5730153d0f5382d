"""Puts a pretrained backbone in a Keras model's place: transfer learning, frozen first, then its last layers too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plateau_doctor.trials.arm import Arm
from plateau_doctor.trials.keras_layers import WEIGHTED, leaves_of, replace_by

__all__ = ["FROZEN", "SLOWER", "Backbone"]

FROZEN = 0.5  # share of the epochs with the backbone frozen
SLOWER = 0.1  # factor on the rate once it is not


class Backbone:
    """Transfer learning in one phase of a script.

    The file of weights is a whole saved Keras model (`.keras`), whose last layer with weights is left off, or
    weights of the `keras.applications` network that the change names, saved without its top.

    Args:
        arm: Whose change is made, and where it is told.
        keras: The module.
    """

    def __init__(self, arm: Arm, keras: Any) -> None:
        self._arm, self._keras = arm, keras
        self._backbone: Any = None

    def put_into(self, model: Any) -> bool:
        """Rebuild a built classifier around the backbone; return whether that was possible."""
        weights = self._arm.order.weights
        if weights is None:
            for knob in self._knobs():
                self._arm.not_testable(knob, "no file of pretrained weights was given; give one as --weights")
            return False
        try:
            new = self._around(model, weights)
        except (ValueError, TypeError, OSError, AttributeError) as error:
            for knob in self._knobs():
                self._arm.not_testable(knob, f"the backbone cannot take this model's place: {error}"[:300])
            return False
        replace_by(model, new)
        self._arm.applied("backbone", f"{self._backbone.name} from {Path(weights).name}, frozen")
        return True

    def unfreeze(self) -> None:
        """Let the last layers of the backbone be trained."""
        count = self._arm.change.unfreeze_last or 0
        layers = [one for one in leaves_of(self._backbone) if one.weights]
        self._backbone.trainable = True
        for layer in layers[: max(0, len(layers) - count)]:
            layer.trainable = False
        done = f"the last {min(count, len(layers))} layers, in the second half, at a rate x{SLOWER:g}"
        self._arm.applied("unfreeze_last", done)

    def _around(self, model: Any, weights: str) -> Any:
        layers, inputs = self._keras.layers, model.inputs[0]
        fresh = self._keras.Input(batch_shape=inputs.shape, dtype=inputs.dtype, name=inputs.name)
        self._backbone = self._load(weights, inputs.shape)
        self._backbone.trainable = False
        wanted = self._backbone.inputs[0].shape
        seen = fresh
        if wanted[-1] != seen.shape[-1]:
            if seen.shape[-1] != 1:
                raise ValueError(f"it takes {wanted[-1]} channels, and the images have {seen.shape[-1]}")
            seen = layers.Concatenate()([seen] * wanted[-1])
        if None not in wanted[1:3] and wanted[1:3] != seen.shape[1:3]:
            seen = layers.Resizing(wanted[1], wanted[2])(seen)
        features = self._backbone(seen, training=False)
        if len(features.shape) == 4:
            features = layers.GlobalAveragePooling2D()(features)
        place = max(i for i, one in enumerate(model.layers) if type(one).__name__ in WEIGHTED)
        for layer in model.layers[place:]:
            features = type(layer).from_config(layer.get_config())(features)
        return self._keras.Model(fresh, features)

    def _load(self, weights: str, shape: Any) -> Any:
        if weights.endswith(".keras"):
            whole = self._keras.models.load_model(weights, compile=False)
            place = max(i for i, one in enumerate(whole.layers) if type(one).__name__ in WEIGHTED)
            return self._keras.Model(whole.inputs[0], whole.layers[place - 1].output, name=whole.name)
        kind = getattr(self._keras.applications, str(self._arm.change.backbone))
        sides = (shape[1], shape[2], 3)
        return kind(include_top=False, weights=weights, input_shape=sides)

    def _knobs(self) -> list[str]:
        return [knob for knob in ("backbone", "unfreeze_last") if knob in self._arm.knobs]

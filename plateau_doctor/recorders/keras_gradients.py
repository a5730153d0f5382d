"""Gradients of a Keras training, kept where a compiled training step can write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from plateau_doctor.recorders.held_out import as_array
from plateau_doctor.recorders.keras_model import inner_optimizer
from plateau_doctor.recorders.sample import Sample, stride_of
from plateau_doctor.recorders.tape import warn

__all__ = ["Gradients", "array"]


class Gradients:
    """A sample of each kernel's gradient in the last update, and the norms of all.

    Args:
        model: The compiled model.
        kernels: Name -> variable.
    """

    def __init__(self, model: Any, kernels: Mapping[str, Any]) -> None:
        import keras

        self._model, self._optimizer = model, inner_optimizer(model)
        self._in_optimizer = keras.backend.backend() == "jax"  # there only known variables leave a step
        self._kernels = dict(kernels)
        self._places = {id(kernel): place for place, kernel in enumerate(kernels.values())}
        self._strides = [stride_of(kernel.shape) for kernel in kernels.values()]
        sizes = [_size(kernel) for kernel in kernels.values()]
        self._slots = [self._slot(-(-size // step)) for size, step in zip(sizes, self._strides, strict=True)]
        self._norms = self._slot(len(kernels) + 1)  # the last one over all gradients
        self._heard = False
        self._apply = self._optimizer.apply
        self._optimizer.apply = self._record_and_apply
        if getattr(model, "train_function", None) is not None:
            model.make_train_function(force=True)  # one compiled by an earlier fit knows no recorder

    def read(self) -> dict[str, tuple[Sample, float]]:
        """Return a sample and the norm of each kernel's gradient by name; empty before the first update was seen."""
        if not self._heard:
            return {}
        norms = array(self._norms)
        return {
            name: (Sample(np.array(array(slot)), _size(kernel)), float(norm))
            for (name, kernel), slot, norm in zip(self._kernels.items(), self._slots, norms, strict=False)
        }

    def total(self) -> float | None:
        """Return the norm over all gradients."""
        return float(array(self._norms)[-1]) if self._heard else None

    def release(self) -> None:
        """Unwrap the optimizer; the training step is compiled anew if the model is fitted again."""
        del self._optimizer.apply
        self._model.train_function = None
        if self._in_optimizer:
            own = {id(slot) for slot in (*self._slots, self._norms)}
            self._optimizer._variables[:] = [v for v in self._optimizer._variables if id(v) not in own]

    def _record_and_apply(self, grads: Any, trainable_variables: Any = None) -> Any:
        grads = list(grads)
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
        try:
            self._record(grads, trainable_variables or self._optimizer._trainable_variables)
        except Exception as error:
            self._heard = False
            warn(f"gradients are not recorded: {type(error).__name__}: {error}")
        return self._apply(grads, trainable_variables)

    def _record(self, grads: list[Any], variables: list[Any]) -> None:
        from keras import ops

        scale = self._optimizer.loss_scale_factor or 1.0
        squares: list[Any] = [0.0] * len(self._slots)
        others: list[Any] = []  # of what is no kernel
        for gradient, variable in zip(grads, variables, strict=True):
            if gradient is None:
                continue
            dense = ops.cast(ops.convert_to_tensor(gradient), "float32") / scale
            place = self._places.get(id(variable))
            if place is None:
                others.append(ops.sum(ops.square(dense)))
                continue
            squares[place] = ops.sum(ops.square(dense))
            self._slots[place].assign(ops.reshape(dense, (-1,))[:: self._strides[place]])
        self._norms.assign(ops.sqrt(ops.stack([*squares, sum(others, sum(squares))])))
        self._heard = True

    def _slot(self, size: int) -> Any:
        import keras

        if self._in_optimizer:
            return self._optimizer.add_variable((size,), dtype="float32", name="plateau_doctor")
        return keras.Variable(initializer="zeros", shape=(size,), dtype="float32", trainable=False)


def array(value: Any) -> np.ndarray:
    """Return a variable or tensor of any back-end as a float32 array, which may be the value itself."""
    return as_array(getattr(value, "value", value)).astype(np.float32, copy=False)


def _size(variable: Any) -> int:
    size = 1
    for side in variable.shape:
        size *= int(side)
    return size

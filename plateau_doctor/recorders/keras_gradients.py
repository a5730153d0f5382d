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
        lengths = [-(-size // step) for size, step in zip(sizes, self._strides, strict=True)]
        self._ends = np.cumsum(lengths)
        self._samples = self._slot(int(sum(lengths)))  # one after the other
        self._norms = self._slot(len(kernels) + 1)  # the last one over all gradients
        self._due = False
        self._eager = keras.backend.backend() == "torch" or bool(getattr(model, "run_eagerly", False))
        self._heard = False
        self._apply, self._save = self._optimizer.apply, self._optimizer.save_own_variables
        self._optimizer.apply = self._record_and_apply
        if self._in_optimizer:
            self._optimizer.save_own_variables = self._save_own_variables
        if getattr(model, "train_function", None) is not None:
            model.make_train_function(force=True)  # one compiled by an earlier fit knows no recorder

    def expect(self, due: bool) -> None:
        """Say whether the gradients of the steps from now on are wanted."""
        self._due = due

    def read(self) -> dict[str, tuple[Sample, float]]:
        """Return a sample and the norm of each kernel's gradient by name; empty before the first update was seen."""
        if not self._heard:
            return {}
        norms, samples = array(self._norms), np.split(np.array(array(self._samples)), self._ends[:-1])
        return {
            name: (Sample(sample, _size(kernel)), float(norm))
            for (name, kernel), sample, norm in zip(self._kernels.items(), samples, norms, strict=False)
        }

    def total(self) -> float | None:
        """Return the norm over all gradients."""
        return float(array(self._norms)[-1]) if self._heard else None

    def release(self) -> None:
        """Unwrap the optimizer; the training step is compiled anew if the model is fitted again."""
        del self._optimizer.apply
        self._model.train_function = None
        if self._in_optimizer:
            del self._optimizer.save_own_variables
            self._optimizer._variables[:] = self._of_optimizer()

    def _of_optimizer(self) -> list[Any]:
        own = {id(slot) for slot in (self._samples, self._norms)}
        return [variable for variable in self._optimizer._variables if id(variable) not in own]

    def _save_own_variables(self, store: Any) -> None:
        """Leave ours out of a checkpoint: Keras would load none of an optimizer's with a few too many."""
        every = list(self._optimizer._variables)
        self._optimizer._variables[:] = self._of_optimizer()
        try:
            self._save(store)
        finally:
            self._optimizer._variables[:] = every

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

        self._heard = True
        if not self._due and self._eager:  # a compiled step cannot leave it out for less than it costs
            return
        scale = self._optimizer.loss_scale_factor
        samples: list[Any] = [ops.zeros(end, "float32") for end in np.diff(self._ends, prepend=0).tolist()]
        squares: list[Any] = [ops.zeros((), "float32")] * len(samples)
        others: list[Any] = []  # of what is no kernel
        for gradient, variable in zip(grads, variables, strict=True):
            if gradient is None:
                continue
            dense = ops.cast(ops.convert_to_tensor(gradient), "float32")
            dense = dense if scale is None else dense / scale
            place = self._places.get(id(variable))
            if place is None:
                others.append(ops.sum(ops.square(dense)))
                continue
            squares[place] = ops.sum(ops.square(dense))
            samples[place] = ops.reshape(dense, (-1,))[:: self._strides[place]]
        self._samples.assign(ops.concatenate([*samples, ops.zeros(0, "float32")]))
        self._norms.assign(ops.sqrt(ops.stack([*squares, sum(others, sum(squares))])))

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

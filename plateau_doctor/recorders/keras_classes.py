"""Samples and hits of each class of a Keras classifier, counted where its step computes its metrics.

So labels are seen wherever they come from (arrays, tf.data, generators), and no data set is gone through for it: that
would move its shuffling on, and the training would be another one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from plateau_doctor.recorders.held_out import recalls_of
from plateau_doctor.recorders.keras_gradients import array
from plateau_doctor.recorders.keras_model import mean_loss
from plateau_doctor.recorders.tape import warn

__all__ = ["Classes", "classifies"]

MOST_CLASSES = 100
LOSSES = ("crossentropy", "cross_entropy", "hinge", "focal")


class Classes:
    """The counts of one training.

    Args:
        model: The compiled classifier.
    """

    def __init__(self, model: Any) -> None:
        import keras

        outputs = model.output_shape[1]
        size = max(2, outputs)
        self._model, self._outputs = model, outputs
        self._home = mean_loss(model) if keras.backend.backend() == "jax" else None
        self._trained, self._held_out = self._variable((size,)), self._variable((2, size))
        self._testing = False
        self._compute, self._test = model.compute_metrics, model.test_step
        model.compute_metrics, model.test_step = self._counted(self._compute), self._tested
        for name in ("train_function", "test_function"):
            if getattr(model, name, None) is not None:
                getattr(model, f"make_{name}")(force=True)  # one compiled by an earlier fit counts nothing

    @property
    def trained(self) -> np.ndarray:
        """Samples of each class trained on so far."""
        return array(self._trained)

    def begin_evaluation(self) -> None:
        """Count the evaluation anew."""
        self._held_out.assign(np.zeros(self._held_out.shape))

    def scores(self) -> dict[str, float]:
        """Return recall by class, balanced accuracy and majority share of the evaluation, by tag; empty before one."""
        counts, hits = array(self._held_out)
        return recalls_of(counts, hits)

    def release(self) -> None:
        """Give the model its own methods back; its steps are compiled anew if it is used again."""
        del self._model.compute_metrics, self._model.test_step
        self._model.train_function = self._model.test_function = None
        if self._home is not None:
            own = (id(self._trained), id(self._held_out))
            self._home._variables[:] = [v for v in self._home._variables if id(v) not in own]

    def _variable(self, shape: tuple[int, ...]) -> Any:
        """Return zeros; on JAX, where only state that the model knows leaves a step, they lie in its metric."""
        import keras

        if self._home is not None:
            return self._home.add_variable(shape, initializer="zeros", dtype="float32", name="plateau_doctor")
        return keras.Variable(np.zeros(shape), dtype="float32", trainable=False)

    def _tested(self, *args: Any, **kwargs: Any) -> Any:
        self._testing = True
        try:
            return self._test(*args, **kwargs)
        finally:
            self._testing = False

    def _counted(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        def compute_metrics(x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            try:
                self._count(y, y_pred)
            except Exception as error:
                warn(f"classes are not recorded: {type(error).__name__}: {error}")
            return compute(x, y, y_pred, sample_weight)

        return compute_metrics

    def _count(self, labels: Any, outputs: Any) -> None:
        from keras import ops

        if len(labels.shape) == 2 and labels.shape[1] == self._outputs > 1:
            truth = ops.argmax(labels, axis=1)
        else:
            truth = ops.cast(ops.reshape(labels, (-1,)), "int32")
        guess = ops.argmax(outputs, axis=1) if self._outputs > 1 else ops.reshape(outputs, (-1,)) > self._bar
        chosen = ops.one_hot(truth, self._trained.shape[0], dtype="float32")
        if not self._testing:
            self._trained.assign_add(ops.sum(chosen, axis=0))
            return
        hit = ops.cast(ops.equal(ops.cast(guess, "int32"), ops.cast(truth, "int32")), "float32")
        hits = ops.sum(chosen * ops.expand_dims(hit, 1), axis=0)
        self._held_out.assign_add(ops.stack([ops.sum(chosen, axis=0), hits]))

    @property
    def _bar(self) -> float:
        return 0.0 if getattr(self._model.loss, "from_logits", False) else 0.5


def classifies(model: Any) -> bool:
    """Whether a model is a classifier whose counts leave a compiled step."""
    import keras

    shape, loss = getattr(model, "output_shape", None), model.loss
    name = (
        loss if isinstance(loss, str) else str(getattr(loss, "name", None) or getattr(loss, "__name__", ""))
    )
    return (
        (keras.backend.backend() != "jax" or mean_loss(model) is not None)
        and isinstance(shape, tuple)
        and len(shape) == 2
        and isinstance(shape[1], int)
        and shape[1] <= MOST_CLASSES
        and any(word in name.lower() for word in LOSSES)
    )

"""A small CNN in Keras that trains an epoch whenever it is told to: `overhead.py` paces it."""

import sys
import time

import keras
import numpy as np

BATCH, STEPS, EVALUATIONS = 32, 50, 10


class Paced(keras.callbacks.Callback):
    """Says before each epoch what this process has used of the processor so far, and waits for a line."""

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002, D102
        print(time.process_time(), flush=True)
        sys.stdin.readline()


def main() -> None:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((32, 32, 3)),
        layers.Conv2D(16, 3, padding="same", activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(32, 3, padding="same", activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    (x, y), held_out = (
        (rng.normal(size=(n, 32, 32, 3)).astype("float32"), rng.integers(0, 10, n))
        for n in (BATCH * STEPS, BATCH * EVALUATIONS)
    )
    model.fit(
        x, y, BATCH, epochs=int(sys.argv[1]), validation_data=held_out, verbose=0, callbacks=[Paced()]
    )  # fmt: skip


if __name__ == "__main__":
    main()

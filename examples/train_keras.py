"""Trains a small CNN on images of strokes with Keras: an ordinary script that knows nothing of plateau-doctor.

    python examples/train_keras.py                             # healthy
    python examples/train_keras.py --sick lr_too_low           # one of the sicknesses below
    python examples/train_keras.py --pretrain small.keras      # on other classes, for transfer learning

It logs with Keras' CSVLogger into --logdir, and takes a few seconds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np
from strokes import draw

TARGET, OTHERS = range(8), range(8, 32)  # classes


def build(classes: int, rate: float, penalty: float, filters: int) -> keras.Model:
    layers, l2 = keras.layers, keras.regularizers.L2(penalty)
    return keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_regularizer=l2),
            layers.MaxPooling2D(),
            layers.Conv2D(2 * filters, 3, padding="same", activation="relu", kernel_regularizer=l2),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(rate),
            layers.Dense(classes, activation="softmax"),
        ],
        name="strokes",
    )


def main() -> None:
    sicknesses = (
        "none lr_too_high lr_never_lowered lr_too_low small_dataset class_imbalance unnormalized_inputs "
        "over_regularized capacity_too_small unshuffled_data"
    ).split()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sick", choices=sicknesses, default="none")
    parser.add_argument("--pretrain", type=Path, help="train on other classes and save the model here")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--logdir", type=Path, default=Path("logs/strokes-keras"))
    options = parser.parse_args()
    sick = options.sick

    keras.utils.set_random_seed(options.seed)
    classes = OTHERS if options.pretrain else TARGET
    samples = 12000 if options.pretrain else 60 if sick == "small_dataset" else 1000
    x, y = draw(classes, samples, seed=1)
    x_held_out, y_held_out = draw(classes, 500, seed=2)
    if sick == "unnormalized_inputs":
        x, x_held_out = 100 + 40 * x, 100 + 40 * x_held_out
    if sick == "class_imbalance":
        kept = (y == 0) | (np.random.default_rng(3).random(len(y)) < 0.04)
        x, y = x[kept], y[kept]
    if sick == "unshuffled_data":
        order = np.argsort(y, kind="stable")
        x, y = x[order], y[order]

    rates = {"lr_too_high": 2.0, "lr_never_lowered": 0.1, "lr_too_low": 1e-4}
    model = build(
        classes=len(classes),
        rate=0.8 if sick == "over_regularized" else 0.0,
        penalty=0.1 if sick == "over_regularized" else 0.0,
        filters=1 if sick == "capacity_too_small" else 8,
    )
    model.compile(
        optimizer=keras.optimizers.SGD(rates.get(sick, 0.05), momentum=0.9),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    options.logdir.mkdir(parents=True, exist_ok=True)
    model.fit(
        x,
        y,
        batch_size=32,
        epochs=options.epochs,
        validation_data=(x_held_out, y_held_out),
        shuffle=sick != "unshuffled_data",
        verbose=2,
        callbacks=[keras.callbacks.CSVLogger(options.logdir / "history.csv")],
    )
    model.save(options.pretrain or options.logdir / "model.keras")


if __name__ == "__main__":
    main()

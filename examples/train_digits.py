"""Trains a small CNN on scikit-learn's handwritten digits: an ordinary Keras script, about 5 seconds a run.

For instance:

    python examples/train_digits.py --learning-rate 0.05 --epochs 20 --seed 0 --logdir logs/mine
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from sklearn.datasets import load_digits

import plateau_doctor.recorders.keras


class Data(NamedTuple):
    """Inputs of shape (n, 8, 8, 1) in 0..1 and labels 0..9, for training and held out."""

    x: np.ndarray
    y: np.ndarray
    x_held_out: np.ndarray
    y_held_out: np.ndarray


def load(seed: int = 0, samples: int = 1200) -> Data:
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    x = (images[order] / 16).reshape(-1, 8, 8, 1).astype("float32")
    y = labels[order].astype("int64")
    return Data(x[:samples], y[:samples], x[-500:], y[-500:])


def build(filters: int = 12, dropout: float = 0.0) -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(filters, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(2 * filters, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(dropout),
            layers.Dense(10, activation="softmax"),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--logdir", type=Path, default=Path("logs/digits"))
    options = parser.parse_args()

    keras.utils.set_random_seed(options.seed)
    data = load(seed=0)
    model = build()
    model.compile(
        optimizer=keras.optimizers.SGD(options.learning_rate, momentum=0.9),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    held_out = (data.x_held_out, data.y_held_out)
    options.logdir.mkdir(parents=True, exist_ok=True)
    model.fit(
        data.x,
        data.y,
        batch_size=options.batch_size,
        epochs=options.epochs,
        validation_data=held_out,
        verbose=2,
        callbacks=[
            keras.callbacks.CSVLogger(options.logdir / "history.csv"),
            plateau_doctor.recorders.keras.Recorder(options.logdir, validation_data=held_out, labels=data.y),
        ],
    )


if __name__ == "__main__":
    main()

"""Trains a small net with Keras, as people write it.

For instance:

    python benchmarks/scripts/fit_keras.py --data digits --net cnn --sick lr_too_high --logdir logs/run
"""

from __future__ import annotations

import keras
from keras import layers
from samples import Samples, arguments, load

RATES = {"lr_too_high": 1.5, "lr_too_low": 3e-4}


def build(net: str, data: Samples, sick: str) -> keras.Model:
    small = sick == "capacity_too_small"
    model = keras.Sequential([keras.Input(data.x.shape[1:])])
    decay = keras.regularizers.L2(0.05) if sick == "over_regularized" else None
    if net == "gru":
        model.add(layers.GRU(2 if small else 24, kernel_regularizer=decay))
    elif net == "mlp":
        model.add(layers.Flatten())
        bend = "sigmoid" if sick == "vanishing_gradients" else "relu"
        for width in [1] if small else [48] * (5 if sick == "vanishing_gradients" else 2):
            model.add(layers.Dense(width, activation=bend, kernel_regularizer=decay))
    else:
        for width in (1, 2) if small else (12, 24):
            model.add(layers.Conv2D(width, 3, padding="same", kernel_regularizer=decay))
            if net == "cnn_bn":
                model.add(layers.BatchNormalization())
            model.add(layers.ReLU())
            model.add(layers.MaxPooling2D())
        model.add(layers.Flatten())
    if sick == "over_regularized":
        model.add(layers.Dropout(0.85))
    model.add(layers.Dense(data.classes, activation="softmax"))
    return model


def main() -> None:
    args = arguments(__doc__)

    keras.utils.set_random_seed(args.seed)
    data = load(args.data, args.sick)
    model = build(args.net, data, args.sick)
    model.compile(
        optimizer=keras.optimizers.SGD(RATES.get(args.sick, 0.05), momentum=0.9),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    args.logdir.mkdir(parents=True, exist_ok=True)
    model.fit(
        data.x, data.y, batch_size=32, epochs=args.epochs, shuffle=args.sick != "unshuffled_data",
        validation_data=(data.x_held_out, data.y_held_out), verbose=0,
        callbacks=[keras.callbacks.CSVLogger(args.logdir / "log.csv")],
    )  # fmt: skip


if __name__ == "__main__":
    main()

"""Trains the small sick and healthy networks whose logs lie in examples/logs, and proves what ails them.

    python examples/make_logs.py                  # trains all, writes examples/logs/<case>/
    python examples/make_logs.py dead_relu        # one case
    python examples/make_logs.py --check          # trains each sick one again with only its cause undone

Every log is a real training of a small CNN on scikit-learn's handwritten digits. A case is a `Setup` that
carries its cause for real (labels really flipped, biases really set wrong) and the change that takes only
this cause away. `--check` prints the held-out score of both; the cause is real where the second is clearly
better. Each folder holds the recorder's event file and the history of Keras' CSVLogger.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from train_digits import Data, load

from plateau_doctor.recorders.keras import Recorder

LOGS = Path(__file__).parent / "logs"
EVENTS = "events.out.tfevents.0"  # a fixed name, so that training again replaces the file


@dataclass(frozen=True)
class Setup:
    """One training, whole: data, network and how it is trained."""

    samples: int = 1200
    input_noise: float = 0.0  # standard deviation added to pixels of 0..1, train and held out
    flipped_labels: float = 0.0  # share of the training labels replaced by another class
    rare_share: float = 0.0  # share of the two rare classes (3 and 8) against all other digits in one class
    class_weights: bool = False
    filters: int = 8
    depth: int = 2  # convolutions
    dense: int = 0  # units of a hidden dense layer
    pooled: bool = False  # averages each filter over the image, so that the filters are the bottleneck
    activation: str = "relu"
    init_variance: float = 2.0  # of VarianceScaling: 2 is He's
    bias: float = 0.0  # initial, of the hidden layers
    dropout: float = 0.0
    l2: float = 0.0
    optimizer: str = "sgd"
    learning_rate: float = 0.02
    cosine: bool = False
    clip_norm: float | None = None
    batch_size: int = 32
    epochs: int = 20
    every: int = 100  # steps between two histograms
    seed: int = 0


@dataclass(frozen=True)
class Case:
    """A setup, and the change that undoes its cause and nothing else; none for a healthy run."""

    setup: Setup
    undo: Mapping[str, Any] = field(default_factory=dict)
    by_recall: bool = False  # judged by the mean recall of the classes, not by the loss


@dataclass(frozen=True)
class Result:
    """How a training went: Keras' history, and the held-out scores of its last weights."""

    history: Mapping[str, list[float]]
    loss: float
    accuracy: float
    recall: float


CASES = {
    "healthy": Case(Setup(dropout=0.25, learning_rate=0.01, epochs=16, every=120)),
    "converged": Case(Setup(dropout=0.3, l2=1e-4, learning_rate=0.03, cosine=True, epochs=32, every=240)),
    "lr_too_high": Case(Setup(learning_rate=0.2, every=150), {"learning_rate": 0.02}),
    "lr_too_low": Case(Setup(learning_rate=1e-5, every=130), {"learning_rate": 0.01}),
    "vanishing_gradients": Case(
        Setup(depth=6, activation="sigmoid", init_variance=1.0, learning_rate=0.05, every=240),
        {"activation": "relu", "init_variance": 2.0},
    ),
    "exploding_gradients": Case(
        Setup(
            depth=6,
            activation="leaky_relu",
            init_variance=4.0,
            learning_rate=0.02,
            batch_size=8,
            epochs=12,
            every=500,
        ),
        {"init_variance": 2.0},
    ),
    "dead_relu": Case(Setup(bias=-1.5), {"bias": 0.0}),
    "class_imbalance": Case(
        Setup(rare_share=0.05, input_noise=0.6, learning_rate=0.003, dropout=0.3),
        {"class_weights": True},
        by_recall=True,
    ),
    "label_noise": Case(
        Setup(flipped_labels=0.4, dense=48, learning_rate=0.03, epochs=32, every=340), {"flipped_labels": 0.0}
    ),
    "small_dataset": Case(
        Setup(samples=50, batch_size=10, dense=32, input_noise=0.2, epochs=32, every=40),
        {"samples": 1200, "epochs": 3},  # 24 times the data, a tenth of the epochs
    ),
    "capacity_too_small": Case(
        Setup(filters=1, pooled=True, optimizer="adam", learning_rate=0.01, epochs=34, every=250),
        {"filters": 16},
    ),
    "over_regularized": Case(Setup(dropout=0.8, l2=0.03, every=130), {"dropout": 0.1, "l2": 1e-4}),
    "overfitting": Case(
        Setup(
            samples=600,
            input_noise=0.5,
            filters=12,
            dense=64,
            optimizer="adam",
            learning_rate=1e-3,
            epochs=38,
            every=235,
        ),
        {"epochs": 12},
    ),
}


def network(setup: Setup) -> keras.Model:
    layers = keras.layers
    common: dict[str, Any] = {
        "activation": setup.activation,
        "kernel_initializer": keras.initializers.VarianceScaling(setup.init_variance),
        "bias_initializer": keras.initializers.Constant(setup.bias),
    }
    model = keras.Sequential([keras.Input((8, 8, 1))])
    for index in range(setup.depth):
        filters = setup.filters if index == 0 else 2 * setup.filters
        model.add(layers.Conv2D(filters, 3, padding="same", kernel_regularizer=_penalty(setup), **common))
        if index == 0:
            model.add(layers.MaxPooling2D())
    model.add(layers.GlobalAveragePooling2D() if setup.pooled else layers.Flatten())
    if setup.dense:
        model.add(layers.Dense(setup.dense, kernel_regularizer=_penalty(setup), **common))
    if setup.dropout:
        model.add(layers.Dropout(setup.dropout))
    classes = 3 if setup.rare_share else 10
    model.add(layers.Dense(classes, activation="softmax", kernel_regularizer=_penalty(setup)))
    return model


def data(setup: Setup) -> Data:
    rng = np.random.default_rng(setup.seed + 1)
    x, y, x_held_out, y_held_out = load(seed=0)
    if setup.rare_share:
        x, y = _made_rare(x, y, setup.rare_share)
        x_held_out, y_held_out = _made_rare(x_held_out, y_held_out, setup.rare_share)
    x, y = x[: setup.samples], y[: setup.samples].copy()
    flipped = rng.random(len(y)) < setup.flipped_labels
    y[flipped] = (y[flipped] + rng.integers(1, 10, flipped.sum())) % 10
    x, x_held_out = (a + setup.input_noise * rng.standard_normal(a.shape) for a in (x, x_held_out))
    return Data(x.astype("float32"), y, x_held_out.astype("float32"), y_held_out)


def train(setup: Setup, logdir: Path) -> Result:
    """Train one setup, write its logs and return how it went."""
    keras.utils.clear_session()  # layers are named conv2d, conv2d_1, ... in every run
    keras.utils.set_random_seed(setup.seed)
    x, y, x_held_out, y_held_out = data(setup)
    model = network(setup)
    model.compile(_optimizer(setup, len(x)), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    shutil.rmtree(logdir, ignore_errors=True)
    logdir.mkdir(parents=True)
    held_out = (x_held_out, y_held_out)
    recorder = Recorder(logdir, setup.every, validation_data=held_out, labels=y)
    history = model.fit(
        x,
        y,
        batch_size=setup.batch_size,
        epochs=setup.epochs,
        validation_data=held_out,
        class_weight=_balanced(y) if setup.class_weights else None,
        verbose=0,
        callbacks=[keras.callbacks.CSVLogger(logdir / "history.csv"), recorder],
    ).history
    next(logdir.glob("events.out.tfevents.*")).rename(logdir / EVENTS)
    return Result(history, *_held_out(model.predict(x_held_out, verbose=0), y_held_out))


def check(names: list[str]) -> None:
    """Print how each sick run and the same run with its cause undone do on held-out data."""
    print(" " * 22, *(f"{score:>16}" for score in ("cross-entropy", "accuracy", "mean recall")))
    print(f"{'case':22}", *[f"{'sick':>8}{'undone':>8}"] * 3, " undone is")
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            case = CASES[name]
            if not case.undo:
                continue
            setups = (case.setup, replace(case.setup, **case.undo))
            sick, well = (train(setup, Path(scratch) / name) for setup in setups)
            print(_row(name, sick, well, case.by_recall), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cases", nargs="*", help=f"which; all by default: {', '.join(CASES)}")
    parser.add_argument("--check", action="store_true", help="undo each cause, print a table")
    parser.add_argument("--out", type=Path, default=LOGS)
    options = parser.parse_args()
    names = options.cases or list(CASES)
    if unknown := sorted(set(names) - set(CASES)):
        parser.error(f"no case is called {', '.join(unknown)}; there are {', '.join(CASES)}")
    if options.check:
        check(names)
        return
    for name in names:
        result = train(CASES[name].setup, options.out / name)
        last = {key: round(values[-1], 3) for key, values in result.history.items()}
        print(f"{name:22} {last}", flush=True)


def _row(name: str, sick: Result, well: Result, by_recall: bool) -> str:
    better = not well.loss >= 0.9 * sick.loss  # also where the sick one is NaN
    if by_recall:
        better = well.recall > sick.recall + 0.05
    pairs = ((sick.loss, well.loss), (sick.accuracy, well.accuracy), (sick.recall, well.recall))
    numbers = " ".join(f"{before:8.3f}{after:8.3f}" for before, after in pairs)
    return f"{name:22} {numbers}  {'better' if better else 'NOT better'}"


def _held_out(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """Return cross-entropy without penalties, accuracy, and the mean of the classes' recalls."""
    chosen = probabilities.argmax(axis=1)
    loss = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-7)).mean()
    recalls = [np.mean(chosen[labels == c] == c) for c in np.unique(labels)]
    return float(loss), float(np.mean(chosen == labels)), float(np.mean(recalls))


def _optimizer(setup: Setup, samples: int) -> keras.optimizers.Optimizer:
    rate: Any = setup.learning_rate
    if setup.cosine:
        steps = setup.epochs * -(-samples // setup.batch_size)
        rate = keras.optimizers.schedules.CosineDecay(setup.learning_rate, steps)
    if setup.optimizer == "adam":
        return keras.optimizers.Adam(rate, clipnorm=setup.clip_norm)
    return keras.optimizers.SGD(rate, momentum=0.9, clipnorm=setup.clip_norm)


def _penalty(setup: Setup) -> keras.regularizers.Regularizer | None:
    return keras.regularizers.L2(setup.l2) if setup.l2 else None


def _made_rare(x: np.ndarray, y: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    merged = np.select([y == 3, y == 8], [1, 2], 0).astype("int64")
    common = int((merged == 0).sum())
    each = max(2, round(common * share / (1 - share) / 2))
    kept = np.sort(np.concatenate([np.flatnonzero(merged == c)[: each if c else None] for c in range(3)]))
    return x[kept], merged[kept]


def _balanced(y: np.ndarray) -> dict[int, float]:
    classes, counts = np.unique(y, return_counts=True)
    return {int(c): len(y) / len(classes) / n for c, n in zip(classes, counts, strict=True)}


if __name__ == "__main__":
    main()

"""Data sets of the scripts: handwritten digits, tumors, and generated waves; what a sickness does to them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits

__all__ = ["DATA", "SICK", "Samples", "arguments", "load"]

DATA = ("digits", "tumors", "waves")
SICK = (
    "none lr_too_high lr_too_low small_dataset class_imbalance unnormalized_inputs over_regularized "
    "capacity_too_small unshuffled_data label_noise vanishing_gradients"
).split()


class Samples(NamedTuple):
    """Inputs and labels for training and held out; images (n, 8, 8, 1), rows (n, 30), sequences (n, 40, 2)."""

    x: np.ndarray
    y: np.ndarray
    x_held_out: np.ndarray
    y_held_out: np.ndarray
    classes: int


def arguments(doc: str | None) -> argparse.Namespace:
    """Return what a script was asked for on its command line."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--data", choices=DATA, default="digits")
    parser.add_argument("--net", choices=("mlp", "cnn", "cnn_bn", "gru"), default="mlp")
    parser.add_argument("--sick", choices=SICK, default="none")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--logdir", type=Path, required=True)
    return parser.parse_args()


def load(name: str, sick: str) -> Samples:
    """Return a data set as a script with this sickness would load it."""
    x, y = {"digits": _digits, "tumors": _tumors, "waves": _waves}[name]()
    order = np.random.default_rng(7).permutation(len(y))
    x, y = x[order], y[order]
    held_out = len(y) // 3
    x, y, x_held_out, y_held_out = x[held_out:], y[held_out:], x[:held_out], y[:held_out]
    rng, classes = np.random.default_rng(8), int(y.max()) + 1
    if sick == "small_dataset":
        x, y = x[:40], y[:40]
    if sick == "class_imbalance":
        kept = (y == 0) | (rng.random(len(y)) < 0.05)
        x, y = x[kept], y[kept]
    if sick == "label_noise":
        wrong = rng.random(len(y)) < 0.4
        y = np.where(wrong, rng.integers(classes, size=len(y)), y)
    if sick == "unnormalized_inputs":
        x, x_held_out = 120 + 60 * x, 120 + 60 * x_held_out
    if sick == "unshuffled_data":
        order = np.argsort(y, kind="stable")
        x, y = x[order], y[order]
    return Samples(x.astype("float32"), y.astype("int64"), x_held_out.astype("float32"), y_held_out, classes)


def _digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    return (x.reshape(-1, 8, 8, 1) - 4.9) / 6.0, y


def _tumors() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_breast_cancer(return_X_y=True)
    return (x - x.mean(axis=0)) / x.std(axis=0), 1 - y


def _waves() -> tuple[np.ndarray, np.ndarray]:
    """Return noisy waves of four kinds: by frequency, and by which channel runs ahead."""
    rng, n = np.random.default_rng(9), 1200
    y = rng.integers(4, size=n)
    at = np.arange(40) / 40
    phase = rng.random((n, 1))
    turns = np.where(y % 2, 3.0, 2.0)[:, None] * at + phase
    lag = np.where(y // 2, 0.25, -0.25)[:, None]
    x = np.stack([np.sin(2 * np.pi * turns), np.sin(2 * np.pi * (turns + lag))], axis=-1)
    return x + 0.4 * rng.standard_normal(x.shape), y

"""Trains small networks, each with one sickness, on scikit-learn's handwritten digits: a script as anyone writes it.

    python sick.py FOLDER [CAUSE...]

It knows nothing of plateau-doctor and logs what many scripts log: the training loss of each epoch, to FOLDER/CAUSE.csv.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

POOL = 1200  # samples to train on; the others are held out


@dataclass(frozen=True)
class Sick:
    """One training: data, network and how it is trained."""

    samples: int = 600
    scale: float = 1.0
    held_out_scale: float = 1.0  # of the held-out inputs besides
    input_noise: float = 0.0
    flipped: float = 0.0  # share of the training labels that are wrong
    rare: float = 0.0  # share of the two rare of three classes
    ordered: bool = False
    filters: int = 8
    depth: int = 2  # convolutions
    dense: int = 0  # units of a hidden dense layer
    pooled: bool = False
    activation: type[nn.Module] = nn.ReLU
    gain: float = 1.0  # on He's initial weights
    bias: float = 0.0
    dropout: float = 0.0
    decay: float = 0.0
    softmax: bool = False  # before a loss that takes it again
    adam: bool = False
    rate: float = 0.02
    cut_at: int | None = None  # epoch from which the rate is a thousandth
    batch: int = 32
    epochs: int = 20


CASES = {
    "lr_too_low": Sick(rate=1e-4, epochs=12),
    "lr_too_high": Sick(rate=0.25, samples=400),
    "lr_decayed_too_early": Sick(rate=0.01, cut_at=2),
    "vanishing_gradients": Sick(depth=3, activation=nn.Sigmoid, rate=0.05, gain=0.5),
    "exploding_gradients": Sick(depth=6, activation=nn.LeakyReLU, gain=2.5, epochs=12),
    "dead_relu": Sick(bias=-1.5),
    "saturated_units": Sick(activation=nn.Tanh, gain=40, depth=3, rate=0.003),
    "bad_initialization": Sick(gain=0.01, depth=3),
    "class_imbalance": Sick(rare=0.05, input_noise=0.6, rate=0.003, dropout=0.3),
    "label_noise": Sick(flipped=0.4, dense=48, rate=0.03),
    "small_dataset": Sick(samples=50, batch=10, dense=32, input_noise=0.2, epochs=32),
    "unnormalized_inputs": Sick(scale=255.0),
    "unshuffled_data": Sick(ordered=True, samples=1200),
    "capacity_too_small": Sick(filters=1, pooled=True, adam=True, rate=0.01),
    "output_loss_mismatch": Sick(softmax=True),
    "over_regularized": Sick(dropout=0.8, decay=0.06),
    "overfitting": Sick(samples=300, input_noise=0.5, dense=64, adam=True, rate=1e-3, epochs=30),
    "not_training": Sick(rate=0.0, epochs=10),
    "train_eval_mismatch": Sick(held_out_scale=0.1, dense=32),
}


def build(case: Sick) -> nn.Module:
    layers: list[nn.Module] = []
    given, wanted = 1, case.filters
    for index in range(case.depth):
        layers += [nn.Conv2d(given, wanted, 3, padding=1), case.activation()]
        given, wanted = wanted, 2 * case.filters
        if index == 0:
            layers.append(nn.MaxPool2d(2))
    layers += [*([nn.AdaptiveAvgPool2d(1)] if case.pooled else []), nn.Flatten()]
    width = given if case.pooled else given * 16
    if case.dense:
        layers += [nn.Linear(width, case.dense), case.activation()]
        width = case.dense
    layers += [nn.Dropout(case.dropout), nn.Linear(width, 3 if case.rare else 10)]
    hidden = [one for one in layers if isinstance(one, (nn.Conv2d, nn.Linear))][:-1]
    for one in hidden:
        nn.init.kaiming_normal_(one.weight)
        one.weight.data *= case.gain
        nn.init.constant_(one.bias, case.bias)
    return nn.Sequential(*layers, *([nn.Softmax(dim=1)] if case.softmax else []))


def load(case: Sick) -> tuple[TensorDataset, TensorDataset]:
    rng = np.random.default_rng(1)
    images, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(labels))
    x, y = images[order] / 16, labels[order]
    x = case.scale * (x + case.input_noise * rng.standard_normal(x.shape))
    rows = np.arange(POOL)
    if case.rare:
        y = np.select([y == 3, y == 8], [1, 2], 0)
        common = np.flatnonzero(y[:POOL] == 0)
        each = round(len(common) * case.rare / (1 - case.rare) / 2)
        rows = np.sort(np.concatenate([common, *(np.flatnonzero(y[:POOL] == c)[:each] for c in (1, 2))]))
    rows = rows[: case.samples]
    taught = y[rows].copy()
    flipped = rng.random(len(rows)) < case.flipped
    taught[flipped] = (taught[flipped] + rng.integers(1, 10, flipped.sum())) % 10
    if case.ordered:
        by_class = np.argsort(taught, kind="stable")
        rows, taught = rows[by_class], taught[by_class]
    return _set(x[rows], taught), _set(case.held_out_scale * x[POOL:], y[POOL:])


def _set(x: np.ndarray, y: np.ndarray) -> TensorDataset:
    return TensorDataset(torch.tensor(x, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(y))


def train(case: Sick, log: Path) -> None:
    torch.manual_seed(0)
    data, held_out = load(case)
    model = build(case)
    if case.adam:
        optimizer: torch.optim.Optimizer = torch.optim.Adam(model.parameters(), lr=case.rate)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=case.rate, momentum=0.9, weight_decay=case.decay)
    criterion = nn.CrossEntropyLoss()
    batches = DataLoader(data, case.batch, shuffle=not case.ordered)
    with log.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["epoch", "loss"])
        for epoch in range(case.epochs):
            if epoch == case.cut_at:
                optimizer.param_groups[0]["lr"] = case.rate / 1000
            model.train()
            losses = []
            for x, y in batches:
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            table.writerow([epoch, np.mean(losses)])
            model.eval()
            with torch.no_grad():
                for x, y in DataLoader(held_out, 200):
                    criterion(model(x), y)


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for cause in sys.argv[2:] or CASES:
        train(CASES[cause], folder / f"{cause}.csv")


if __name__ == "__main__":
    main()

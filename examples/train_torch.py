"""Trains a small CNN on images of strokes with torch: an ordinary script that knows nothing of plateau-doctor.

    python examples/train_torch.py                         # healthy
    python examples/train_torch.py --sick lr_too_high      # one of the sicknesses below

It logs to history.csv in --logdir, and takes a few seconds.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from strokes import draw
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

CLASSES = range(8)
RATES = {"lr_too_high": 2.0, "lr_never_lowered": 0.1, "lr_too_low": 1e-4}


def build(rate: float, filters: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, filters, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(filters, 2 * filters, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(rate),
        nn.Linear(2 * filters * 9, len(CLASSES)),
    )


def load(sick: str) -> tuple[TensorDataset, TensorDataset]:
    x, y = draw(CLASSES, 60 if sick == "small_dataset" else 1000, seed=1)
    x_held_out, y_held_out = draw(CLASSES, 500, seed=2)
    if sick == "unnormalized_inputs":
        x, x_held_out = 100 + 40 * x, 100 + 40 * x_held_out
    if sick == "class_imbalance":
        kept = (y == 0) | (np.random.default_rng(3).random(len(y)) < 0.04)
        x, y = x[kept], y[kept]
    if sick == "unshuffled_data":
        order = np.argsort(y, kind="stable")
        x, y = x[order], y[order]
    pairs = ((x, y), (x_held_out, y_held_out))
    train, held_out = (TensorDataset(torch.tensor(a).permute(0, 3, 1, 2), torch.tensor(b)) for a, b in pairs)
    return train, held_out


def evaluate(model: nn.Module, criterion: nn.Module, batches: DataLoader) -> tuple[float, float]:
    """Return the mean loss and the accuracy."""
    model.eval()
    loss, right, samples = 0.0, 0, 0
    with torch.no_grad():
        for x, y in batches:
            logits = model(x)
            loss += criterion(logits, y).item() * len(y)
            right += int((logits.argmax(dim=1) == y).sum())
            samples += len(y)
    return loss / samples, right / samples


def main() -> None:
    sicknesses = (
        "none lr_too_high lr_never_lowered lr_too_low small_dataset class_imbalance unnormalized_inputs "
        "over_regularized capacity_too_small unshuffled_data"
    ).split()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sick", choices=sicknesses, default="none")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--logdir", type=Path, default=Path("logs/strokes-torch"))
    options = parser.parse_args()
    sick = options.sick

    torch.manual_seed(options.seed)
    train, held_out = load(sick)
    batches = DataLoader(train, batch_size=32, shuffle=sick != "unshuffled_data")
    model = build(
        rate=0.8 if sick == "over_regularized" else 0.0, filters=1 if sick == "capacity_too_small" else 8
    )
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=RATES.get(sick, 0.05),
        momentum=0.9,
        weight_decay=0.1 if sick == "over_regularized" else 0.0,
    )
    criterion = nn.CrossEntropyLoss()
    options.logdir.mkdir(parents=True, exist_ok=True)
    with (options.logdir / "history.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["epoch", "loss", "val_loss", "val_accuracy", "learning_rate"])
        for epoch in range(options.epochs):
            model.train()
            losses = []
            for x, y in batches:
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            val_loss, accuracy = evaluate(model, criterion, DataLoader(held_out, batch_size=100))
            rate = optimizer.param_groups[0]["lr"]
            table.writerow([epoch, np.mean(losses), val_loss, accuracy, rate])
            print(
                f"epoch {epoch} loss {np.mean(losses):.4f} val_loss {val_loss:.4f} val_accuracy {accuracy:.3f}"
            )
    torch.save(model.state_dict(), options.logdir / "model.pt")


if __name__ == "__main__":
    main()

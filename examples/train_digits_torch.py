"""Trains a small CNN on scikit-learn's handwritten digits: an ordinary torch script, about 5 seconds a run.

For instance:

    python examples/train_digits_torch.py --learning-rate 0.05 --epochs 20 --seed 0 --logdir logs/mine
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import plateau_doctor.recorders.torch

TRAINING = 1200  # samples; the other 597 are held out


def load() -> tuple[torch.Tensor, torch.Tensor]:
    """Return images of shape (n, 1, 8, 8) in 0..1 and labels 0..9, shuffled."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    x = torch.tensor(images[order] / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    return x, torch.tensor(labels[order])


def build() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24 * 16, 10),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--learning-rate", type=float, default=0.02)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--logdir", type=Path, default=Path("logs/digits-torch"))
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    x, y = load()
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=options.learning_rate, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    recorder = plateau_doctor.recorders.torch.Recorder(
        model, optimizer, options.logdir, batch_size=options.batch_size, samples=TRAINING, classes=10
    )
    with recorder:
        for epoch in range(1, options.epochs + 1):
            model.train()
            losses = []
            for rows in torch.randperm(TRAINING).split(options.batch_size):
                optimizer.zero_grad()
                loss = criterion(model(x[rows]), y[rows])
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                recorder.log(loss_step=loss)
            model.eval()
            with torch.no_grad():
                logits = model(x[TRAINING:])
            held_out, chosen = criterion(logits, y[TRAINING:]).item(), logits.argmax(dim=1)
            accuracy = (chosen == y[TRAINING:]).float().mean().item()
            recorder.log(epoch=epoch, loss=float(np.mean(losses)), val_loss=held_out, val_accuracy=accuracy)
            recorder.log_classes(y[TRAINING:], chosen)
            print(
                f"epoch {epoch} loss {np.mean(losses):.4f} val_loss {held_out:.4f} val_accuracy {accuracy:.3f}"
            )


if __name__ == "__main__":
    main()

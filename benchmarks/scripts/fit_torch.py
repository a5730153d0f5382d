"""Trains a small net with torch, as people write it.

For instance:

    python benchmarks/scripts/fit_torch.py --data digits --net cnn --sick lr_too_high --logdir logs/run
"""

from __future__ import annotations

import csv
from itertools import pairwise

import torch
from samples import Samples, arguments, load
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

RATES = {"lr_too_high": 1.5, "lr_too_low": 3e-4}


class Recurrent(nn.Module):
    """Classifies a sequence by the state after its last step."""

    def __init__(self, channels: int, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.GRU(channels, width, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (n, classes) of sequences (n, steps, channels)."""
        return self.head(self.dropout(self.body(x)[0][:, -1]))


def build(net: str, data: Samples, sick: str) -> nn.Module:
    shape, small = data.x.shape[1:], sick == "capacity_too_small"
    dropout = 0.85 if sick == "over_regularized" else 0.0
    if net == "gru":
        return Recurrent(shape[-1], 2 if small else 24, data.classes, dropout)
    if net == "mlp":
        sizes = [int(torch.tensor(shape).prod()), *([1] if small else [48] * (5 if "vanish" in sick else 2))]
        bend = nn.Sigmoid if sick == "vanishing_gradients" else nn.ReLU
        layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), bend())]
        return nn.Sequential(nn.Flatten(), *layers, nn.Dropout(dropout), nn.Linear(sizes[-1], data.classes))
    width = 1 if small else 12
    blocks: list[nn.Module] = []
    for a, b in ((shape[-1], width), (width, 2 * width)):
        blocks += [nn.Conv2d(a, b, 3, padding=1), *([nn.BatchNorm2d(b)] if net == "cnn_bn" else [])]
        blocks += [nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Dropout(dropout), nn.Linear(8 * width, data.classes))


def main() -> None:
    args = arguments(__doc__)

    torch.manual_seed(args.seed)
    data = load(args.data, args.sick)
    x, x_held_out = torch.tensor(data.x), torch.tensor(data.x_held_out)
    if args.net.startswith("cnn"):
        x, x_held_out = x.permute(0, 3, 1, 2), x_held_out.permute(0, 3, 1, 2)
    train = DataLoader(
        TensorDataset(x, torch.tensor(data.y)), batch_size=32, shuffle=args.sick != "unshuffled_data"
    )
    held_out = DataLoader(TensorDataset(x_held_out, torch.tensor(data.y_held_out)), batch_size=200)
    model = build(args.net, data, args.sick)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=RATES.get(args.sick, 0.05), momentum=0.9,
        weight_decay=0.05 if args.sick == "over_regularized" else 0.0,
    )  # fmt: skip
    args.logdir.mkdir(parents=True, exist_ok=True)
    with (args.logdir / "log.csv").open("w", newline="") as file:
        log = csv.writer(file)
        log.writerow(["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"])
        for epoch in range(args.epochs):
            model.train()
            total, right = 0.0, 0
            for batch, labels in train:
                optimizer.zero_grad()
                logits = model(batch)
                loss = functional.cross_entropy(logits, labels)
                loss.backward()
                optimizer.step()
                total, right = (
                    total + loss.item() * len(labels), right + int((logits.argmax(1) == labels).sum())
                )  # fmt: skip
            model.eval()
            val_total, val_right = 0.0, 0
            with torch.no_grad():
                for batch, labels in held_out:
                    logits = model(batch)
                    val_total += functional.cross_entropy(logits, labels).item() * len(labels)
                    val_right += int((logits.argmax(1) == labels).sum())
            n, m = len(data.y), len(data.y_held_out)
            log.writerow([
                epoch, total / n, right / n, val_total / m, val_right / m, optimizer.param_groups[0]["lr"],
            ])  # fmt: skip


if __name__ == "__main__":
    main()

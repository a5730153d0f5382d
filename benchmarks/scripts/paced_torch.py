"""A small CNN in a plain torch loop that trains an epoch whenever it is told to: `overhead.py` paces it."""

import sys
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BATCH, STEPS, EVALUATIONS = 32, 50, 10


def wait() -> None:
    """Say what this process has used of the processor so far, and wait for a line."""
    print(time.process_time(), flush=True)
    sys.stdin.readline()


def main() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 64, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    train, held_out = (
        DataLoader(TensorDataset(torch.randn(n, 3, 32, 32), torch.randint(0, 10, (n,))), BATCH)
        for n in (BATCH * STEPS, BATCH * EVALUATIONS)
    )
    for _ in range(int(sys.argv[1])):
        wait()
        model.train()
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for x, y in held_out:
                criterion(model(x), y)


if __name__ == "__main__":
    main()

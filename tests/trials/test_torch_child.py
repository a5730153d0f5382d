"""Unmodified torch scripts in a child process: what the wrap leaves as it is, and what it changes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from plateau_doctor.readers import read

from .running import alone, trial

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="no torch here")

SCRIPT = """
import argparse, hashlib
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    torch.manual_seed(3)
    y = torch.randint(0, 3, (96,))
    x = torch.randn(96, 1, 6, 6) + y[:, None, None, None]
    train, held_out = random_split(TensorDataset(x, y), [72, 24])
    batches = DataLoader(train, batch_size=16, shuffle=True)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 3))
    criterion = nn.CrossEntropyLoss()
    for rate in (0.1, 0.01):
        optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        for epoch in range(options.epochs):
            model.train()
            for a, b in batches:
                optimizer.zero_grad()
                criterion(model(a), b).backward()
                optimizer.step()
            schedule.step()
            model.eval()
            with torch.no_grad():
                for a, b in DataLoader(held_out, batch_size=10):
                    criterion(model(a), b)
            torch.save(model.state_dict(), "best.pt")
            model.load_state_dict(torch.load("best.pt"))
    print(hashlib.sha256(b"".join(w.detach().numpy().tobytes() for w in model.parameters())).hexdigest()[:16])

if __name__ == "__main__":
    main()
"""


def test_a_script_is_trained_alike_to_the_bit_and_its_checkpoint_stays(tmp_path: Path) -> None:
    by_itself, wrapped = tmp_path / "alone", tmp_path / "wrapped"
    for folder in (by_itself, wrapped):
        folder.mkdir()
        (folder / "train.py").write_text(SCRIPT)
        (folder / "best.pt").write_text("an older one\n")
    expected = alone(by_itself, "train.py")
    ran, outcome = trial(wrapped, "train.py")
    assert ran.stdout == expected.stdout, ran.stderr
    assert outcome.fingerprint == expected.stdout.strip()
    assert outcome.problems == outcome.refused == ()
    assert (outcome.held_on, outcome.ended, outcome.epochs, outcome.steps) == ("torch.optim", "script", 4, 20)
    assert outcome.metrics.keys() == {"accuracy", "macro_recall"}
    assert "24 samples" in outcome.scored_on
    assert (wrapped / "best.pt").read_text() == "an older one\n"
    frame = next(iter(read(tmp_path / "wrapped-trial" / "logs"))).scalars
    assert frame[frame.tag == "validation/loss"].step.tolist() == [5, 10, 15, 20]
    assert frame[frame.tag == "epoch"].value.tolist() == [1, 2, 3, 4]


def test_an_arm_whose_knob_cannot_be_turned_ends_at_its_first_step(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    change = {"learning_rate_scale": 0.1, "skip_connections": True}
    ran, outcome = trial(folder, "train.py", "--epochs", "4", change=change)
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
    assert (outcome.ended, outcome.steps) == ("not testable", 0)
    assert "code of the model" in outcome.not_testable["skip_connections"]


def test_an_arm_is_capped_over_both_phases_with_its_rates_scaled_and_its_seeds_offset(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    change = {"learning_rate_scale": 0.1}
    ran, outcome = trial(folder, "train.py", "--epochs", "4", change=change, seed=2, epochs=5)
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
    assert (outcome.ended, outcome.epochs, outcome.steps, outcome.seeds) == ("cap", 5, 25, (3,))
    assert outcome.applied == {"learning_rate_scale": "0.01 -> 0.001 at every optimizer"}
    assert outcome.loss is not None
    frame = next(iter(read(tmp_path / "work-trial" / "logs"))).scalars
    rates = frame[frame.role == "learning_rate"]
    by_epoch = rates[rates.step.isin([5, 10, 15, 20, 25])].drop_duplicates("step")
    assert by_epoch.value.round(6).tolist() == [0.01, 0.005, 0.0025, 0.00125, 0.001]

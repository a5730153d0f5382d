"""Unmodified scripts with Lightning's and transformers' Trainer in a child process, many knobs at once."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import pytest

from plateau_doctor.readers import read
from plateau_doctor.trials.order import Outcome

from .running import trial

LIGHTNING = """
import lightning, torch
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

class Net(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3))

    def _loss(self, batch, name):
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log(name, loss)
        return loss

    def training_step(self, batch, _):
        return self._loss(batch, "loss")

    def validation_step(self, batch, _):
        self._loss(batch, "val_loss")

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]

if __name__ == "__main__":
    lightning.seed_everything(3)
    y = torch.randint(0, 3, (96,))
    train, held_out = random_split(TensorDataset(torch.randn(96, 1, 6, 6) + y[:, None, None, None], y), [72, 24])
    trainer = lightning.Trainer(
        max_epochs=4, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False,
        log_every_n_steps=1, logger=CSVLogger("out", "run", version=0),
        callbacks=[LearningRateMonitor(), ModelCheckpoint("out", "best", monitor="val_loss", save_last="link")],
    )
    trainer.fit(Net(), DataLoader(train, 12, shuffle=True), DataLoader(held_out, 10))
"""
TRANSFORMERS = """
import argparse, torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out")
    out = parser.parse_args().out
    set_seed(3)
    rows = [{"input_ids": torch.randint(4, 32, (8,)), "labels": i % 3} for i in range(96)]
    config = BertConfig(vocab_size=32, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=8, max_position_embeddings=8, num_labels=3)
    arguments = TrainingArguments(
        out, num_train_epochs=4, learning_rate=0.1, weight_decay=0.1, per_device_train_batch_size=12,
        eval_strategy="epoch", save_strategy="epoch", save_total_limit=1, use_cpu=True, report_to=[],
        disable_tqdm=True, seed=3)
    trainer = Trainer(BertForSequenceClassification(config), arguments, train_dataset=rows[:72], eval_dataset=rows[72:])
    trainer.train()
    trainer.save_model(out + "/final")

if __name__ == "__main__":
    main()
"""
CHANGE = {
    "learning_rate_scale": 0.1,
    "schedule": "cosine",
    "optimizer": "adam",
    "clip_norm": 1.0,
    "weight_decay": 0.05,
    "label_smoothing": 0.1,
}


def arm_of(tmp_path: Path, script: str, *options: str) -> Outcome:
    """Run a script for 2 of its 4 epochs with many knobs turned, beside what an older run of it left."""
    folder = tmp_path / "work"
    (folder / "out" / "checkpoint-1").mkdir(parents=True)
    (folder / "train.py").write_text(script)
    (folder / "out" / "checkpoint-1" / "weights").write_text("older\n")
    time.sleep(0.1)
    ran, outcome = trial(folder, "train.py", *options, change=CHANGE, seed=2, epochs=2)
    assert ran.returncode == 0, ran.stderr
    assert sorted(str(one.relative_to(folder)) for one in folder.rglob("*")) == [
        "out",
        "out/checkpoint-1",
        "out/checkpoint-1/weights",
        "train.py",
    ]
    assert outcome.problems == outcome.refused == ()
    assert (outcome.ended, outcome.epochs, outcome.steps, outcome.seeds) == ("cap", 2, 12, (3,))
    assert outcome.applied.keys() | outcome.not_testable.keys() == set(CHANGE)
    assert outcome.applied["schedule"] == "down to 0 along a cosine"
    assert outcome.applied["optimizer"].endswith("-> Adam")
    assert "24 samples, by its own loss, in evaluation mode" in outcome.scored_on
    assert outcome.metrics.keys() == {"accuracy", "macro_recall"}
    frame = next(iter(read(tmp_path / "work-trial" / "logs"))).scalars
    rates = frame[frame.role == "learning_rate"].drop_duplicates("step").sort_values("step").value
    assert rates.iloc[0] == pytest.approx(0.01)
    assert rates.iloc[-1] < 1e-6
    return outcome


@pytest.mark.skipif(not importlib.util.find_spec("lightning"), reason="no Lightning here")
def test_a_lightning_script_takes_the_change_and_keeps_its_folder(tmp_path: Path) -> None:
    outcome = arm_of(tmp_path, LIGHTNING)
    assert outcome.held_on == "lightning.Trainer"
    assert outcome.applied["weight_decay"] == "0 -> 0.05"
    saved = {one.name for one in (tmp_path / "work-trial" / "saved").rglob("*")}
    assert saved >= {"best.ckpt", "last.ckpt", "metrics.csv"}


@pytest.mark.skipif(not importlib.util.find_spec("transformers"), reason="no transformers here")
def test_a_transformers_script_takes_the_change_and_keeps_its_older_checkpoints(tmp_path: Path) -> None:
    outcome = arm_of(tmp_path, TRANSFORMERS, "--out", "out")
    assert outcome.held_on == "transformers.Trainer"
    assert outcome.applied["clip_norm"] == "gradients to a norm of at most 1"
    saved = {one.name for one in (tmp_path / "work-trial" / "saved").rglob("checkpoint-*")}
    assert saved == {"checkpoint-6"}, "the cap is before the second one"

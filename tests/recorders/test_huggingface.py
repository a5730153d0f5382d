"""The recorder of transformers' Trainer on tiny models made from nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from plateau_doctor.readers import read

from .test_keras import values_in

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")


class Net(torch.nn.Module):
    """A classifier whose output carries its loss, as those of transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.out = torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3)

    def forward(self, x, labels=None, num_items_in_batch=None):
        logits = self.out(self.act(self.first(x)))
        loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
        return {
            "loss": loss / (len(labels) if num_items_in_batch is None else num_items_in_batch),
            "logits": logits,
        }


def fit(folder: Path, callbacks, **options):
    torch.manual_seed(0)
    net = Net()
    rows = [{"x": torch.randn(4), "labels": torch.tensor(i % 3)} for i in range(32)]
    arguments = transformers.TrainingArguments(
        str(folder), num_train_epochs=2, per_device_train_batch_size=4, gradient_accumulation_steps=2,
        eval_strategy="epoch", save_strategy="no", report_to=[], use_cpu=True, logging_steps=2, disable_tqdm=True,
        learning_rate=0.01, **options,
    )  # fmt: skip
    trainer = transformers.Trainer(net, arguments, train_dataset=rows, eval_dataset=rows, callbacks=callbacks)
    trainer.train()
    return net, trainer


def test_a_training_is_recorded_and_its_weights_are_alike_to_the_bit(tmp_path: Path) -> None:
    from plateau_doctor.recorders.huggingface import Recorder

    recorded, trainer = fit(tmp_path, [Recorder(tmp_path / "run", every=4)], max_grad_norm=0.01)
    bare, _ = fit(tmp_path, [], max_grad_norm=0.01)
    assert all(torch.equal(a, b) for a, b in zip(recorded.parameters(), bare.parameters(), strict=True))
    assert not [h for m in recorded.modules() for h in m._forward_hooks]
    found = values_in(tmp_path / "run")
    assert list(found["train/loss"]) == [4, 8]
    logged = [row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row]
    assert list(found["validation/loss"].values()) == pytest.approx(logged, rel=1e-5)
    first = next(row["loss"] for row in trainer.state.log_history if "loss" in row)
    assert found["train/loss_step"][1] == pytest.approx(first, rel=0.3)  # of a step, not of twice as much
    assert max(found["gradient_norm"].values()) == pytest.approx(0.01, rel=1e-3)
    assert min(found["train/gradient_norm_before_clipping"].values()) > 0.05
    (run,) = read(tmp_path / "run")
    told = [
        run.settings[name] for name in ("gradients", "clip_norm", "batch_size", "samples", "steps_per_epoch")
    ]
    assert told == ["after clipping", 0.01, 8, 32, 4]
    assert {"gradients/00_first/weight", "activations/00_act", "update_ratio/01_out/weight"} <= set(found)

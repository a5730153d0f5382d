"""The torch recorder on tiny trainings."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from plateau_doctor.recorders.events import ZERO_EDGE
from plateau_doctor.recorders.torch import Recorder

from .test_keras import values_in

torch = pytest.importorskip("torch")


def model_of(bias: float | None = None):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Dropout(0.25), torch.nn.Linear(6, 3)
    )
    if bias is not None:
        torch.nn.init.constant_(model[0].bias, bias)
    return model


def train(model, recorder, optimizer, steps: int = 12, **logged: float) -> list[float]:
    torch.manual_seed(1)
    x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if recorder is not None:
            recorder.log(loss_step=loss)
    if recorder is not None:
        recorder.log(**logged)
    return losses


def test_the_update_of_plain_sgd_is_the_rate_times_the_gradient(tmp_path: Path) -> None:
    model = model_of()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer, tmp_path, every=1) as recorder:
        train(model, recorder, optimizer)
    found = values_in(tmp_path)
    for layer in ("00_0/weight", "01_3/weight"):
        for step in range(2, 13):
            ratio = 0.1 * found[f"gradient_norm/{layer}"][step] / found[f"weight_norm/{layer}"][step - 1]
            assert found[f"update_ratio/{layer}"][step] == pytest.approx(ratio, rel=1e-3)


def test_logged_values_go_to_their_side_at_the_present_step(tmp_path: Path) -> None:
    model = model_of()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer, tmp_path) as recorder:
        losses = train(model, recorder, optimizer, epoch=1, loss=0.5, val_loss=0.75)
        recorder.log_classes(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]))
    found = values_in(tmp_path)
    assert found["train/loss"] == {12: 0.5}
    assert found["validation/loss"] == {12: 0.75}
    assert found["epoch"] == {12: 1.0}
    assert found["validation/recall/0"] == {12: 0.5}
    assert list(found["train/loss_step"]) == [1, 11]
    assert found["train/loss_step"][11] == pytest.approx(losses[10], rel=1e-6)
    assert found["learning_rate"][12] == pytest.approx(0.1)


def test_dead_units_show_as_exact_zeros(tmp_path: Path) -> None:
    model = model_of(bias=-100.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer, tmp_path, every=5) as recorder:
        train(model, recorder, optimizer)
    found = values_in(tmp_path)
    for tag in ("gradients/00_0/weight", "activations/00_1"):
        assert list(found[tag]) == [1, 6, 11]
        for buckets in found[tag].values():
            zeros = sum(
                n for limit, n in zip(buckets.bucket_limit, buckets.bucket, strict=True) if limit == ZERO_EDGE
            )
            assert zeros == buckets.num > 0


def test_activations_of_functions_are_seen_at_the_next_layer(tmp_path: Path) -> None:
    class Own(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Linear(4, 6), torch.nn.Linear(6, 3)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))

    model = Own()
    optimizer = torch.optim.Adam(model.parameters())
    with Recorder(model, optimizer, tmp_path) as recorder:
        train(model, recorder, optimizer)
    found = values_in(tmp_path)["activations/00_first"]
    assert found[1].num == 8 * 6
    assert found[1].min == 0


def test_recording_changes_nothing_in_the_training(tmp_path: Path) -> None:
    recorded, bare = model_of(), model_of()
    optimizer = torch.optim.Adam(recorded.parameters())
    with Recorder(recorded, optimizer, tmp_path, every=2) as recorder:
        losses = train(recorded, recorder, optimizer)
    assert losses == train(bare, None, torch.optim.Adam(bare.parameters()))
    assert not recorded[1]._forward_hooks


def test_an_unwritable_folder_warns_once_and_lets_the_training_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    model = model_of()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with (
        caplog.at_level(logging.WARNING, logger="plateau_doctor"),
        Recorder(model, optimizer, tmp_path / "file") as recorder,
    ):
        losses = train(model, recorder, optimizer)
    assert np.isfinite(losses).all()
    assert caplog.text.count("recording ends here") == 1


def test_a_value_that_is_no_number_ends_the_recording_and_not_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = model_of()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = Recorder(model, optimizer, tmp_path)
    with caplog.at_level(logging.WARNING, logger="plateau_doctor"):
        recorder.log(loss="low")
        recorder.log(loss=1.0)
    recorder.close()
    recorder.close()
    assert caplog.text.count("recording ends here") == 1

"""The torch recorder in mixed and half precision, and on layers too large to be copied."""

from __future__ import annotations

from pathlib import Path

import pytest

from plateau_doctor.recorders.events import ZERO_EDGE
from plateau_doctor.recorders.torch import Recorder

from .test_keras import values_in
from .test_torch import model_of

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("steps_together", [1, 3])
def test_mixed_precision_on_the_cpu_is_recorded_and_left_alike_to_the_bit(
    tmp_path: Path, steps_together: int
) -> None:
    """Autocast to bfloat16, a gradient scaler, and batches that are added up."""

    def trained(logdir: Path | None) -> list[torch.Tensor]:
        model = model_of()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
        recorder = Recorder(model, optimizer, logdir, every=2) if logdir else None
        torch.manual_seed(1)
        for batch in range(6 * steps_together):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = torch.nn.functional.cross_entropy(model(torch.randn(8, 4)), torch.randint(0, 3, (8,)))
            scaler.scale(loss / steps_together).backward()
            if (batch + 1) % steps_together == 0:
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
        if recorder:
            recorder.close()
        return [p.detach().clone() for p in model.parameters()]

    recorded, bare = trained(tmp_path), trained(None)
    assert all(torch.equal(one, other) for one, other in zip(recorded, bare, strict=True))
    found = values_in(tmp_path)
    assert list(found["gradient_norm/00_0/weight"]) == [1, 2, 3, 5]
    assert 0 < max(found["gradient_norm"].values()) < 5  # without the factor of 64
    assert found["activations/00_1"][1].num == 8 * 6


def test_weights_in_half_precision_are_recorded(tmp_path: Path) -> None:
    model = model_of().bfloat16()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer, tmp_path, every=1):
        for _ in range(3):
            model(torch.ones(8, 4, dtype=torch.bfloat16)).float().square().mean().backward()
            whole = torch.stack([p.grad.float().norm() for p in model.parameters()]).norm()
            optimizer.step()
            optimizer.zero_grad()
    found = values_in(tmp_path)
    assert found["gradient_norm"][3] == pytest.approx(float(whole), rel=1e-5)
    assert found["weight_norm/00_0/weight"][3] == pytest.approx(
        float(model[0].weight.detach().float().norm()), rel=1e-5
    )


def test_a_large_layer_is_recorded_by_a_sample_and_its_norms_by_the_whole(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(300, 400), torch.nn.ReLU(), torch.nn.Linear(400, 10))
    with torch.no_grad():
        model[0].bias[:200] = -100.0  # half of the units are dead
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer, tmp_path, every=1):
        before = model[0].weight.detach().clone()
        torch.nn.functional.cross_entropy(model(torch.randn(64, 300)), torch.randint(0, 10, (64,))).backward()
        norm = float(model[0].weight.grad.norm())
        optimizer.step()
    found = values_in(tmp_path)
    assert found["gradient_norm/00_0/weight"][1] == pytest.approx(norm, rel=1e-5)
    moved = float((model[0].weight.detach() - before).norm() / before.norm())
    assert found["update_ratio/00_0/weight"][1] == pytest.approx(moved, rel=0.1)
    weights, slopes = found["weights/00_0/weight"][1], found["gradients/00_0/weight"][1]
    assert weights.num == pytest.approx(300 * 400)
    assert weights.sum_squares == pytest.approx(float(model[0].weight.square().sum()), rel=0.1)
    zeros = dict(zip(slopes.bucket_limit, slopes.bucket, strict=True))[ZERO_EDGE]
    assert zeros / slopes.num == pytest.approx(0.5, abs=0.05)
    assert found["dead_units/00_1"][1] == pytest.approx(0.5)

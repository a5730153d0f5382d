"""The torch recorder on tiny trainings."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

import numpy as np
import pytest

from plateau_doctor.facts import Facts
from plateau_doctor.readers import read
from plateau_doctor.recorders.events import ZERO_EDGE
from plateau_doctor.recorders.torch import Recorder
from plateau_doctor.run import Problem

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
        assert list(found[tag]) == [1, 2, 3, 5, 6, 11]  # dense at the start, then every fifth
        for buckets in found[tag].values():
            zeros = sum(
                n for limit, n in zip(buckets.bucket_limit, buckets.bucket, strict=True) if limit == ZERO_EDGE
            )
            assert zeros == buckets.num > 0
    assert set(found["dead_units/00_1"].values()) == {1.0}


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


def updates(optimizer_of, logdir: Path | None, steps: int = 9, wrap=lambda model: model):
    """Train with a closure, and return the weights; with a recorder where there is a folder."""
    torch.manual_seed(0)
    inner = model_of()
    model, optimizer = wrap(inner), optimizer_of(inner.parameters())
    recorder = Recorder(model, optimizer, logdir, every=2) if logdir else None
    x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    if recorder:
        recorder.close()
    return [p.detach().clone() for p in inner.parameters()]


OPTIMIZERS = {
    "sgd": lambda given: torch.optim.SGD(given, lr=0.1, momentum=0.9),
    "adam": lambda given: torch.optim.Adam(given, lr=0.01),
    "lbfgs": lambda given: torch.optim.LBFGS(given, lr=0.1, max_iter=3),
    "fused": lambda given: torch.optim.SGD(given, lr=0.1, fused=True),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_weights_are_alike_to_the_bit_and_gradients_are_those_of_the_closure(
    tmp_path: Path, kind: str
) -> None:
    recorded, bare = updates(OPTIMIZERS[kind], tmp_path), updates(OPTIMIZERS[kind], None)
    assert all(torch.equal(one, other) for one, other in zip(recorded, bare, strict=True))
    norms = values_in(tmp_path)["gradient_norm"]
    assert min(norms.values()) > 0
    assert 1 in norms  # before the closure ran for the first time there were no gradients


def test_a_compiled_model_is_left_whole(tmp_path: Path) -> None:
    seen = []

    def whole(graph, _):
        seen.append(graph)
        return graph.forward

    def compiled(model):
        torch._dynamo.reset()
        return torch.compile(model, backend=whole)

    recorded = updates(OPTIMIZERS["sgd"], tmp_path, wrap=compiled)
    graphs = len(seen)
    bare = updates(OPTIMIZERS["sgd"], None, wrap=compiled)
    assert all(torch.equal(one, other) for one, other in zip(recorded, bare, strict=True))
    assert graphs == len(seen) - graphs == 1
    assert "gradient_norm/00_0/weight" in values_in(tmp_path)


def test_recording_leaves_no_trace_when_it_is_closed(tmp_path: Path) -> None:
    model = model_of()
    optimizer = torch.optim.Adam(model.parameters())
    recorder = Recorder(model, optimizer, tmp_path, every=2)
    assert model[1]._forward_hooks
    recorder.close()
    hooks = [h for m in model.modules() for h in (*m._forward_hooks, *m._forward_pre_hooks)]
    assert not [*hooks, *optimizer._optimizer_step_pre_hooks, *optimizer._optimizer_step_post_hooks]


def test_a_copy_of_the_model_is_pickled_without_the_recorder(tmp_path: Path) -> None:
    model = model_of()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.ones(3, 4)
    with Recorder(model, optimizer, tmp_path / "run") as recorder:
        train(model, recorder, optimizer, steps=1)
        average = copy.deepcopy(model)
        torch.save(model, tmp_path / "whole.pt")
        loaded = torch.load(tmp_path / "whole.pt", weights_only=False)
        before = set(values_in(tmp_path / "run"))
        expected = torch.nn.functional.relu(x @ model[0].weight.T + model[0].bias)
        for one in (average, loaded):
            assert torch.equal(one[1](one[0](x)), expected)
            assert "plateau_doctor" not in str(
                [type(h) for m in one.modules() for h in m._forward_hooks.values()]
            )
    assert set(values_in(tmp_path / "run")) == before


def test_gradients_are_without_the_factor_of_a_gradient_scaler(tmp_path: Path) -> None:
    norms = {}
    for name, fused, scale in (("plain", False, 0), ("scaled", False, 1024.0), ("fused", True, 1024.0)):
        model = model_of()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=bool(scale))
        with Recorder(model, optimizer, tmp_path / name):
            torch.manual_seed(1)
            loss = torch.nn.functional.cross_entropy(model(torch.ones(8, 4)), torch.zeros(8).long())
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        found = values_in(tmp_path / name)
        norms[name] = [found["gradient_norm"][1], found["gradient_norm/00_0/weight"][1]]
    assert norms["scaled"] == pytest.approx(norms["plain"], rel=1e-5)
    assert norms["fused"] == pytest.approx(norms["plain"], rel=1e-5)


def test_an_accumulated_gradient_is_recorded_whole_and_counted_once(tmp_path: Path) -> None:
    model = model_of()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer, tmp_path, every=1):
        for _ in range(3):
            optimizer.zero_grad()
            for _ in range(4):
                model(torch.randn(2, 4)).square().mean().backward()
            whole = float(torch.stack([p.grad.norm() for p in model.parameters()]).norm())
            optimizer.step()
    norms = values_in(tmp_path)["gradient_norm"]
    assert norms[3] == pytest.approx(whole, rel=1e-5)
    assert list(values_in(tmp_path)["weight_norm/00_0/weight"]) == [1, 2, 3]


def test_of_several_optimizers_the_first_is_counted_and_each_layer_is_recorded_by_its_own(
    tmp_path: Path,
) -> None:
    model = model_of()
    first = torch.optim.SGD(model[0].parameters(), lr=0.1)
    second = torch.optim.Adam(
        [{"params": [model[3].weight]}, {"params": [model[3].bias], "lr": 0.5}], lr=0.01
    )
    with Recorder(model, [first, second], tmp_path, every=4) as recorder:
        for _ in range(9):
            for one in (first, second):
                one.zero_grad()
                torch.nn.functional.cross_entropy(model(torch.ones(8, 4)), torch.zeros(8).long()).backward()
                one.step()
        recorder.log(epoch=1, loss=1.0)
    found = values_in(tmp_path)
    assert list(found["gradient_norm/00_0/weight"]) == [1, 2, 3, 5, 9]
    assert list(found["gradient_norm/01_3/weight"]) == [1, 2, 3, 5, 9]
    rates = [found[tag][9] for tag in ("learning_rate", "rates/group_1", "rates/group_2")]
    assert rates == pytest.approx([0.1, 0.01, 0.5])
    (run,) = [one for one in read(tmp_path) if not isinstance(one, Problem)]
    assert Facts(run)["rate.last"] == pytest.approx(0.1)


def test_a_resumed_training_goes_on_at_the_steps_its_optimizer_counts(tmp_path: Path) -> None:
    model, state = model_of(), None
    for _ in range(2):  # the second time as from a checkpoint
        optimizer = torch.optim.Adam(model.parameters())
        if state is not None:
            optimizer.load_state_dict(state)
        with Recorder(model, optimizer, tmp_path, every=4) as recorder:
            train(model, recorder, optimizer, loss=1.0)
        state = optimizer.state_dict()
    found = values_in(tmp_path)
    assert list(found["train/loss"]) == [12, 24]
    assert list(found["weight_norm/00_0/weight"]) == [1, 2, 3, 5, 9, 13, 17, 21]
    assert len(list(tmp_path.iterdir())) == 2


def test_the_first_batch_tells_its_size_and_the_scale_of_the_inputs(tmp_path: Path) -> None:
    model = model_of()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer, tmp_path, samples=800) as recorder:
        for _ in range(2):
            model(torch.full((8, 4), 200.0))
        recorder.log(epoch=1, loss=1.0)
    (run,) = [one for one in read(tmp_path) if not isinstance(one, Problem)]
    told = {name: run.settings[name] for name in ("batch_size", "input_rms", "samples", "optimizer")}
    assert told == {"batch_size": 8, "input_rms": 200, "samples": 800, "optimizer": "sgd"}


def test_of_several_processes_the_first_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    for rank in (1, 0):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        with Recorder(model, optimizer, tmp_path / str(rank)) as recorder:
            train(model, recorder, optimizer, loss=1.0)
    assert [one.name for one in tmp_path.iterdir()] == ["0"]


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

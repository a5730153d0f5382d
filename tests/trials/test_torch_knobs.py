"""Every knob on a small torch model, in this process: what is said to be applied is measured on the model."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plateau_doctor.trials.arm import Arm
from plateau_doctor.trials.order import Order
from plateau_doctor.trials.torch import CAN, wrap
from plateau_doctor.trials.torch_losses import LOSSES

torch = pytest.importorskip("torch")
nn = torch.nn


@contextlib.contextmanager
def wrapped(arm: Arm) -> Iterator[None]:
    """Wrap torch for an arm, and give it back as it was."""
    homes = [(torch.nn.functional, name) for name in LOSSES]
    homes += [(torch.utils.data.DataLoader, "__iter__"), (torch.optim.Optimizer, "add_param_group")]
    homes += [(torch.distributed, "init_process_group"), (nn.Module, "load_state_dict")]
    kept = [(home, name, getattr(home, name)) for home, name in homes]
    wrap(arm, torch)
    try:
        yield
    finally:
        for home, name, value in kept:
            setattr(home, name, value)
        hooks = sys.modules["torch.optim.optimizer"]
        hooks._global_optimizer_pre_hooks.clear()
        hooks._global_optimizer_post_hooks.clear()


class Trained:
    """A model that was trained by an arm."""

    def __init__(self, folder: Path, epochs: int = 3, rate: float = 0.01, **options) -> None:
        order = {name: options.pop(name) for name in ("steps", "seed") if name in options}
        self.shuffled = "shuffle" not in options
        self.arm = Arm(Order(str(folder), options, epochs=epochs, **order))
        with wrapped(self.arm):
            self.ended = self._train(rate, options)
        self.outcome = self.arm.outcome

    def _train(self, rate: float, options: dict[str, object]) -> bool:
        """Train until the arm ends the script; return whether it did."""
        torch.manual_seed(0)
        self.model = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Dropout(0.4), nn.Linear(144, 3)
        )
        self.before = [one.detach().clone() for one in self.model.parameters()]
        for one in self.model[0].parameters():
            one.requires_grad_("train_all_layers" not in options)
        trained = [one for one in self.model.parameters() if one.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=rate, weight_decay=0.01)
        self.rates: list[float] = []
        self.orders: list[list[float]] = []
        try:
            self._loop()
        except SystemExit:
            return True
        return False

    def _loop(self) -> None:
        y = torch.arange(48) % 3
        x = 5 + torch.randn(48, 1, 6, 6) + y[:, None, None, None]
        data = torch.utils.data.TensorDataset(x, y, torch.arange(48.0))
        batches = torch.utils.data.DataLoader(data, batch_size=8, shuffle=self.shuffled)
        self.held_out = x[::2], y[::2]
        held_out = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*self.held_out), batch_size=10)
        criterion = nn.CrossEntropyLoss()
        self.optimizer.register_step_post_hook(
            lambda *_: self.rates.append(self.optimizer.param_groups[0]["lr"])
        )
        self.losses: list[float] = []
        for _ in range(9):
            self.model.train()
            seen: list[float] = []
            self.orders.append(seen)
            for a, b, place in batches:
                seen += place.tolist()
                self.optimizer.zero_grad()
                loss = criterion(self.model(a), b)
                self.losses.append(float(loss.detach()))
                loss.backward()
                self.optimizer.step()
            self.model.eval()
            with torch.no_grad():
                for a, b in held_out:
                    criterion(self.model(a), b)


CHANGES = {
    "learning_rate": (0.5, lambda t: t.outcome.applied["learning_rate"].startswith("0.01 -> 0.5")),
    "learning_rate_scale": (0.1, lambda t: t.outcome.applied["learning_rate_scale"].startswith("0.01 -> 0.001")),
    "schedule": ("cosine", lambda t: "cosine" in t.outcome.applied["schedule"]),
    "optimizer": ("adam", lambda t: type(t.optimizer._twin) is torch.optim.Adam),
    "clip_norm": (
        0.5,
        lambda t: torch.stack([p.grad.norm() for p in t.model.parameters() if p.grad is not None]).norm() < 0.51,
    ),
    "batch_size_scale": (2.0, lambda t: t.outcome.steps == 9),
    "weight_decay": (0.2, lambda t: t.optimizer.param_groups[0]["weight_decay"] == 0.2),
    "weight_decay_scale": (0.5, lambda t: t.optimizer.param_groups[0]["weight_decay"] == 0.005),
    "dropout": (0.3, lambda t: t.model[3].p == 0.3),
    "dropout_scale": (0.5, lambda t: t.model[3].p == 0.2),
    "batch_normalization": (True, lambda t: t.model[0].batch_normalization.running_mean.abs().sum() > 0),
    "activation": ("elu", lambda t: isinstance(t.model[1], nn.ELU)),
    "width_scale": (2.0, lambda t: [tuple(p.shape) for p in t.model.parameters()] == WIDE),
    "initializer": ("he_normal", lambda t: "2 layers" in t.outcome.applied["initializer"]),
    "class_weights": ("balanced", lambda t: "3 classes" in t.outcome.applied["class_weights"]),
    "label_smoothing": (0.2, lambda t: min(t.losses) > 0.4),
    "normalize_inputs": (True, lambda t: "18 training batches" in t.outcome.applied["normalize_inputs"]),
    "shuffle": (True, lambda t: t.orders[0] != sorted(t.orders[0]) and t.orders[0] != t.orders[1]),
    "augmentation": (["flip", "rotate", "shift", "shear", "zoom"], lambda t: "zoom" in str(t.outcome.applied)),
    "train_all_layers": (True, lambda t: not torch.equal(t.model[0].weight, t.before[0])),
    "early_stopping_patience": (1, lambda t: t.outcome.epochs < 9),
}  # fmt: skip
WIDE = [(8, 1, 3, 3), (8,), (3, 288), (3,)]  # a convolution of 4 channels, twice as many
NEITHER = "the model has no dropout to scale; the optimizer has no weight decay to scale"
TOGETHER = (
    "learning_rate clip_norm weight_decay dropout initializer label_smoothing train_all_layers shuffle",
    "learning_rate_scale optimizer batch_size_scale dropout_scale activation class_weights width_scale",
    "schedule weight_decay_scale batch_normalization augmentation normalize_inputs",
    "early_stopping_patience",
)


@pytest.mark.parametrize("knobs", TOGETHER)
def test_knobs_that_are_said_to_be_turned_are_turned(knobs: str, tmp_path: Path) -> None:
    chosen = {knob: CHANGES[knob][0] for knob in knobs.split()}
    options = {"epochs": 9, "rate": 0.0} if "early_stopping_patience" in chosen else {}
    trained = Trained(tmp_path, **chosen, **options)
    assert trained.ended
    assert trained.outcome.problems == ()
    assert trained.outcome.not_testable == {}
    assert trained.outcome.loss is not None
    assert trained.outcome.metrics.keys() == {"accuracy", "macro_recall"}
    for knob in chosen:
        assert trained.outcome.applied[knob]
        assert CHANGES[knob][1](trained), trained.outcome.applied[knob]


def test_every_knob_that_can_be_turned_is_tested_here() -> None:
    assert set(CHANGES) == set(CAN)
    assert sorted(" ".join(TOGETHER).split()) == sorted(CHANGES)


def test_a_score_is_that_of_the_original_loss(tmp_path: Path) -> None:
    plain = Trained(tmp_path, rate=0.0)
    smoothed = Trained(tmp_path, rate=0.0, label_smoothing=0.4)
    assert smoothed.outcome.loss == pytest.approx(plain.outcome.loss)
    assert smoothed.losses[0] != plain.losses[0]


def test_a_score_normalizes_the_inputs_once(tmp_path: Path) -> None:
    trained = Trained(tmp_path, normalize_inputs=True)
    x, y = trained.held_out
    trained.model.eval()
    with torch.no_grad():  # the model still normalizes what it is called with
        assert trained.outcome.loss == pytest.approx(float(nn.functional.cross_entropy(trained.model(x), y)))


def test_the_cap_of_steps_holds_within_an_epoch_and_rates_are_given_back(tmp_path: Path) -> None:
    trained = Trained(tmp_path, steps=8, learning_rate_scale=0.1)
    assert (trained.outcome.steps, trained.outcome.ended) == (8, "cap")
    assert trained.outcome.loss is not None
    assert trained.optimizer.param_groups[0]["lr"] == 0.01


def test_hidden_layers_of_a_sequential_are_widened_and_what_its_code_sizes_is_left() -> None:
    from plateau_doctor.trials.torch_width import widen

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(
                nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)),
                nn.Conv2d(3, 5, 3, padding=1), nn.Flatten(), nn.Linear(45, 7),
            )  # fmt: skip
            self.head = nn.Linear(7, 2)

        def forward(self, x):
            return self.head(self.features(x))

    model = Own()
    kept = list(model.parameters())
    assert widen(torch, model, 2.0) == 2
    assert all(one is other for one, other in zip(model.parameters(), kept, strict=True)), "the optimizer's"
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters() if name.endswith("weight")}
    assert list(shapes.values()) == [(6, 1, 3, 3), (6,), (10, 6, 3, 3), (7, 90), (2, 7)]
    assert (model.features[1].in_channels, model.features[1].out_channels) == (6, 10)
    nn.functional.cross_entropy(model(torch.randn(4, 1, 6, 6)), torch.zeros(4, dtype=torch.long)).backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in model.parameters())
    assert all(
        float(p.detach().std()) > 0 for name, p in model.named_parameters() if shapes.get(name, "1")[1:]
    )

    frozen = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    frozen[0].requires_grad_(False)
    for left in (
        frozen,
        nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, groups=4)),
        nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 2)),
        nn.Sequential(nn.Conv1d(4, 4, 3, padding=1), nn.ReLU(), nn.Linear(4, 2)),  # over the length
        nn.Sequential(*[nn.Linear(2, 2)] * 3),
        nn.GRU(2, 3),
    ):
        assert widen(torch, left, 2.0) == 0


def test_a_wider_layer_keeps_the_initialization_of_the_script_and_leaves_its_random_numbers_alone() -> None:
    from plateau_doctor.trials.torch_width import widen

    model = nn.Sequential(nn.Linear(50, 60), nn.ReLU(), nn.Linear(60, 40))
    nn.init.normal_(model[0].weight, 0.1, 0.02)
    nn.init.constant_(model[0].bias, -1.5)
    kept = model[2].bias.detach().clone()
    deviation = float(model[2].weight.detach().std())
    torch.manual_seed(3)
    assert widen(torch, model, 2.0) == 1
    after = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(3))
    assert float(model[0].weight.detach().mean()) == pytest.approx(0.1, abs=0.002)
    assert float(model[0].weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    assert torch.equal(model[0].bias, torch.full((120,), -1.5))
    assert float(model[2].weight.detach().std()) == pytest.approx(deviation / 2**0.5, rel=0.1), (
        "it gives out no more"
    )
    assert torch.equal(model[2].bias, kept)


def test_a_model_with_weights_of_a_file_is_not_widened(tmp_path: Path) -> None:
    arm = Arm(Order(str(tmp_path), {"width_scale": 2.0}, epochs=1))
    with wrapped(arm), contextlib.suppress(SystemExit):
        model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
        model.load_state_dict(model.state_dict())
        torch.optim.SGD(model.parameters(), lr=0.1)
    assert "were loaded" in arm.outcome.not_testable["width_scale"]
    assert model[0].weight.shape == (3, 2)


def test_a_model_whose_code_sets_its_sizes_is_not_widened(tmp_path: Path) -> None:
    arm = Arm(Order(str(tmp_path), {"width_scale": 2.0}, epochs=1))
    with wrapped(arm), contextlib.suppress(SystemExit):
        model = nn.GRU(2, 3)
        torch.optim.SGD(model.parameters(), lr=0.1)
    assert "torch.nn.Sequential" in arm.outcome.not_testable["width_scale"]


def test_of_groups_with_and_without_decay_those_with_it_are_scaled(tmp_path: Path) -> None:
    arm = Arm(Order(str(tmp_path), {"weight_decay_scale": 0.5}, epochs=1))
    with wrapped(arm):
        model = nn.Linear(2, 1)
        groups = [
            {"params": [model.weight], "weight_decay": 0.1},
            {"params": [model.bias], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.SGD(groups, lr=0.1)
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    assert arm.outcome.not_testable == {}
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.05, 0.0]


@pytest.mark.parametrize(("decay", "dropout"), [(0.1, 0.5), (0.1, 0.0), (0.0, 0.5), (0.0, 0.0)])
def test_of_dropout_and_decay_turned_together_one_is_enough(
    decay: float, dropout: float, tmp_path: Path
) -> None:
    arm = Arm(Order(str(tmp_path), {"dropout_scale": 0.5, "weight_decay_scale": 0.5}, epochs=1))
    ended = False
    with wrapped(arm):
        model = nn.Sequential(nn.Dropout(dropout), nn.Linear(2, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=decay)
        model(torch.ones(1, 2)).sum().backward()
        try:
            optimizer.step()
        except SystemExit:
            ended = True
    there = {
        name for name, is_there in (("weight_decay_scale", decay), ("dropout_scale", dropout)) if is_there
    }
    arm.close()
    assert arm.outcome.applied.keys() == there
    assert ended == (not there)
    assert "; ".join(arm.outcome.not_testable.values()) == ("" if there else NEITHER)


@pytest.mark.parametrize("first", [0.5, 0.0])
def test_of_two_modules_of_one_optimizer_the_dropout_of_either_is_scaled(
    first: float, tmp_path: Path
) -> None:
    arm = Arm(Order(str(tmp_path), {"dropout_scale": 0.5}, epochs=1))
    with wrapped(arm):
        body = nn.Sequential(nn.Dropout(first), nn.Linear(2, 2))
        head = nn.Sequential(nn.Dropout(0.5 - first), nn.Linear(2, 1))
        optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], lr=0.1)
        head(body(torch.ones(1, 2))).sum().backward()
        optimizer.step()
    assert arm.outcome.not_testable == {}
    assert sorted([body[0].p, head[0].p]) == [0.0, 0.25]


def test_of_two_optimizers_the_dropout_of_the_second_ones_module_is_scaled(tmp_path: Path) -> None:
    arm = Arm(Order(str(tmp_path), {"dropout_scale": 0.5}, epochs=1))
    with wrapped(arm):
        body, head = nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 1))
        both = [torch.optim.SGD(part.parameters(), lr=0.1) for part in (body, head)]
        head(body(torch.ones(1, 2))).sum().backward()
        for optimizer in both:
            optimizer.step()
    assert arm.outcome.not_testable == {}
    assert head[0].p == 0.25

"""Fixes: every one has advice and code that does what it says, and a mistake in a file is answered by a letter."""

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plateau_doctor.fix import Change, Fix, load
from plateau_doctor.letters import RuleError
from plateau_doctor.places import rules_folder

FIXES = load([rules_folder() / "fixes"])
PROMISED = (
    "lower_lr raise_lr warm_up step_decay cosine_decay one_cycle reduce_on_plateau use_adam clip_gradients "
    "larger_batch use_relu_he use_leaky_relu add_batch_norm add_skip_connections reinitialize more_capacity "
    "transfer_learning augment_data class_weights label_smoothing clean_labels normalize_inputs shuffle_data "
    "more_data add_dropout less_dropout add_weight_decay less_weight_decay stop_early match_output_loss unfreeze "
    "same_preprocessing less_regularization"
).split()
ADVICE_ONLY = {"clean_labels", "more_data", "match_output_loss", "same_preprocessing"}
EACH = pytest.mark.parametrize("fix", FIXES.values(), ids=list(FIXES))
SENTENCE = re.compile(r"[.?!](?=\s|$)")
REFERENCE = re.compile(r"[A-Z].*? (19|20)\d\d, (arXiv:\d{4}\.\d{4,5}|doi:10\.\d+/\S+|[A-Z].+)")
Train = Callable[..., dict[str, Any]]

pytestmark = [
    pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler"),  # one step, with no loop around it
    pytest.mark.filterwarnings("ignore:.*received `from_logits=True`"),  # the net here ends in a softmax
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed"),
    pytest.mark.filterwarnings("ignore:Even though the `tf.config"),  # eager, said aloud
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def test_every_promised_fix_is_there_and_no_other() -> None:
    assert sorted(FIXES) == sorted(PROMISED)


@EACH
def test_a_fix_says_what_to_do_and_why_and_where_it_is_from(fix: Fix) -> None:
    assert len(fix.title) <= 60
    assert not fix.title.endswith(".")
    assert 2 <= len(SENTENCE.findall(fix.advice)) <= 4
    assert 1 <= len(SENTENCE.findall(fix.why)) <= 3
    assert re.search(r"\d", fix.advice), "advice has a number"
    assert re.search(r"\b[Nn]ot\b", fix.advice), "advice says when not to do it"
    assert fix.references
    assert all(REFERENCE.fullmatch(one) for one in fix.references)


@EACH
def test_a_fix_has_short_code_for_both_frameworks(fix: Fix) -> None:
    assert set(fix.snippets) == {"keras", "torch"}
    for framework, code in fix.snippets.items():
        compile(code, f"{fix.id}.{framework}", "exec")
        assert len(code.strip().splitlines()) <= 15
        assert max(map(len, code.splitlines())) <= 112


@EACH
def test_only_what_a_person_must_do_has_no_change(fix: Fix) -> None:
    assert (fix.change is None) == (fix.id in ADVICE_ONLY)
    if fix.change is not None:
        assert any(value is not None for value in dataclasses.asdict(fix.change).values())


def test_every_knob_is_turned_by_a_fix() -> None:
    turned = {name for f in FIXES.values() if f.change for name, v in vars(f.change).items() if v is not None}
    assert turned == {field.name for field in dataclasses.fields(Change)}


@pytest.fixture
def keras_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Run a fix's Keras code beside a tiny compiled and trained net; what it leaves is returned."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    monkeypatch.chdir(tmp_path)
    tf = pytest.importorskip("tensorflow")
    keras = pytest.importorskip("keras")
    import numpy as np

    def run(name: str, **given: Any) -> dict[str, Any]:
        keras.utils.set_random_seed(0)
        tf.config.run_functions_eagerly(name == "transfer_learning")  # to trace the backbone takes longer
        shape = (40, 32, 32, 3) if name == "transfer_learning" else (40, 8, 8, 1)
        x, y = np.random.default_rng(0).random(shape).astype("float32"), np.arange(40) % 10
        layers = keras.layers
        dense = layers.Dense(10, activation="softmax", kernel_regularizer=keras.regularizers.L2(0.01))
        model = keras.Sequential([keras.Input(shape[1:]), layers.Flatten(), layers.Dropout(0.4), dense])
        optimizer = keras.optimizers.SGD(0.1, weight_decay=0.01)
        model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        optimizer.build(model.trainable_variables)  # as in a session that went wrong
        data = {"x_train": x, "y_train": y, "x_val": x, "y_val": y}
        space = {"keras": keras, "np": np, "tf": tf, "model": model, **data, **given}
        try:
            exec(shorter(FIXES[name].snippets["keras"]), space)
        finally:
            tf.config.run_functions_eagerly(False)
        return space

    return run


@pytest.fixture
def torch_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Run a fix's torch code beside a tiny net after one step; what it leaves is returned."""
    monkeypatch.chdir(tmp_path)
    torch = pytest.importorskip("torch")
    nn = torch.nn

    def run(name: str, **given: Any) -> dict[str, Any]:
        torch.manual_seed(0)
        x, y = torch.rand(40, 1, 8, 8), torch.arange(40) % 10
        layers = [nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 10)]
        model = given.get("model", nn.Sequential(*layers))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
        optimizer.step()  # a schedule steps after its optimizer
        data = torch.utils.data.TensorDataset(x, y)
        blocks = [
            nn.Sequential(nn.Conv2d(i, j, 3, padding=1), nn.ReLU())
            for i, j in ((1, 2), (2, 4), (4, 8), (8, 8))
        ]
        space = {
            "torch": torch,
            "nn": nn,
            "model": model,
            "optimizer": optimizer,
            "loss_function": nn.CrossEntropyLoss(),
            "loss": sum(p.square().sum() for p in model.parameters()),
            "train_loader": torch.utils.data.DataLoader(data, batch_size=8),
            "x_train": x,
            "y_train": y,
            "x_val": x,
            "val_loss": 1.0,
            "backbone": nn.Sequential(*blocks),
            "train_and_validate": lambda _: 1.0,
            **given,
        }
        exec(shorter(FIXES[name].snippets["torch"]), space)
        return space

    return run


def shorter(code: str) -> str:
    """The code as it stands but for one epoch and no download: whether it runs, not how well it trains."""
    return re.sub(r"epochs=(\d+|round\(.*?\))", "epochs=1", code).replace(
        'weights="imagenet"', "weights=None"
    )


@pytest.mark.parametrize("name", [name for name in FIXES if name != "transfer_learning"])  # slow: once, below
def test_the_keras_code_runs(name: str, keras_run: Train) -> None:
    keras_run(name)


@EACH
def test_the_torch_code_runs(fix: Fix, torch_run: Train) -> None:
    torch_run(fix.id)


@pytest.mark.parametrize(("name", "rate"), [("lower_lr", 0.01), ("raise_lr", 0.5)])
def test_the_rate_is_scaled_from_the_users_own(
    name: str, rate: float, keras_run: Train, torch_run: Train
) -> None:
    assert torch_run(name)["optimizer"].param_groups[0]["lr"] == pytest.approx(rate)
    assert float(keras_run(name)["optimizer"].learning_rate) == pytest.approx(rate)


def test_the_rate_is_cut_at_a_half_and_at_three_quarters(keras_run: Train, torch_run: Train) -> None:
    decay = keras_run("step_decay")["step_decay"]
    assert [epoch for epoch in range(30) if decay(epoch, 1.0) < 1.0] == [15, 22]
    assert sorted(torch_run("step_decay")["scheduler"].milestones) == [15, 22]


def test_a_warm_up_reaches_the_full_rate_after_500_steps(keras_run: Train, torch_run: Train) -> None:
    schedule = keras_run("warm_up")["schedule"]
    assert float(schedule(0)) == pytest.approx(1e-5)
    assert float(schedule(500)) == pytest.approx(1e-3)
    scheduler = torch_run("warm_up")["scheduler"]
    rates = [scheduler.get_last_lr()[0]] + [
        (scheduler.step(), scheduler.get_last_lr()[0])[1] for _ in range(600)
    ]
    assert rates[0] < 0.002
    assert rates[-1] == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["cosine_decay", "one_cycle"])
def test_a_keras_schedule_ends_near_zero_with_the_last_step(name: str, keras_run: Train) -> None:
    found = keras_run(name)
    assert found["steps"] in (2, 60)  # 40 samples are two batches of 32, for one epoch here
    assert float(found["schedule"](found["steps"])) == pytest.approx(0, abs=1e-9)


def test_an_output_sigmoid_survives_the_change_to_relu(torch_run: Train) -> None:
    nn = pytest.importorskip("torch").nn
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Sequential(nn.Linear(4, 1), nn.Sigmoid()))
    torch_run("use_relu_he", model=model)
    assert [type(m).__name__ for m in model.modules() if not list(m.children())] == [
        "Linear",
        "ReLU",
        "Linear",
        "Sigmoid",
    ]


def test_a_nested_relu_becomes_leaky(torch_run: Train) -> None:
    nn = pytest.importorskip("torch").nn
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 1)))
    torch_run("use_leaky_relu", model=model)
    assert isinstance(model[1][0], nn.LeakyReLU)


def test_layers_without_a_bias_are_drawn_anew_as_well(torch_run: Train) -> None:
    nn = pytest.importorskip("torch").nn
    model = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2))
    old = model[0].weight.detach().clone()
    torch_run("reinitialize", model=model)
    assert not old.equal(model[0].weight)


def test_inputs_are_standardized_per_channel(torch_run: Train) -> None:
    torch = pytest.importorskip("torch")
    images = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8)
    found = torch_run("normalize_inputs", x_train=images, x_val=images)
    assert found["mean"].shape == (1, 3, 1, 1)
    assert found["x_train"].mean(dim=(0, 2, 3)).abs().max() < 1e-4
    assert torch.allclose(found["x_train"].std(dim=(0, 2, 3)), torch.ones(3), atol=1e-4)


def test_augmented_images_keep_their_shape_and_type_and_are_moved(keras_run: Train, torch_run: Train) -> None:
    torch = pytest.importorskip("torch")
    augment = torch_run("augment_data")["augment"]
    for images in (torch.rand(4, 3, 8, 8, dtype=torch.float64), torch.rand(4, 3, 8, 8, device="meta")):
        moved = augment(images)
        assert (moved.shape, moved.dtype, moved.device) == (images.shape, images.dtype, images.device)
    images = torch.rand(4, 3, 8, 8)
    assert not torch.equal(augment(images), images)
    found = keras_run("augment_data")
    x = found["x_train"]
    assert (found["augment"](x, training=True).numpy() != x).any()
    assert (found["augment"](x, training=False).numpy() == x).all()


def test_a_rare_class_weighs_more_and_never_above_twenty(keras_run: Train, torch_run: Train) -> None:
    torch = pytest.importorskip("torch")
    weights = torch_run("class_weights", y_train=torch.tensor([0] * 900 + [1] * 99 + [3]))["weights"]
    assert weights.tolist() == pytest.approx([1000 / 3600, 1000 / 396, 20, 20])
    weights = keras_run("class_weights")["weights"]
    assert weights == pytest.approx(dict.fromkeys(range(10), 1.0))


def test_dropout_and_decay_are_scaled_from_the_users_own(keras_run: Train, torch_run: Train) -> None:
    assert keras_run("less_dropout")["model"].layers[1].rate == pytest.approx(0.2)
    assert torch_run("less_dropout")["model"][3].p == pytest.approx(0.2)
    assert torch_run("less_weight_decay")["optimizer"].param_groups[0]["weight_decay"] == pytest.approx(0.001)
    model = keras_run("less_weight_decay")["model"]
    assert model.optimizer.weight_decay == pytest.approx(0.001)
    assert model.layers[-1].kernel_regularizer.l2 == pytest.approx(0.001)
    both = keras_run("less_regularization")["model"]
    assert both.layers[1].rate == pytest.approx(0.08)
    assert both.optimizer.weight_decay == both.layers[-1].kernel_regularizer.l2 == pytest.approx(0.0001)
    both = torch_run("less_regularization")
    assert both["model"][3].p == pytest.approx(0.08)
    assert both["optimizer"].param_groups[0]["weight_decay"] == pytest.approx(0.0001)


def test_decay_leaves_biases_out(keras_run: Train, torch_run: Train) -> None:
    decayed, plain = torch_run("add_weight_decay")["optimizer"].param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.01, 0.0)
    assert {p.ndim for p in decayed["params"]} == {2}
    assert {p.ndim for p in plain["params"]} == {1}
    found = keras_run("add_weight_decay")
    kernel, bias = found["model"].trainable_weights
    assert found["optimizer"]._use_weight_decay(kernel)
    assert not found["optimizer"]._use_weight_decay(bias)


def test_a_frozen_net_moves_after_it_is_unfrozen(keras_run: Train, torch_run: Train) -> None:
    nn = pytest.importorskip("torch").nn
    frozen = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    frozen[1].weight.requires_grad_(False)
    assert torch_run("unfreeze", model=frozen)["moved"] == [True, True]
    keras = pytest.importorskip("keras")
    inner = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    net = keras.Sequential([keras.Sequential([inner]), keras.layers.Activation("softmax")])
    net.compile("sgd", "sparse_categorical_crossentropy")
    inner.layers[-1].trainable = False
    assert keras_run("unfreeze", model=net)["moved"] == [True, True]


def test_only_the_last_layers_of_a_backbone_are_trained(keras_run: Train, torch_run: Train) -> None:
    blocks = torch_run("transfer_learning")["backbone"]
    assert [p.requires_grad for p in blocks.parameters()] == [False] * 2 + [True] * 6
    layers = keras_run("transfer_learning")["backbone"].layers
    assert [layer.trainable for layer in layers] == [False] * (len(layers) - 20) + [True] * 20


def test_a_residual_block_may_change_its_width(torch_run: Train, keras_run: Train) -> None:
    torch = pytest.importorskip("torch")
    block = torch_run("add_skip_connections")["Residual"]
    assert block(3, 8)(torch.rand(2, 3, 4, 4)).shape == (2, 8, 4, 4)
    assert block(8, 8)(torch.rand(2, 8, 4, 4)).shape == (2, 8, 4, 4)
    found = keras_run("add_skip_connections")
    assert found["residual"](found["keras"].Input((4, 4, 3)), 8).shape == (None, 4, 4, 8)


def test_one_batch_is_overfitted_where_output_and_loss_fit(torch_run: Train) -> None:
    nn = pytest.importorskip("torch").nn
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    assert torch_run("match_output_loss", model=model)["loss"].item() < 0.05


GOOD = """\
title = "T"
advice = "A rate. B."
why = "W"
references = ["R"]
[change]
clip_norm = 1.0
[snippets]
keras = "x"
"""


def test_a_good_file_is_read_into_its_types(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        GOOD.replace("clip_norm = 1.0", 'clip_norm = 1\naugmentation = ["flip"]')
    )
    change = load([tmp_path])["mine"].change
    assert change == Change(clip_norm=1.0, augmentation=("flip",))
    assert type(change.clip_norm) is float


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("clip_norm", "clip_nrom", "did you mean 'clip_norm'?"),
        ("clip_norm = 1.0", 'clip_norm = "one"', "is a number"),
        ("clip_norm = 1.0", "clip_norm = true", "is a number"),
        ("clip_norm = 1.0", "clip_norm = nan", "from 0 to 1e9"),
        ("clip_norm = 1.0", "clip_norm = -1.0", "from 0 to 1e9"),
        ("clip_norm = 1.0", "clip_norm = 1" + "0" * 400, "from 0 to 1e9"),
        ("clip_norm = 1.0", "dropout = 1.5", "share of the whole, below 1"),
        ("clip_norm = 1.0", "unfreeze_last = 2.5", "a whole number"),
        ("clip_norm = 1.0", "shuffle = 1", "true or false"),
        ("clip_norm = 1.0", "backbone = 1", "a text"),
        ("clip_norm = 1.0", 'schedule = "cosin"', "did you mean 'cosine'?"),
        ("clip_norm = 1.0", 'augmentation = ["flipp"]', "did you mean 'flip'?"),
        ("clip_norm = 1.0", 'augmentation = "flip"', "a list of texts"),
        ("clip_norm = 1.0", "", "without any, leave it out"),
        ("[change]\nclip_norm = 1.0", "change = 3", "`change` is a table"),
        ("title", "titel", "did you mean 'title'?"),
        ('"T"', '" "', "'title' is missing, or is no text"),
        ('why = "W"\n', "", "'why' is missing"),
        ('keras = "x"', 'jax = "x"', "keras and torch"),
        ('keras = "x"', "keras = 3", "snippet for keras is no text"),
        ('["R"]', '"R"', "list of texts"),
        ('["R"]', "[1]", "list of texts"),
        ("[change]", "[change", "not TOML"),
    ],
)
def test_a_wrong_file_is_a_letter(tmp_path: Path, right: str, wrong: str, words: str) -> None:
    assert right in GOOD
    (tmp_path / "mine.toml").write_text(GOOD.replace(right, wrong))
    with pytest.raises(RuleError) as error:
        load([tmp_path])
    assert words in str(error.value)
    assert "mine.toml" in str(error.value)


@pytest.mark.parametrize("line", ["rate = 1.0", '"rate" = 1.0'])
def test_the_caret_points_at_the_key_and_not_at_the_same_word_in_prose(tmp_path: Path, line: str) -> None:
    (tmp_path / "mine.toml").write_text(GOOD.replace("clip_norm = 1.0", line))
    with pytest.raises(RuleError) as error:
        load([tmp_path])
    assert (error.value.line, error.value.column, error.value.source) == (6, line.index("rate"), line)


def test_an_id_is_defined_once_and_written_small(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(GOOD)
    with pytest.raises(RuleError, match="'mine' is defined twice"):
        load([tmp_path, tmp_path])
    (tmp_path / "Lower LR.toml").write_text(GOOD)
    with pytest.raises(RuleError, match="small letters"):
        load([tmp_path])

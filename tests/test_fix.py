"""Fixes: every one has advice and code that runs, and a typo in a file is answered by a letter."""

import dataclasses
import os
from pathlib import Path

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
    "same_preprocessing"
).split()
ADVICE_ONLY = {"clean_labels", "more_data", "match_output_loss", "same_preprocessing"}
EACH = pytest.mark.parametrize("fix", FIXES.values(), ids=list(FIXES))


def test_every_promised_fix_is_there_and_no_other() -> None:
    assert sorted(FIXES) == sorted(PROMISED)


@EACH
def test_a_fix_says_what_to_do_and_why_and_where_it_is_from(fix: Fix) -> None:
    assert len(fix.title) <= 60
    assert fix.advice.count(".") >= 2
    assert fix.why
    assert fix.references
    assert set(fix.snippets) == {"keras", "torch"}


@EACH
def test_only_what_a_person_must_do_has_no_change(fix: Fix) -> None:
    assert (fix.change is None) == (fix.id in ADVICE_ONLY)
    if fix.change is not None:
        assert any(value is not None for value in dataclasses.asdict(fix.change).values())


@EACH
def test_the_keras_code_runs(fix: Fix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    pytest.importorskip("tensorflow")
    keras = pytest.importorskip("keras")
    import numpy as np

    rng = np.random.default_rng(0)
    layers = [keras.layers.Flatten(), keras.layers.Dropout(0.2), keras.layers.Dense(10, activation="softmax")]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    model.compile(keras.optimizers.SGD(0.1), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = rng.random((40, 8, 8, 1)).astype("float32"), np.arange(40) % 10
    names = {
        "x_train": x,
        "y_train": y,
        "x_val": x,
        "y_val": y,
        "mean": 0.5,
        "deviation": 0.2,
        "weights": None,
    }
    exec(shorter(fix.snippets["keras"]), {"keras": keras, "np": np, "model": model, **names})


@EACH
def test_the_torch_code_runs(fix: Fix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = torch.rand(40, 1, 8, 8), torch.arange(40) % 10
    loss_function = nn.CrossEntropyLoss()
    loss = loss_function(model(x), y)
    loss.backward()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=8)
    space = {
        "torch": torch,
        "nn": nn,
        "model": model,
        "optimizer": optimizer,
        "loss": loss_function(model(x), y),
        "loss_function": loss_function,
        "train_loader": loader,
        "x_train": x,
        "y_train": y,
        "val_loss": 1.0,
        "mean": 0.5,
        "deviation": 0.2,
        "backbone": nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU()),
        "train_and_validate": lambda _: 1.0,
    }
    exec(shorter(fix.snippets["torch"]), space)
    if fix.id == "augment_data":
        assert space["augment"](x).shape == x.shape  # type: ignore[operator]
    if fix.id == "add_skip_connections":
        assert space["Residual"](1)(x).shape == x.shape  # type: ignore[operator]


def shorter(code: str) -> str:
    """The code as it stands, with fewer epochs: the test asks whether it runs, not how well it trains."""
    return (
        code.replace("epochs=30", "epochs=1")
        .replace("epochs=100", "epochs=1")
        .replace("epochs=200", "epochs=2")
    )


GOOD = """\
title = "T"
advice = "A. B."
why = "W"
references = ["R"]
[change]
clip_norm = 1.0
[snippets]
keras = "x"
"""


def test_a_good_file_is_read_into_its_types(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(GOOD)
    assert load([tmp_path])["mine"].change == Change(clip_norm=1.0)


@pytest.mark.parametrize(
    ("wrong", "right", "words"),
    [
        ("clip_nrom", "clip_norm", "did you mean 'clip_norm'?"),
        ('clip_norm = "one"', "clip_norm = 1.0", "is a float"),
        ("titel", "title", "did you mean 'title'?"),
        ('jax = "x"', 'keras = "x"', "keras and torch"),
        ('references = "R"', 'references = ["R"]', "list of texts"),
        ("[change", "[change]", "not TOML"),
    ],
)
def test_a_wrong_file_is_a_letter(tmp_path: Path, wrong: str, right: str, words: str) -> None:
    (tmp_path / "mine.toml").write_text(GOOD.replace(right, wrong))
    with pytest.raises(RuleError) as error:
        load([tmp_path])
    assert words in str(error.value)
    assert "mine.toml" in str(error.value)

"""Unmodified Keras scripts in a child process: what the wrap leaves as it is, and what it changes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from plateau_doctor.readers import read

from .running import alone, trial


@pytest.fixture(params=["tensorflow", "jax", "torch"], autouse=True)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the back-end that the scripts are run on."""
    name: str = request.param
    if not importlib.util.find_spec("keras") or not importlib.util.find_spec(name):
        pytest.skip(f"no Keras on {name} here")
    monkeypatch.setenv("KERAS_BACKEND", name)
    return name


SCRIPT = """
import argparse, hashlib
import keras, numpy as np

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 96)
    x = (rng.normal(size=(96, 6, 6, 1)) + y[:, None, None, None]).astype("float32")
    layers = keras.layers
    model = keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(),
                              layers.Dropout(0.2), layers.Dense(3, activation="softmax")])
    saved = [keras.callbacks.CSVLogger("log.csv"), keras.callbacks.ModelCheckpoint("best.keras"),
             keras.callbacks.BackupAndRestore("backup"), keras.callbacks.TensorBoard("board")]
    for phase, rate in enumerate((0.1, 0.01)):
        model.compile(keras.optimizers.SGD(rate, momentum=0.9), "sparse_categorical_crossentropy", metrics=["acc"])
        model.fit(x, y, batch_size=16, epochs=options.epochs, validation_split=0.25, verbose=0,
                  callbacks=saved if phase == 0 else [])
    model.save_weights("last.weights.h5")
    model.load_weights("last.weights.h5")
    keras.models.load_model("best.keras")
    print(hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()[:16])

if __name__ == "__main__":
    main()
"""


def test_a_script_is_trained_alike_to_the_bit_and_nothing_of_its_folder_is_touched(tmp_path: Path) -> None:
    by_itself, wrapped = tmp_path / "alone", tmp_path / "wrapped"
    for folder in (by_itself, wrapped):
        folder.mkdir()
        (folder / "train.py").write_text(SCRIPT)
        (folder / "log.csv").write_text("an older log\n")
    expected = alone(by_itself, "train.py")
    ran, outcome = trial(wrapped, "train.py")
    assert ran.stdout == expected.stdout, ran.stderr
    assert outcome.fingerprint == expected.stdout.strip()
    assert outcome.problems == outcome.refused == ()
    assert (outcome.held_on, outcome.ended) == ("keras.Model.fit", "script")
    assert (outcome.epochs, outcome.steps, outcome.seeds) == (4, 20, (3, 0))
    assert outcome.metrics.keys() == {"acc", "accuracy", "macro_recall"}
    assert "24 samples" in outcome.scored_on
    assert {one.name for one in wrapped.iterdir()} <= {"train.py", "log.csv", "backup", "board"}
    assert (wrapped / "log.csv").read_text() == "an older log\n"
    saved = {one.name for one in (tmp_path / "wrapped-trial" / "saved").rglob("*")}
    assert saved >= {"log.csv", "best.keras", "last.weights.h5"}
    frame = next(iter(read(tmp_path / "wrapped-trial" / "logs"))).scalars
    losses = frame[frame.tag == "validation/loss"]
    assert losses.step.tolist() == [5, 10, 15, 20]
    epochs = frame[frame.tag == "epoch"]
    assert epochs.value.tolist() == [1, 2, 3, 4]


def test_an_arm_is_capped_over_both_phases_with_its_rates_scaled_and_its_seeds_offset(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    change = {"learning_rate_scale": 0.1}
    ran, outcome = trial(folder, "train.py", "--epochs", "4", change=change, seed=2, epochs=5)
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
    assert (outcome.ended, outcome.epochs, outcome.steps) == ("cap", 5, 25)
    assert outcome.applied == {"learning_rate_scale": "0.01 -> 0.001"}
    assert outcome.loss is not None
    frame = next(iter(read(tmp_path / "work-trial" / "logs"))).scalars
    rates = frame[(frame.role == "learning_rate") & (frame.step % 5 == 0)].drop_duplicates("step")
    assert rates.value.round(5).tolist() == [0.01] * 4 + [0.001]

"""The Keras recorder on each back-end, in a process of its own: what is trained, and what is in the log."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from plateau_doctor.facts import Logged
from plateau_doctor.facts.needs import NEEDS, was_logged
from plateau_doctor.readers import read

from .test_keras import values_in

ROOT = Path(__file__).parent.parent.parent
SCRIPT = """
import json, sys
import keras
from plateau_doctor.recorders.keras import Recorder
from tests.recorders.test_keras import data_of, model_of

def trained(*callbacks):
    model = model_of()
    x, y = data_of()
    keras.utils.set_random_seed(1)
    sizes = []
    for epochs in (3, 2):  # the second time without a recorder: nothing of it is left
        history = model.fit(x, y, batch_size=8, epochs=epochs, validation_data=(x, y), verbose=0, callbacks=callbacks)
        callbacks = ()
    weights = [w.tobytes().hex() for w in model.get_weights()]
    left = {"variables": len(model.optimizer.variables), "wrapped": "apply" in vars(model.optimizer)}
    return weights, left, history.history["val_loss"]

x, y = data_of()
recorder = Recorder(sys.argv[1], every=1, validation_data=(x, y), labels=y)
checkpoint = keras.callbacks.ModelCheckpoint(sys.argv[1] + ".keras")
done = {"recorded": trained(recorder, checkpoint), "bare": trained()}
kept = keras.models.load_model(sys.argv[1] + ".keras").optimizer
done["checkpoint"] = [int(kept.iterations), len(kept.variables)]
print(json.dumps(done))
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_a_training_is_recorded_and_its_weights_are_alike_to_the_bit(backend: str, tmp_path: Path) -> None:
    if not importlib.util.find_spec("keras") or not importlib.util.find_spec(backend):
        pytest.skip(f"no Keras on {backend} here")
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
    env = {**os.environ, **quiet, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "log")],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    done = json.loads(ran.stdout.splitlines()[-1])
    assert done["recorded"] == done["bare"]
    assert done["checkpoint"] == [18, done["bare"][1]["variables"]]
    assert "not recorded" not in ran.stderr
    assert "Skipping" not in ran.stderr  # Keras' word where a checkpoint has too many variables
    found = values_in(tmp_path / "log")
    for layer in ("00_dense/kernel", "01_dense_1/kernel"):  # plain SGD: what is written fits together
        gradients, weights = found[f"gradient_norm/{layer}"], found[f"weight_norm/{layer}"]
        assert list(gradients) == list(range(1, 19))
        for step in range(2, 19):
            ratio = 0.1 * gradients[step] / weights[step - 1]
            assert found[f"update_ratio/{layer}"][step] == pytest.approx(ratio, rel=1e-3)
    (run,) = read(tmp_path / "log")
    assert f"({backend})" in run.settings["framework"]
    assert not {need for need in NEEDS if not was_logged(Logged(run), need)}


BATCHES = """
import sys
import keras, numpy as np
from tests.recorders.test_keras import data_of, model_of

class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y
    def __len__(self):
        return 6
    def __getitem__(self, i):
        rows = slice(8 * i, 8 * i + 8)
        return self.x[rows] + np.random.normal(size=(8, 4)), self.y[rows]  # draws as augmentation does

x, y = data_of()
if sys.argv[1] == "tf.data":
    import tensorflow as tf
    whole = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(48, seed=1)  # one shuffling for both parts
    train, held_out = whole.skip(16).batch(8), whole.take(16).batch(8)
elif sys.argv[1] == "DataLoader":
    import torch
    data = torch.utils.data.TensorDataset(torch.tensor(x), torch.tensor(y))
    train = torch.utils.data.DataLoader(data, 8, shuffle=True)
    held_out = torch.utils.data.DataLoader(data, 8, shuffle=True)
elif sys.argv[1] == "PyDataset":
    train = held_out = Batches(x, y)
model = model_of()
keras.utils.set_random_seed(1)
model.fit(train, epochs=2, validation_data=held_out, verbose=0)
print(__import__("hashlib").sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest())
"""


@pytest.mark.parametrize(
    ("backend", "kind", "samples"),
    [
        ("tensorflow", "tf.data", 32),
        ("torch", "DataLoader", 48),
        ("torch", "PyDataset", 48),
        ("jax", "PyDataset", 48),
    ],
)
def test_labels_are_seen_wherever_they_come_from_and_nothing_is_moved(
    backend: str, kind: str, samples: int, tmp_path: Path
) -> None:
    if not importlib.util.find_spec("keras") or not importlib.util.find_spec(backend):
        pytest.skip(f"no Keras on {backend} here")
    (tmp_path / "train.py").write_text(BATCHES)
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    env = {**os.environ, **quiet, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "train.py", kind]
    record = [sys.executable, "-m", "plateau_doctor", "record", "--logdir", "log", "--every", "4", "--"]
    alone, ran = (
        subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        for line in (command, [*record, *command])
    )
    assert alone.returncode == 0, alone.stderr
    assert ran.stdout == alone.stdout, ran.stderr
    (run,) = read(tmp_path / "log")
    assert (run.settings["samples"], run.settings["classes"]) == (samples, 3)
    missing = {need for need in NEEDS if not was_logged(Logged(run), need)}
    assert missing == ({"activation_histograms"} if kind == "tf.data" else set())

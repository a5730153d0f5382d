"""`plateau-doctor record` on unmodified scripts: what it leaves as it is, and what can be read afterwards."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from plateau_doctor.facts import Logged
from plateau_doctor.facts.needs import NEEDS, was_logged
from plateau_doctor.readers import read
from plateau_doctor.run import Run

from . import test_keras_child, test_torch_child
from .running import QUIET, alone

needs_torch = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="no torch here")
needs_keras = pytest.mark.skipif(
    not importlib.util.find_spec("keras") or not importlib.util.find_spec("tensorflow"),
    reason="no Keras here",
)
PACKAGE = str(Path(__file__).parent.parent.parent)
RECORD = (sys.executable, "-c", "from plateau_doctor.cli import main; main()", "record")


def recorded(folder: Path, *command: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder under `plateau-doctor record`."""
    line = [*RECORD, *options, "--", *command]
    env = {**os.environ, **QUIET, "PYTHONPATH": PACKAGE}
    return subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, check=False)


def runs_of(folder: Path) -> list[Run]:
    """Return the runs of a folder, the first one first."""
    return sorted(
        (one for one in read(folder) if isinstance(one, Run)), key=lambda one: one.scalars.wall_time.min()
    )


def pair_of(tmp_path: Path, script: str) -> tuple[Path, Path]:
    """Return two folders with the script in each."""
    folders = tmp_path / "alone", tmp_path / "recorded"
    for folder in folders:
        folder.mkdir()
        (folder / "train.py").write_text(script)
    return folders


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(test_torch_child.SCRIPT, marks=needs_torch, id="torch"),
        pytest.param(test_keras_child.SCRIPT, marks=needs_keras, id="keras"),
    ],
)
def test_a_script_trains_alike_to_the_bit_and_its_log_tells_what_a_diagnosis_needs(
    tmp_path: Path, script: str
) -> None:
    by_itself, watched = pair_of(tmp_path, script)
    expected = alone(by_itself, "train.py")
    ran = recorded(watched, sys.executable, "train.py", options=("--logdir", "log", "--every", "4"))
    assert (ran.returncode, ran.stdout) == (0, expected.stdout), ran.stderr
    assert ran.stderr.splitlines()[-1] == "plateau-doctor: plateau-doctor analyze log"
    assert "recorded 20 steps and 4 epochs" in ran.stderr
    assert {one.name for one in watched.iterdir()} == {one.name for one in by_itself.iterdir()} | {"log"}
    (run,) = runs_of(watched / "log")
    values = {tag: rows.set_index("step").value.to_dict() for tag, rows in run.scalars.groupby("tag")}
    for tag in ("train/loss", "validation/loss", "validation/recall/1", "learning_rate", "epoch"):
        assert {5, 10, 15, 20} <= set(values[tag]), tag
    first = next(rows for tag, rows in values.items() if tag.startswith("gradient_norm/00_"))
    assert {1, 2, 3, 5} <= set(first)
    assert not {need for need in NEEDS if not was_logged(Logged(run), need)}
    told = {name: run.settings[name] for name in ("batch_size", "samples", "classes", "steps_per_epoch")}
    assert told == {"batch_size": 16, "samples": 72, "classes": 3, "steps_per_epoch": 5}


@needs_torch
def test_a_loop_of_its_own_making_is_recorded_and_each_model_is_a_run(tmp_path: Path) -> None:
    """No loader, no loss function, a mixed-precision scaler, accumulated batches, copies of the model."""
    script = """
import copy, torch
for seed in (0, 1):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    x = torch.randn(32, 4)
    for step in range(12):
        for part in x.chunk(2):
            loss = ((model(part) - part.sum(1, keepdim=True)) ** 2).mean() / 2
            scaler.scale(loss).backward()
        print(sum(((model(p) - p.sum(1, keepdim=True)) ** 2).mean().item() / 2 for p in x.chunk(2)))
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        copy.deepcopy(model)
    torch.save(model, f"model{seed}.pt")
"""
    (tmp_path / "train.py").write_text(script)
    ran = recorded(tmp_path, sys.executable, "train.py")
    assert ran.returncode == 0, ran.stderr
    assert "no validation loss is logged" in ran.stderr
    (folder,) = (tmp_path / "plateau-doctor-logs").iterdir()
    first, second = runs_of(folder)
    losses = [float(one) for one in ran.stdout.split()]
    for run, start in ((first, 0), (second, 12)):
        rows = run.scalars[run.scalars.tag == "train/loss_step"].set_index("step").value
        assert list(rows.index) == [1, 11]
        assert list(rows) == pytest.approx([losses[start], losses[start + 10]], rel=1e-4)
        assert {"gradients/00_0/weight", "activations/00_1"} <= set(
            run.histograms[run.histograms.step == 1].tag
        )


@needs_torch
def test_each_model_of_a_script_counts_its_own_epochs(tmp_path: Path) -> None:
    script = """
import torch
x = torch.randn(24, 4)
batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True)), 8)
for _ in range(2):
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for epoch in range(3):
        for inputs, targets in batches:
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(inputs), targets).backward()
            optimizer.step()
"""
    (tmp_path / "train.py").write_text(script)
    ran = recorded(tmp_path, sys.executable, "train.py")
    assert ran.returncode == 0, ran.stderr
    (folder,) = (tmp_path / "plateau-doctor-logs").iterdir()
    for run in runs_of(folder):
        epochs = run.scalars[run.scalars.tag == "epoch"]
        assert (list(epochs.step), list(epochs.value)) == ([3, 6, 9], [1, 2, 3])


@needs_torch
def test_accumulated_batches_are_averaged_and_parts_of_a_loss_are_added(tmp_path: Path) -> None:
    script = """
import torch
from torch.nn import functional as F
model = torch.nn.Linear(2, 1)
torch.nn.init.zeros_(model.weight), torch.nn.init.zeros_(model.bias)
optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
y = torch.full((4, 1), 2.0)
for step in range(11):
    for _ in range(3):
        out = model(torch.ones(4, 2))
        ((F.mse_loss(out, y) + F.l1_loss(out, y)) / 3).backward()
    optimizer.step()
"""
    (tmp_path / "train.py").write_text(script)
    recorded(tmp_path, sys.executable, "train.py", options=("--logdir", "log"))
    (run,) = runs_of(tmp_path / "log")
    # six losses in three calls of the model: three batches of 4 + 2
    assert list(run.scalars[run.scalars.tag == "train/loss_step"].value) == [6.0, 6.0]


LIGHTNING = """
import hashlib, torch
import lightning.pytorch as pl
class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
    def training_step(self, batch, _):
        return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])
    def validation_step(self, batch, _):
        self.log("val_loss", torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1]))
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
torch.manual_seed(0)
train, held_out = (torch.utils.data.TensorDataset(torch.randn(n, 4), torch.randint(0, 3, (n,))) for n in (32, 12))
loader = torch.utils.data.DataLoader
net = Net()
pl.Trainer(max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu",
           enable_model_summary=False).fit(net, loader(train, 4, shuffle=True), loader(held_out, 4))
print(hashlib.sha256(b"".join(w.detach().numpy().tobytes() for w in net.parameters())).hexdigest()[:16])
"""
TRANSFORMERS = """
import hashlib, torch, transformers
from transformers.modeling_outputs import SequenceClassifierOutput
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
    def forward(self, x, labels=None):
        logits = self.net(x)
        return SequenceClassifierOutput(loss=torch.nn.functional.cross_entropy(logits, labels), logits=logits)
torch.manual_seed(0)
train, held_out = ([{"x": torch.randn(4), "labels": torch.tensor(i % 3)} for i in range(n)] for n in (32, 12))
net = Net()
arguments = transformers.TrainingArguments("out", num_train_epochs=2, per_device_train_batch_size=4, save_strategy="no",
    eval_strategy="epoch", report_to=[], use_cpu=True, disable_tqdm=True, learning_rate=0.01)
trainer = transformers.Trainer(net, arguments, train_dataset=train, eval_dataset=held_out)
trainer.train()
print([row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row][-1])
print(hashlib.sha256(b"".join(w.detach().numpy().tobytes() for w in net.parameters())).hexdigest()[:16])
"""


@needs_torch
@pytest.mark.parametrize(
    ("script", "package", "held_on"),
    [
        (LIGHTNING, "lightning", "lightning.Trainer"),
        (TRANSFORMERS, "transformers", "transformers.Trainer"),
    ],
    ids=["lightning", "transformers"],
)
def test_a_trainer_is_recorded_as_a_loop_is(tmp_path: Path, script: str, package: str, held_on: str) -> None:
    pytest.importorskip(package)
    by_itself, watched = pair_of(tmp_path, script)
    expected = alone(by_itself, "train.py")
    ran = recorded(watched, sys.executable, "train.py", options=("--logdir", "log", "--every", "4"))
    assert ran.stdout.splitlines()[-1] == expected.stdout.splitlines()[-1], ran.stderr
    assert f"recorded 16 steps and 2 epochs of {held_on}" in ran.stderr
    (run,) = runs_of(watched / "log")
    values = {tag: rows.set_index("step").value.to_dict() for tag, rows in run.scalars.groupby("tag")}
    for tag in (
        "train/loss",
        "train/accuracy",
        "validation/loss",
        "validation/accuracy",
        "validation/recall/1",
    ):
        assert list(values[tag]) == [8, 16], tag
    assert values["train/loss"][8] == pytest.approx(1.1, abs=0.4)
    if package == "transformers":
        assert values["validation/loss"][16] == pytest.approx(float(ran.stdout.splitlines()[-2]), rel=1e-4)
    told = {name: run.settings[name] for name in ("batch_size", "samples", "classes", "steps_per_epoch")}
    assert told == {"batch_size": 4, "samples": 32, "classes": 3, "steps_per_epoch": 8}


def test_a_command_keeps_its_arguments_streams_and_exit_status(tmp_path: Path) -> None:
    code = "import sys; print(sys.argv[1:], sys.stdin.read()); sys.exit(7)"
    done = subprocess.run(
        [*RECORD, "--", sys.executable, "-c", code, "--every", "x y"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": PACKAGE},
        input="in",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, "['--every', 'x y'] in\n")
    assert "no training was found; looked for keras.Model.fit, torch.optim.Optimizer.step" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_command_that_is_not_there_or_starts_no_python_is_told(tmp_path: Path) -> None:
    absent = recorded(tmp_path, "no-such-program")
    assert absent.returncode == 2
    assert "no-such-program cannot be started: No such file" in absent.stderr
    other = recorded(tmp_path, "true")
    assert other.returncode == 0
    assert "the command started no Python" in other.stderr


def test_a_signal_reaches_the_command_and_its_end_is_told_as_a_shell_does(tmp_path: Path) -> None:
    script = """
import os, signal, sys, time
def stop(number, frame):
    os.write(1, b"saved\\n")  # print may be what the signal has come into
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(60)
"""
    (tmp_path / "train.py").write_text(script)
    child = subprocess.Popen(
        [*RECORD, "--", sys.executable, "train.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": PACKAGE},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGTERM)
    assert child.stdout.read() == "saved\n"
    assert child.wait(timeout=30) == 128 + signal.SIGTERM


@needs_torch
def test_a_killed_training_leaves_what_it_logged(tmp_path: Path) -> None:
    script = """
import os, signal, torch
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(100):
    torch.nn.functional.mse_loss(model(torch.ones(4, 2)), torch.ones(4, 1)).backward()
    optimizer.step()
    if step == 40:
        os.kill(os.getpid(), signal.SIGKILL)
"""
    (tmp_path / "train.py").write_text(script)
    ran = recorded(tmp_path, sys.executable, "train.py", options=("--logdir", "log"))
    assert ran.returncode == 128 + signal.SIGKILL
    (run,) = runs_of(tmp_path / "log")
    assert run.scalars[run.scalars.tag == "train/loss_step"].step.tolist() == [1, 11, 21, 31, 41]
    assert not run.problems


@needs_torch
def test_a_log_that_cannot_be_written_costs_the_training_nothing(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("")
    (tmp_path / "train.py").write_text(test_torch_child.SCRIPT)
    ran = recorded(tmp_path, sys.executable, "train.py", options=("--logdir", "log/in/a/file"))
    assert ran.returncode == 0
    assert len(ran.stdout.strip()) == 16
    assert ran.stderr.count("recording ends here") == 1
    assert "nothing was recorded of torch.optim, see above" in ran.stderr

"""The lines that a report offers for what is missing: each is run as it stands, and logs what it is offered for."""

from __future__ import annotations

import importlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from plateau_doctor.facts import Logged
from plateau_doctor.facts.needs import NEEDS, was_logged
from plateau_doctor.readers import read
from plateau_doctor.recorders.lines import (
    EVALUATE,
    HELD_OUT,
    KERAS_DATA,
    LINES,
    RECORD,
    SUPPLIED,
    framework_of,
    line_for,
)
from plateau_doctor.run import Run, scalar_frame

FRAMEWORKS = [*LINES, None]
ROOT = Path(__file__).parent.parent.parent


def trained_with(line: str, logdir: Path) -> None:
    """Train with a line of a recorder in place."""
    home = line.partition("plateau_doctor.recorders.")[2].partition(".")[0]
    importlib.import_module(f"plateau_doctor.recorders.{home}")
    given = {"plateau_doctor": sys.modules["plateau_doctor"], "logdir": logdir}
    if home == "keras":
        keras = pytest.importorskip("keras")
        from .test_keras import data_of, model_of

        x, y = data_of()
        made = eval(f"dict({line})", {**given, "x_val": x, "y_val": y, "y_train": y})
        assert isinstance(made["callbacks"][0], keras.callbacks.Callback)
        model_of().fit(x, y, batch_size=8, epochs=3, validation_data=(x, y), verbose=0, **made)
    elif home == "torch":
        from .test_torch import model_of, train

        model = model_of()
        optimizer = importlib.import_module("torch").optim.SGD(model.parameters(), lr=0.1)
        recorder = eval(line, {**given, "model": model, "optimizer": optimizer})
        train(model, None, optimizer, 60)
        recorder.close()
    else:
        fit = importlib.import_module(f"{__package__}.test_{home}").fit
        callbacks = eval(f"dict({line})", given)["callbacks"]
        first = [importlib.import_module("lightning.pytorch")] if home == "lightning" else []
        fit(*first, logdir.parent, callbacks)


@pytest.mark.parametrize("line", SUPPLIED)
def test_a_recorder_logs_what_its_line_is_offered_for(line: str, tmp_path: Path) -> None:
    pytest.importorskip(
        {"huggingface": "transformers"}.get(name := line.split("recorders.")[1].split(".")[0], name)
    )
    trained_with(line, tmp_path / "run")
    (run,) = [one for one in read(tmp_path / "run") if isinstance(one, Run)]
    logged = Logged(run)
    assert {need for need in SUPPLIED[line] if not was_logged(logged, need)} == set()
    assert framework_of(run) == name


def test_the_wrap_logs_all_that_a_script_lets_pass(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.trials.test_torch_child import SCRIPT

    (tmp_path / "train.py").write_text(SCRIPT)
    command = shlex.split(RECORD)
    assert command[0] == "plateau-doctor"
    line = [
        sys.executable,
        "-m",
        "plateau_doctor",
        *command[1:-2],
        sys.executable,
        *command[-1:],
        "--epochs",
        "6",
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(line, cwd=tmp_path, env=env, check=True, capture_output=True)
    (run,) = [one for one in read(tmp_path / "plateau-doctor-logs") if isinstance(one, Run)]
    assert not {need for need in NEEDS if not was_logged(Logged(run), need)}


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("need", NEEDS)
def test_every_need_has_exactly_one_line_of_the_own_framework(need: str, framework: str | None) -> None:
    line = line_for(need, framework)
    own = [LINES[framework]] if framework else []
    assert line in [*own, RECORD, *([KERAS_DATA] if framework == "keras" else [])]
    assert line == RECORD or need in SUPPLIED[line]


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("need", NEEDS)
def test_a_line_says_where_the_script_has_to_evaluate_first(need: str, framework: str | None) -> None:
    line, asked = line_for(need, framework), line_for(need, framework, evaluates=False)
    assert asked == (line + EVALUATE if need in HELD_OUT else line)


def test_held_out_needs_are_those_that_a_script_without_evaluation_leaves_open(tmp_path: Path) -> None:
    """A recorded script that never evaluates lacks them and nothing else, and is told what to do."""
    pytest.importorskip("torch")
    from tests.trials.test_torch_child import SCRIPT

    held_out = SCRIPT.index("            model.eval()")
    after = SCRIPT.index("            torch.save")
    (tmp_path / "train.py").write_text(SCRIPT[:held_out] + SCRIPT[after:])
    line = [
        sys.executable,
        "-m",
        "plateau_doctor",
        "record",
        "--logdir",
        "log",
        "--",
        sys.executable,
        "train.py",
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([*line, "--epochs", "6"], cwd=tmp_path, env=env, check=True, capture_output=True)
    (run,) = [one for one in read(tmp_path / "log") if isinstance(one, Run)]
    assert {need for need in NEEDS if not was_logged(Logged(run), need)} == HELD_OUT


@pytest.mark.parametrize(
    ("settings", "form", "framework"),
    [
        ({"framework": "torch 2.13"}, "tensorboard", "torch"),
        ({"framework": "keras 3.15 (torch)"}, "tensorboard", "keras"),
        ({}, "huggingface", "huggingface"),
        ({}, "tensorboard", None),
    ],
)
def test_the_framework_is_the_one_that_the_log_names(settings, form: str, framework: str | None) -> None:
    run = Run("a", "a", form, scalar_frame([]), settings=settings)
    assert framework_of(run) == framework

"""JSON, MLflow and the text of trainers: each with a small file made here."""

import json
import math
from pathlib import Path

import pytest

from plateau_doctor.readers import read
from plateau_doctor.run import Problem, Run

LOSSES = [2.3, 1.9, 1.6, 1.4, 1.3, 1.25]


def the_run(path: Path) -> Run:
    (run,) = [one for one in read(path) if isinstance(one, Run)]
    return run


def values(run: Run, tag: str) -> list[float]:
    return [float(v) for v in run.scalars[run.scalars["tag"] == tag]["value"]]


def a_state(losses: list[float]) -> dict[str, object]:
    history: list[dict[str, float]] = []
    for i, loss in enumerate(losses):
        history.append({"epoch": i + 1, "step": 10 * (i + 1), "loss": loss, "learning_rate": 1e-4})
        history.append({"epoch": i + 1, "step": 10 * (i + 1), "eval_loss": loss + 0.1, "eval_runtime": 3.0})
    history.append({"epoch": 6.0, "step": 60, "train_loss": 1.6, "train_runtime": 99.0})
    return {"log_history": history, "global_step": 60, "num_train_epochs": 6}


def test_a_trainer_state_is_read_and_its_summary_is_a_setting_not_a_point(tmp_path: Path) -> None:
    (tmp_path / "trainer_state.json").write_text(json.dumps(a_state(LOSSES)))
    run = the_run(tmp_path)
    assert values(run, "loss") == LOSSES
    assert "train_loss" not in set(run.scalars["tag"])
    assert run.settings["final/train_loss"] == 1.6
    assert run.scalars[run.scalars["tag"] == "eval_loss"]["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert "eval_runtime" not in set(run.scalars["tag"])


def test_of_several_checkpoints_the_longest_is_the_run(tmp_path: Path) -> None:
    for name, n in (("checkpoint-20", 2), ("checkpoint-60", 6)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trainer_state.json").write_text(json.dumps(a_state(LOSSES[:n])))
    run = the_run(tmp_path)
    assert values(run, "loss") == LOSSES
    assert "checkpoint-20" in run.reasons["(checkpoints)"]


def test_json_lines_with_a_bare_nan_and_lists_are_read(tmp_path: Path) -> None:
    lines = [
        json.dumps({"iteration": i, "total_loss": v, "boxes": [1, 2], "name": "x"})
        for i, v in enumerate(LOSSES)
    ]
    lines[2] = '{"iteration": 2, "total_loss": NaN}'
    (tmp_path / "metrics.json").write_text("\n".join(lines))
    found = values(the_run(tmp_path), "total_loss")
    assert len(found) == 6
    assert math.isnan(found[2])


def test_a_line_that_is_no_json_is_named_with_its_offset(tmp_path: Path) -> None:
    lines = [json.dumps({"epoch": i, "train_loss": v}) for i, v in enumerate(LOSSES)]
    lines[3] = lines[3][:9]
    (tmp_path / "log.txt").write_text("\n".join(lines))
    run = the_run(tmp_path)
    assert len(values(run, "train_loss")) == 5
    assert run.problems[0].offset == sum(len(line) + 1 for line in lines[:3])


@pytest.mark.parametrize(
    "history",
    [
        {"loss": LOSSES, "val_loss": LOSSES},
        {"loss": {str(i): v for i, v in enumerate(LOSSES)}, "val_loss": {}},
    ],
)
def test_a_keras_history_is_read(tmp_path: Path, history: dict[str, object]) -> None:
    (tmp_path / "history.json").write_text(json.dumps(history))
    run = the_run(tmp_path)
    assert values(run, "loss") == LOSSES
    assert run.scalars["epoch"].tolist()[:6] == [0, 1, 2, 3, 4, 5]


def test_chainers_log_report_is_read(tmp_path: Path) -> None:
    report = [
        {"main/loss": v, "validation/main/loss": v, "epoch": 1, "iteration": 10 * i}
        for i, v in enumerate(LOSSES)
    ]
    (tmp_path / "log").write_text(json.dumps(report))
    run = the_run(tmp_path)
    assert values(run, "main/loss") == LOSSES
    assert run.scalars["step"].tolist()[:3] == [0, 10, 20]


def test_an_mlflow_store_is_one_run_with_its_parameters(tmp_path: Path) -> None:
    for folder in ("metrics", "params"):
        (tmp_path / "run1" / folder).mkdir(parents=True)
    points = "".join(f"169140974776{i} {v} {i}\n" for i, v in enumerate(LOSSES))
    (tmp_path / "run1" / "metrics" / "val_loss").write_text(points)
    (tmp_path / "run1" / "params" / "lr").write_text("0.001")
    run = the_run(tmp_path)
    assert values(run, "val_loss") == LOSSES
    assert run.settings["lr"] == 0.001


TEXTS = {
    "nanoGPT": ("step {i}: train loss {v}, val loss {v}", "train_loss"),
    "a speed-run": ("step:{i}/6200 val_loss:{v} train_time:32ms", "val_loss"),
    "llm.c": ("s:{i} trl:{v}", "trl"),
    "Caffe": ("I0821 09:21:08.87 5405 solver.cpp:214] Iteration {i}, loss = {v}", "loss"),
}


@pytest.mark.parametrize("trainer", TEXTS)
def test_the_text_of_a_trainer_is_read_past_the_script_that_it_echoes(tmp_path: Path, trainer: str) -> None:
    line, tag = TEXTS[trainer]
    script = "import os\nimport torch\n# step 3: loss function\nloss = step(3)\n" + "=" * 80 + "\n"
    text = script + "\n".join(line.format(i=i, v=v) for i, v in enumerate(LOSSES))
    (tmp_path / "train.log").write_text(text)
    assert values(the_run(tmp_path), tag) == LOSSES


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("trainer_state.json", '{"log_history": [{"loss": 1.0'),
        ("history.json", '{"loss": [1.0, 2.0'),
        ("deep.json", '["loss", ' + "[" * 100_000),
        ("metrics.jsonl", '{"loss": 1'),
    ],
)
def test_json_that_is_cut_or_hostile_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    (problem,) = read(tmp_path)
    assert isinstance(problem, Problem)
    assert problem.why


def test_a_csv_beside_a_json_of_the_same_run_is_joined_and_told(tmp_path: Path) -> None:
    (tmp_path / "history.json").write_text(
        json.dumps({"loss": LOSSES, "val_loss": LOSSES, "accuracy": LOSSES})
    )
    rows = "\n".join(f"{i},{v},{v}" for i, v in enumerate(LOSSES))
    (tmp_path / "history.csv").write_text(f"epoch,loss,val_loss\n{rows}\n")
    run = the_run(tmp_path)
    assert "history.csv" in run.reasons["joined"]


def test_links_pipes_and_checkpoints_do_not_stop_the_walk(tmp_path: Path) -> None:
    import os

    (tmp_path / "run").mkdir()
    rows = "\n".join(f"{i},{v}" for i, v in enumerate(LOSSES))
    (tmp_path / "run" / "history.csv").write_text(f"epoch,loss\n{rows}\n")
    (tmp_path / "run" / "model.pt").write_bytes(b"PK\x03\x04")
    (tmp_path / "run" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nowhere.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    found = list(read(tmp_path))
    assert [one.name for one in found if isinstance(one, Run)] == ["run/history.csv"]
    assert {Path(one.path).name for one in found if isinstance(one, Problem)} == {"gone.csv", "pipe.csv"}

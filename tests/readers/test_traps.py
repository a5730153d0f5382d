"""What real log files do, each as a small file with the rows that must come out of it.

The list is of 412 files of 88 public repositories; what other tests of this folder hold already is not here again.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from making_events import SCALARS, VERSION, curve, hparams, of_tensor, record, scalar
from making_events import write as write_events
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.util.tensor_util import make_tensor_proto

from plateau_doctor.readers import read
from plateau_doctor.run import Problem, Run

EVENTS = "events.out.tfevents.1"
LOSSES = [2.3, 1.9, 1.6, 1.4, 1.3, 1.25]


def runs_in(path: Path) -> list[Run]:
    return [one for one in read(path) if isinstance(one, Run)]


def the_run(path: Path) -> Run:
    (run,) = runs_in(path)
    return run


def points(run: Run, tag: str) -> list[tuple[float, float]]:
    rows = run.scalars[run.scalars["tag"] == tag]
    return [(float(step), float(value)) for step, value in zip(rows["step"], rows["value"], strict=True)]


def expected(steps: list[int], values: list[float] = LOSSES) -> list[tuple[float, float]]:
    return [(float(step), value) for step, value in zip(steps, values, strict=True)]


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def table(header: str, row: str, losses: list[float] = LOSSES) -> str:
    return "\n".join([header, *(row.format(i=i, v=v) for i, v in enumerate(losses))]) + "\n"


# event files


def test_a_run_that_was_resumed_elsewhere_starts_at_its_own_step(tmp_path: Path) -> None:
    write_events(tmp_path / EVENTS, curve("loss", range(4458, 4464)))
    run = the_run(tmp_path)
    assert points(run, "loss") == expected([*range(4458, 4464)], [*map(float, range(4458, 4464))])
    assert run.scalars["segment"].max() == 0
    assert run.scalars["live"].all()


def test_an_evaluation_that_logs_every_batch_at_one_step_is_no_restart(tmp_path: Path) -> None:
    held = [
        scalar("val_loss", step, v + batch, 1000.0 + step)
        for step, v in enumerate(LOSSES)
        for batch in range(3)
    ]
    write_events(tmp_path / EVENTS, held)
    run = the_run(tmp_path)
    assert len(run.scalars) == 18
    assert run.scalars["live"].all()
    assert run.problems == ()


def test_a_moving_average_beside_the_curve_itself_is_a_curve_of_its_own(tmp_path: Path) -> None:
    held = [scalar("loss", i, v) for i, v in enumerate(LOSSES)]
    held += [
        scalar("loss_1", i, 0.1 * i, 2000.0 + i) for i in range(6)
    ]  # as TensorFlow 1 averages: from 0 up
    write_events(tmp_path / EVENTS, held)
    run = the_run(tmp_path)
    assert [v for _, v in points(run, "loss")] == pytest.approx(LOSSES)
    assert len(points(run, "loss_1")) == 6
    assert run.scalars["live"].all()


def test_one_validation_loss_on_two_axes_is_two_curves(tmp_path: Path) -> None:
    by_epoch = [of_tensor("epoch_loss", make_tensor_proto(np.float32(i)), SCALARS, step=i) for i in range(5)]
    by_step = [
        of_tensor(
            "evaluation_loss_vs_iterations", make_tensor_proto(np.float32(i)), SCALARS, step=300 * (i + 1)
        )
        for i in range(5)
    ]
    write_events(
        tmp_path / "validation" / EVENTS, [e for pair in zip(by_epoch, by_step, strict=True) for e in pair]
    )
    write_events(tmp_path / "train" / EVENTS, by_epoch)
    run = the_run(tmp_path)
    assert [s for s, _ in points(run, "validation/epoch_loss")] == [0, 1, 2, 3, 4]
    assert [s for s, _ in points(run, "validation/evaluation_loss_vs_iterations")] == [
        300,
        600,
        900,
        1200,
        1500,
    ]
    assert run.scalars["live"].all()


def test_a_time_that_is_no_number_loses_no_row(tmp_path: Path) -> None:
    held = [scalar("loss", i, v, math.nan if i in (0, 3) else 1000.0 + i) for i, v in enumerate(LOSSES)]
    write_events(tmp_path / EVENTS, held)
    run = the_run(tmp_path)
    assert len(points(run, "loss")) == 6
    assert np.isnan(run.scalars["wall_time"]).sum() == 2
    assert run.scalars["live"].all()


def test_a_file_of_images_keeps_the_few_scalars_between_them(tmp_path: Path) -> None:
    image = Summary(value=[Summary.Value(tag="i", image=Summary.Image(encoded_image_string=bytes(200_000)))])
    held = [
        e
        for i, v in enumerate(LOSSES)
        for e in (Event(wall_time=1.0, step=i, summary=image), scalar("loss", i, v))
    ]
    write_events(tmp_path / EVENTS, held)
    assert len(points(the_run(tmp_path), "loss")) == 6


def test_the_logged_learning_rate_stands_beside_a_folder_that_says_another(tmp_path: Path) -> None:
    held = [hparams({"lr": 0.001}), *curve("train/lr", range(3), value=0.001), *curve("loss", range(3))]
    write_events(tmp_path / "lr_0.1" / EVENTS, held)
    run = the_run(tmp_path)
    assert run.settings == {"lr": 0.001}
    assert run.scalars.loc[run.scalars["role"] == "learning_rate", "value"].unique() == pytest.approx([0.001])


def test_a_flat_finite_collapse_is_kept_value_for_value(tmp_path: Path) -> None:
    write_events(tmp_path / EVENTS, curve("loss", range(50), value=2.3025851))
    assert [v for _, v in points(the_run(tmp_path), "loss")] == pytest.approx([2.3025851] * 50)


def test_a_folder_of_traps_gives_its_one_run_and_names_the_rest(tmp_path: Path) -> None:
    write_events(tmp_path / "run" / EVENTS, curve("loss", range(6)))
    whole = (tmp_path / "run" / EVENTS).read_bytes()
    put(tmp_path, f"cut/{EVENTS}", whole[:-7])
    put(tmp_path, f"head/{EVENTS}", record(VERSION.SerializeToString()))
    put(tmp_path, f"pointer/{EVENTS}", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    write_events(
        tmp_path / "catboost_info" / "learn" / "events.out.tfevents", curve("RMSE", range(9)), version=None
    )
    found = list(read(tmp_path))
    runs = {one.name: len(one.scalars) for one in found if isinstance(one, Run)}
    assert runs == {"run": 6, "cut": 5}
    named = {Path(one.path).relative_to(tmp_path).parts[0] for one in found if isinstance(one, Problem)}
    assert named == {"head", "pointer", "catboost_info"}


# tables


def test_columns_in_any_order_and_the_axis_last(tmp_path: Path) -> None:
    put(tmp_path, "history.csv", table("val_loss,acc,loss,epoch", "9,0.5,{v},{i}"))
    run = the_run(tmp_path)
    assert points(run, "loss") == expected([0, 1, 2, 3, 4, 5])
    assert set(run.scalars["role"]) == {"val_loss", "train_metric", "train_loss"}


def test_twelve_runs_in_one_file_are_twelve_runs(tmp_path: Path) -> None:
    rows = "".join(table("", "{i},{v}").lstrip("\n") for _ in range(12))
    put(tmp_path, "log.csv", f"epoch,loss\n{rows}")
    runs = runs_in(tmp_path)
    assert [run.name for run in runs] == sorted(f"log.csv #{n}" for n in range(1, 13))
    assert all(points(run, "loss") == expected([0, 1, 2, 3, 4, 5]) for run in runs)
    assert all(run.scalars["live"].all() for run in runs)


def test_a_header_that_is_written_again_is_no_row(tmp_path: Path) -> None:
    put(tmp_path, "log.csv", 2 * table("epoch,loss", "{i},{v}"))
    assert [len(run.scalars) for run in runs_in(tmp_path)] == [6, 6]
    assert all(run.problems == () for run in runs_in(tmp_path))


@pytest.mark.parametrize("axis", ["batch", "iter", "step"])
@pytest.mark.parametrize("first", [0, 10])
def test_steps_counted_anew_in_each_epoch_go_on(tmp_path: Path, axis: str, first: int) -> None:
    rows = "".join(f"{i // 3},{first + 10 * (i % 3)},{v}\n" for i, v in enumerate(LOSSES))
    put(tmp_path, "log.csv", f"epoch,{axis},loss\n{rows}")
    run = the_run(tmp_path)
    assert points(run, "loss") == expected([first + 10 * i for i in range(6)])
    assert run.scalars["live"].all()


def test_an_accuracy_in_percent_and_one_in_shares_are_kept_as_written(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", table("epoch,loss,acc", "{i},{v},{i}2.5"))
    put(tmp_path, "b.csv", table("epoch,loss,acc", "{i},1.{i},0.{i}25"))
    percent, share = runs_in(tmp_path)
    assert [v for _, v in points(percent, "acc")] == [2.5, 12.5, 22.5, 32.5, 42.5, 52.5]
    assert [v for _, v in points(share, "acc")] == [0.025, 0.125, 0.225, 0.325, 0.425, 0.525]


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n\n", "\r\r\n"])
def test_any_end_of_line_is_read(tmp_path: Path, end: str) -> None:
    put(tmp_path, "log.csv", table("epoch,loss", "{i},{v}").replace("\n", end))
    assert points(the_run(tmp_path), "loss") == expected([0, 1, 2, 3, 4, 5])


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"], ids=["little", "big"])
def test_utf_16_of_either_order_is_read(tmp_path: Path, mark: bytes) -> None:
    text = table("epoch;loss", "{i};{v}").encode("utf-16-le" if mark == b"\xff\xfe" else "utf-16-be")
    put(tmp_path, "log.csv", mark + text)
    assert points(the_run(tmp_path), "loss") == expected([0, 1, 2, 3, 4, 5])


def test_a_half_written_last_line_of_a_live_table_costs_that_line_only(tmp_path: Path) -> None:
    put(tmp_path, "log.csv", table("epoch,loss,val_loss", "{i},{v},{v}") + "6,1.2")
    run = the_run(tmp_path)
    assert points(run, "val_loss") == expected([0, 1, 2, 3, 4, 5])


def test_a_line_without_separators_among_the_first_does_not_hide_the_separator(tmp_path: Path) -> None:
    lines = table("epoch;loss", "{i};{v}").splitlines()
    put(tmp_path, "log.csv", "\n".join([*lines, "interrupted", *(f"{i};1.2" for i in range(6, 12))]))
    run = the_run(tmp_path)
    assert len(run.scalars) == 12
    assert "interrupted" in run.problems[0].why


def test_a_column_of_junk_with_a_few_numbers_is_named(tmp_path: Path) -> None:
    put(
        tmp_path,
        "log.csv",
        "epoch,loss,val_loss\n" + "".join(f"{i},{i}.5,{'x' if i else 1}\n" for i in range(9)),
    )
    run = the_run(tmp_path)
    assert set(run.scalars["tag"]) == {"loss"}
    assert "'val_loss' are no numbers; the column is left out" in run.problems[0].what


# JSON and text


def test_the_first_line_of_openmmlab_is_about_the_machine(tmp_path: Path) -> None:
    lines = [json.dumps({"env_info": "sys.platform: linux", "seed": 0})]
    lines += [
        json.dumps({"mode": "train", "epoch": 1, "iter": 50 * i, "loss": v}) for i, v in enumerate(LOSSES)
    ]
    put(tmp_path, "20210101.log.json", "\n".join(lines))
    assert points(the_run(tmp_path), "loss") == expected([0, 50, 100, 150, 200, 250])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metrics.jsonl", "\n".join(json.dumps({"step": i, "loss": v}) for i, v in enumerate(LOSSES))),
        ("history.json", json.dumps({"loss": LOSSES})),
        (
            "trainer_state.json",
            json.dumps({"log_history": [{"step": i, "loss": v} for i, v in enumerate(LOSSES)]}),
        ),
        ("log", json.dumps([{"step": i, "loss": v} for i, v in enumerate(LOSSES)])),
        ("train.log", "\n".join(f"step {i}: loss {v}" for i, v in enumerate(LOSSES))),
    ],
)
def test_text_that_windows_marked_is_read_in_every_format(
    tmp_path: Path, name: str, text: str, encoding: str
) -> None:
    put(tmp_path, name, text.encode(encoding))
    run = the_run(tmp_path)
    assert points(run, "loss") == expected([0, 1, 2, 3, 4, 5])
    assert run.problems == ()


def test_what_llm_c_and_nanogpt_print_is_read_with_its_validation(tmp_path: Path) -> None:
    c = "val loss 11.0\n" + "".join(
        f"step {i + 1:4}/6 | loss {v} (+nanz)| norm 1.5 (+nanz)| lr 8.57e-07 | 1000.0 ms\nval loss {v + 1}\n"
        for i, v in enumerate(LOSSES)
    )
    nano = "".join(
        f"step {i}: train loss {v}, val loss {v + 1}\niter {i}: loss {v}, time 12.30ms, mfu 3.20%\n"
        for i, v in enumerate(LOSSES)
    )
    put(tmp_path, "a/main.log", c)
    put(tmp_path, "b/train.log", nano)
    first, second = runs_in(tmp_path)
    assert points(first, "loss") == expected([1, 2, 3, 4, 5, 6])
    assert points(first, "val_loss") == expected([0, 1, 2, 3, 4, 5, 6], [11.0, *(v + 1 for v in LOSSES)])
    assert [v for _, v in points(first, "lr")] == [8.57e-07] * 6
    assert points(second, "val_loss") == expected([0, 1, 2, 3, 4, 5], [v + 1 for v in LOSSES])
    assert points(second, "loss") == points(second, "train_loss") == expected([0, 1, 2, 3, 4, 5])


def test_a_table_cut_within_a_quoted_number_keeps_no_part_of_it(tmp_path: Path) -> None:
    rows = [f'{i},"{v}"' for i, v in enumerate(LOSSES)]
    put(tmp_path, "history.csv", "\n".join(["epoch,loss", *rows, '6,"1']))
    run = the_run(tmp_path)
    assert points(run, "loss") == expected([0, 1, 2, 3, 4, 5])
    assert [problem.what for problem in run.problems] == ["cut within a cell"]


def test_numbers_under_no_name_are_named_and_pandas_index_is_not(tmp_path: Path) -> None:
    put(
        tmp_path,
        "a/history.csv",
        "epoch,acc,,val_loss\n" + "".join(f"{i},0.5,2.3,{v}\n" for i, v in enumerate(LOSSES)),
    )
    put(tmp_path, "b/history.csv", ",loss,\n" + "".join(f"{i},{v},\n" for i, v in enumerate(LOSSES)))
    first, second = runs_in(tmp_path)
    assert [(one.what, one.why) for one in first.problems] == [
        ("a column without a name", "column 3 holds numbers and is left out")
    ]
    assert second.problems == ()
    assert points(second, "loss") == expected([0, 1, 2, 3, 4, 5])


def test_keras_lists_of_unequal_length_are_named(tmp_path: Path) -> None:
    put(tmp_path, "history.json", json.dumps({"loss": LOSSES, "val_loss": LOSSES[:3]}))
    run = the_run(tmp_path)
    assert points(run, "val_loss") == expected([0, 1, 2], LOSSES[:3])
    assert [one.why for one in run.problems] == ["of 6 epochs, taken for the first ones: 'val_loss' 3"]


def test_a_keras_history_whose_numbers_stand_in_quotes_is_read(tmp_path: Path) -> None:
    put(tmp_path, "history.json", json.dumps({"loss": [str(v) for v in LOSSES]}))
    assert points(the_run(tmp_path), "loss") == expected([0, 1, 2, 3, 4, 5])


def test_what_is_no_number_or_record_in_json_is_named(tmp_path: Path) -> None:
    put(tmp_path, "a/history.json", json.dumps({"loss": [*LOSSES, "oops"]}))
    put(tmp_path, "b/log", json.dumps([*({"epoch": i, "loss": v} for i, v in enumerate(LOSSES)), 7]))
    put(tmp_path, "c/trainer_state.json", json.dumps({"log_history": [{"step": 1, "loss": 2.0}, None]}))
    for run in runs_in(tmp_path):
        assert len(run.problems) == 1, run.name


def test_damaged_lines_by_the_hundred_are_summed_up(tmp_path: Path) -> None:
    put(tmp_path, "metrics.jsonl", '{"epoch": 1, "loss": 2}\n' + '{"epoch"\n' * 500)
    problems = the_run(tmp_path).problems
    assert len(problems) == 21
    assert problems[-1].what == "480 more like these"


def test_a_byte_missing_in_utf_16_is_named(tmp_path: Path) -> None:
    text = table("epoch;loss", "{i};{v}").encode("utf-16")
    put(tmp_path, "log.csv", text[:61] + text[62:])
    assert any("UTF-16" in problem.what for problem in the_run(tmp_path).problems)


# MLflow


def a_store(folder: Path) -> Path:
    points_of = "".join(f"169140974776{i} {v} {i}\n" for i, v in enumerate(LOSSES))
    put(folder, "mlruns/0/abc/metrics/val_loss", points_of)
    put(folder, "mlruns/0/abc/metrics/train/loss", points_of)
    put(folder, "mlruns/0/abc/params/lr", "0.001")
    return folder / "mlruns"


@pytest.mark.parametrize("below", ["", "0", "0/abc", "0/abc/metrics", "0/abc/metrics/train"])
def test_an_mlflow_store_is_read_from_any_of_its_folders(tmp_path: Path, below: str) -> None:
    run = the_run(a_store(tmp_path) / below)
    assert points(run, "train/loss") == expected([0, 1, 2, 3, 4, 5])


def test_one_metric_of_an_mlflow_store_may_be_named_alone(tmp_path: Path) -> None:
    run = the_run(a_store(tmp_path) / "0/abc/metrics/val_loss")
    assert (run.name, run.source) == ("abc", str(tmp_path / "mlruns/0/abc"))
    assert points(run, "val_loss") == expected([0, 1, 2, 3, 4, 5])


def test_a_store_below_a_folder_called_metrics_keeps_its_settings(tmp_path: Path) -> None:
    a_store(tmp_path / "metrics")
    assert the_run(tmp_path).settings == {"lr": 0.001}

"""Tables: any separator, encoding and order of columns; restarts; and what is no training log."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plateau_doctor.readers import read
from plateau_doctor.run import Problem, Run

LOSSES = [2.3, 1.9, 1.6, 1.4, 1.3, 1.25]


def runs_of(folder: Path, text: str | bytes, name: str = "history.csv") -> list[Run]:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return [one for one in read(folder) if isinstance(one, Run)]


def the_run(folder: Path, text: str | bytes, name: str = "history.csv") -> Run:
    (run,) = runs_of(folder, text, name)
    return run


def problems_of(folder: Path) -> list[Problem]:
    return [one for one in read(folder) if isinstance(one, Problem)]


def values(run: Run, tag: str) -> list[float]:
    return [float(v) for v in run.scalars[run.scalars["tag"] == tag]["value"]]


def table(separator: str = ",", header: str = "epoch,loss,val_loss") -> str:
    rows = [header, *(f"{i},{v},{v + 0.1:.2f}" for i, v in enumerate(LOSSES))]
    return "\n".join(rows).replace(",", separator) + "\n"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", ",    ", "   "])
def test_any_separator_is_read(tmp_path: Path, separator: str) -> None:
    run = the_run(tmp_path, table(separator))
    assert values(run, "loss") == LOSSES
    assert run.scalars["role"].dropna().unique().tolist() == ["train_loss", "val_loss"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030", "latin-1"])
def test_any_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    extra = {"gb18030": "备注", "latin-1": "précision"}.get(encoding, "naïve 损失")
    rows = [f"epoch,loss,{extra}", *(f"{i},{v},{i}" for i, v in enumerate(LOSSES))]
    run = the_run(tmp_path, "\n".join(rows).encode(encoding))
    assert values(run, "loss") == LOSSES
    assert encoding == "latin-1" or extra in set(run.scalars["tag"])


def test_a_table_without_an_epoch_column_counts_its_rows(tmp_path: Path) -> None:
    run = the_run(tmp_path, "loss,val_loss\n" + "\n".join(f"{v},{v}" for v in LOSSES))
    assert run.scalars["step"].tolist()[:3] == [0, 1, 2]
    assert run.scalars["epoch"].tolist()[:3] == [0, 1, 2]


def test_pandas_unnamed_index_is_no_series(tmp_path: Path) -> None:
    run = the_run(tmp_path, table(header=",loss,val_loss"))
    assert set(run.scalars["tag"]) == {"loss", "val_loss"}


def test_lightnings_interleaved_blanks_are_not_values(tmp_path: Path) -> None:
    text = "epoch,step,train_loss,val_loss\n0,49,1.5,\n0,99,1.2,\n0,99,,1.1\n1,149,1.0,\n1,199,0.9,\n1,199,,0.95\n"
    run = the_run(tmp_path, text, "metrics.csv")
    assert values(run, "train_loss") == [1.5, 1.2, 1.0, 0.9]
    assert values(run, "val_loss") == [1.1, 0.95]
    assert run.scalars[run.scalars["tag"] == "val_loss"]["epoch"].tolist() == [0, 1]


def test_ultralytics_padding_and_trailing_blank_header_are_read(tmp_path: Path) -> None:
    header = (
        "                  epoch,         train/box_loss,           val/box_loss,                 lr/pg0,    "
    )
    rows = [
        f"                 {i},                {v},             {v},             0.01,   "
        for i, v in enumerate(LOSSES)
    ]
    run = the_run(tmp_path, "\n".join([header, *rows]), "results.csv")
    assert values(run, "train/box_loss") == LOSSES
    assert set(run.scalars["role"].dropna()) == {"train_loss", "val_loss", "learning_rate"}


def test_a_logged_nan_is_a_value_and_a_blank_is_none(tmp_path: Path) -> None:
    run = the_run(tmp_path, "epoch,loss\n0,2.3\n1,nan\n2,\n3,inf\n4,1.0\n")
    found = values(run, "loss")
    assert len(found) == 4
    assert math.isnan(found[1])
    assert math.isinf(found[2])


def test_a_cell_that_is_no_number_is_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    run = the_run(tmp_path, table().replace("1.6", "oops"))
    assert values(run, "loss") == [v for v in LOSSES if v != 1.6]
    assert any("oops" in problem.why for problem in run.problems)


def test_percent_signs_and_decimal_commas_are_read(tmp_path: Path) -> None:
    text = "epoch;loss;accuracy\n" + "\n".join(
        f"{i};{str(v).replace('.', ',')};{50 + i}%" for i, v in enumerate(LOSSES)
    )
    run = the_run(tmp_path, text)
    assert values(run, "loss") == LOSSES
    assert values(run, "accuracy") == [50 + i for i in range(6)]


def test_a_second_training_in_one_file_is_a_run_of_its_own(tmp_path: Path) -> None:
    runs = runs_of(tmp_path, table() + "".join(table().splitlines(keepends=True)[1:]))
    assert [run.name for run in runs] == ["history.csv #1", "history.csv #2"]
    assert all(values(run, "loss") == LOSSES and run.scalars["live"].all() for run in runs)


def test_a_resumed_training_is_one_run_whose_rewritten_rows_are_not_live(tmp_path: Path) -> None:
    text = "epoch,loss\n0,2.3\n1,2.0\n2,1.8\n3,1.7\n2,1.65\n3,1.6\n4,1.5\n"
    run = the_run(tmp_path, text)
    assert run.scalars["segment"].tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert run.scalars["live"].tolist() == [True, True, False, False, True, True, True]


def test_one_late_row_is_no_restart(tmp_path: Path) -> None:
    run = the_run(tmp_path, "step,loss\n0,2.3\n10,2.0\n30,1.7\n20,1.8\n40,1.6\n50,1.5\n")
    assert run.scalars["segment"].max() == 0


def test_the_runs_of_a_wandb_export_are_apart(tmp_path: Path) -> None:
    text = '"Step","a - loss","a - loss__MIN","a - loss__MAX","b - loss","b - loss__MIN","b - loss__MAX"\n'
    text += "".join(f"{i},{v},{v},{v},{v + 1},{v},{v}\n" for i, v in enumerate(LOSSES))
    runs = runs_of(tmp_path, text)
    assert [run.name for run in runs] == ["history.csv a", "history.csv b"]
    assert values(runs[1], "loss") == pytest.approx([v + 1 for v in LOSSES])


def test_a_tensorboard_export_takes_its_tag_from_the_files_name(tmp_path: Path) -> None:
    text = "Wall time,Step,Value\n" + "\n".join(f"16000{i},{i},{v}" for i, v in enumerate(LOSSES))
    run = the_run(tmp_path, text, "run-train-tag-epoch_loss.csv")
    assert set(run.scalars["tag"]) == {"train/epoch_loss"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('#{"t_start": 1.0, "env_id": "Acrobot-v1"}\nr,l,t\n-71.0,72,2.6\n-85,86,2.7\n', "monitor"),
        ("height,weight,age\n1.8,80,30\n1.7,70,40\n", "no loss or metric"),
        ("name,city\nAda,London\nKurt,Vienna\n", "no known format"),
    ],
)
def test_a_table_that_is_no_training_log_is_named(tmp_path: Path, text: str, word: str) -> None:
    assert runs_of(tmp_path, text) == []
    (problem,) = problems_of(tmp_path)
    assert word in problem.why


def test_a_table_of_twenty_thousand_columns_is_refused_by_a_word(tmp_path: Path) -> None:
    names = ",".join(f"loss{i}" for i in range(20_001))
    assert runs_of(tmp_path, f"{names}\n{','.join('1' * 20_001)}\n{','.join('2' * 20_001)}\n") == []
    assert "columns" in problems_of(tmp_path)[0].why


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=3, max_size=40))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, losses: list[float]) -> None:
    folder = tmp_path_factory.mktemp("table")
    run = the_run(folder, "epoch,loss\n" + "\n".join(f"{i},{v!r}" for i, v in enumerate(losses)) + "\n")
    assert np.array_equal(values(run, "loss"), losses)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("header", ["epoch,loss", "epoch,loss,step"])
def test_steps_that_are_infinite_are_read_without_a_warning(tmp_path: Path, header: str) -> None:
    rows = [
        f"{epoch},{loss}" + ",inf" * header.count("step")
        for epoch, loss in (("inf", 3), ("inf", 2), ("inf", 1))
    ]
    path = tmp_path / "history.csv"
    path.write_text("\n".join([header, *rows]))
    (run,) = read(path)
    assert isinstance(run, Run)
    assert run.scalars["value"].tolist() == [3, 2, 1]

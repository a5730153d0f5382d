"""What trainers write as data is read again: each value, step and name, as the tool itself would have written it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making_rows import (
    AXES,
    FLOATS,
    NAMES,
    NUMBERS,
    Curve,
    Rows,
    as_float,
    curves_of,
    expected,
    logged,
    quickly,
    read_again,
)

from plateau_doctor.readers.axes import BLANK


@quickly
@given(rows=logged(NAMES, NUMBERS), ascii_only=st.booleans())
def test_json_lines(tmp_path: Path, rows: Rows, ascii_only: bool) -> None:
    """As detectron2 and mmengine dump them."""
    lines = [json.dumps({"iteration": step, **values}, ensure_ascii=ascii_only) for step, values in rows]
    run = read_again(tmp_path, {"metrics.json": "".join(f"{line}\n" for line in lines)})
    assert curves_of(run) == expected(rows, as_float)


@quickly
@given(rows=logged(NAMES, NUMBERS, main="main/loss"), seconds=st.floats(0, 1e6))
def test_chainers_log_report(tmp_path: Path, rows: Rows, seconds: float) -> None:
    report = [{**values, "epoch": 1, "iteration": step, "elapsed_time": seconds} for step, values in rows]
    run = read_again(tmp_path, {"log": json.dumps(report, indent=4)})
    found = curves_of(run)
    assert len(found.pop("elapsed_time")) == len(rows)
    assert found == expected(
        [(s, {k: v for k, v in own.items() if k != "elapsed_time"}) for s, own in rows], as_float
    )


@quickly
@given(rows=logged(NAMES, NUMBERS), summary=FLOATS)
def test_a_trainer_state(tmp_path: Path, rows: Rows, summary: float) -> None:
    """As transformers' TrainerState saves itself, an evaluation beside each logging step."""
    history: list[dict[str, float]] = []
    for step, values in rows:
        history.append({"epoch": step / 7, **values, "step": step})
        history.append({"epoch": step / 7, "eval_loss": 1.5, "eval_runtime": 3.25, "step": step})
    history.append({"epoch": 3.0, "step": rows[-1][0], "train_loss": summary, "train_runtime": 9.5})
    state = {
        "best_metric": None,
        "global_step": rows[-1][0],
        "is_world_process_zero": True,
        "log_history": history,
    }
    run = read_again(tmp_path, {"trainer_state.json": json.dumps(state, indent=2, sort_keys=True) + "\n"})
    found = curves_of(run)
    assert found.pop("eval_loss") == [(step, "1.5") for step, _ in rows]
    assert found == expected(rows, as_float)
    assert repr(run.settings["final/train_loss"]) == repr(summary)
    epochs = dict(zip(run.scalars["step"], run.scalars["epoch"], strict=True))
    assert epochs == {step: step / 7 for step, _ in rows}


@quickly
@given(columns=st.dictionaries(NAMES, st.just(None), max_size=3), epochs=st.integers(1, 12), data=st.data())
def test_a_keras_history(
    tmp_path: Path, columns: Mapping[str, None], epochs: int, data: st.DataObject
) -> None:
    """As `json.dump(history.history, file)` leaves it, and as pandas keeps rows by number."""
    lists = {
        name: data.draw(st.lists(NUMBERS, min_size=epochs, max_size=epochs)) for name in ("loss", *columns)
    }
    by_row = data.draw(st.booleans())
    table = {name: dict(enumerate(values)) if by_row else values for name, values in lists.items()}
    run = read_again(tmp_path, {"history.json": json.dumps(table)})
    rows = [(epoch, {name: values[epoch] for name, values in lists.items()}) for epoch in range(epochs)]
    assert curves_of(run) == expected(rows, as_float)


METRICS = st.text(st.sampled_from("ab_-. :é7"), min_size=1, max_size=9).filter(
    lambda name: name.strip(" .") == name
)


@quickly
@given(
    rows=logged(METRICS | METRICS.map("val/{}".format), FLOATS, "train/loss"),
    parameter=st.floats(allow_nan=False)
    | st.text("abc =é", min_size=1).filter(lambda text: text == text.strip()),
    named=st.booleans(),
)
def test_an_mlflow_store(tmp_path: Path, rows: Rows, parameter: float | str, named: bool) -> None:
    """As mlflow's FileStore appends to a file a metric; newer ones name the data set behind the step."""
    behind = " train 1a2b3c" if named else ""
    files: dict[str, str] = {
        "params/lr": str(parameter),
        "tags/mlflow.runName": "a run",
        "meta.yaml": "name: a run\n",
    }
    for name, curve in expected(rows).items():
        lines = [
            f"{1691409747760 + i} {value} {int(step)}{behind}\n" for i, (step, value) in enumerate(curve)
        ]
        files[f"metrics/{name}"] = "".join(lines)
    run = read_again(tmp_path, {f"7f/{name}": content for name, content in files.items()})
    assert curves_of(run) == expected(rows)
    assert run.settings == {"lr": parameter}
    assert run.scalars["wall_time"].between(1691409747, 1691409748).all()


HEADS = st.text(
    st.characters(categories=["L", "N", "P", "S"], exclude_characters='",;|'), min_size=1, max_size=9
)


def nearly(found: Mapping[str, Curve], wanted: Mapping[str, Curve]) -> None:
    """Assert that curves are the same but for the last bit of a value, which pandas may round otherwise."""
    assert list(found) == list(wanted)
    for tag, curve in wanted.items():
        assert [step for step, _ in found[tag]] == [step for step, _ in curve]
        values = [float(value) for _, value in found[tag]]
        assert values == pytest.approx(
            [float(value) for _, value in curve], rel=5e-16, abs=1e-322, nan_ok=True
        )


@quickly
@given(
    rows=logged(
        HEADS.filter(lambda name: name.lower() not in AXES), FLOATS.filter(lambda value: value != BLANK)
    ),
    separator=st.sampled_from(",;\t"),
    blank=st.sampled_from(["", "NA"]),
)
def test_a_table(tmp_path: Path, rows: Rows, separator: str, blank: str) -> None:
    """As Lightning (a blank cell) and Keras (NA) write what a row lacks."""
    names = list(dict.fromkeys(name for _, own in rows for name in own))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator)
    writer.writerow(["step", *names])
    writer.writerows(
        [[step, *(repr(own[name]) if name in own else blank for name in names)] for step, own in rows]
    )
    run = read_again(tmp_path, {"metrics.csv": text.getvalue()})
    nearly(curves_of(run), expected(rows))

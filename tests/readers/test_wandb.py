from __future__ import annotations

import math
from pathlib import Path

import pytest
from making_wandb import HEADER, config, file_of, history

from plateau_doctor.readers import read
from plateau_doctor.run import Problem, Run

NAME = "wandb/offline-run-20240101_000000-abc/run-abc.wandb"
LOSSES = [2.3, 1.9, 1.6, 1.4, 1.3, 1.25]
ROWS = [
    history({"loss": v, "epoch": i, "_timestamp": 1000.5 + i, "_runtime": i}, i) for i, v in enumerate(LOSSES)
]


def put(folder: Path, content: bytes) -> Path:
    path = folder / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return folder


def the_run(folder: Path) -> Run:
    (run,) = read(folder)
    assert isinstance(run, Run)
    return run


def values(run: Run, tag: str) -> list[float]:
    return [float(v) for v in run.scalars[run.scalars["tag"] == tag]["value"]]


def test_curves_axes_and_times_are_read(tmp_path: Path) -> None:
    run = the_run(put(tmp_path, file_of(ROWS)))
    assert (run.name, run.format, run.problems) == (NAME, "wandb", ())
    assert set(run.scalars["tag"]) == {"loss"}
    assert values(run, "loss") == LOSSES
    assert run.scalars["step"].tolist() == [0, 1, 2, 3, 4, 5]
    assert run.scalars["epoch"].tolist() == [0, 1, 2, 3, 4, 5]
    assert run.scalars["wall_time"].tolist() == [1000.5 + i for i in range(6)]


def test_a_step_may_stand_among_the_values(tmp_path: Path) -> None:
    rows = [history({"loss": v, "_step": 10 * i}) for i, v in enumerate(LOSSES)]
    assert the_run(put(tmp_path, file_of(rows))).scalars["step"].tolist() == [0, 10, 20, 30, 40, 50]


def test_the_configuration_becomes_settings(tmp_path: Path) -> None:
    first = config({"lr": 0.1, "model": {"depth": 3}, "_wandb": {"cli_version": "0.17"}}, inside_run=True)
    later = config({"lr": 0.01, "optimizer": "adam", "amp": True, "layers": [1, 2]})
    run = the_run(put(tmp_path, file_of([first, later, *ROWS])))
    assert run.settings == {"lr": 0.01, "model.depth": 3, "optimizer": "adam", "amp": True}


def test_the_histograms_of_watch_are_gradients_of_their_layers(tmp_path: Path) -> None:
    held = {"_type": "histogram", "values": [1, 3, 1], "bins": [-1.5, -0.5, 0.5, 1.5]}
    rows = [history({"loss": v, "gradients/fc1.weight": held}, i) for i, v in enumerate(LOSSES)]
    run = the_run(put(tmp_path, file_of(rows)))
    assert len(run.histograms) == 6
    assert set(run.histograms["kind"]) == {"gradient"}
    assert set(run.histograms["layer"]) == {"fc1.weight"}
    assert run.histograms["step"].tolist() == [0, 1, 2, 3, 4, 5]
    assert run.histograms["count"].tolist() == [5] * 6
    assert set(run.scalars["tag"]) == {"loss"}


def test_a_histogram_that_was_taken_apart_into_paths_of_names_is_put_together(tmp_path: Path) -> None:
    """As wandb 0.31 writes it."""
    held = {"_type": "histogram", "values": [1, 5, 2], "bins": [-1.5, -0.5, 0.5, 1.5]}
    apart = {f"gradients/fc1_weight.{key}": value for key, value in held.items()}
    rows = [history({"loss": v, **apart, "val.acc": i}, i) for i, v in enumerate(LOSSES)]
    run = the_run(put(tmp_path, file_of(rows)))
    assert run.histograms["count"].tolist() == [8] * 6
    assert set(run.histograms["layer"]) == {"fc1_weight"}
    assert set(run.scalars["tag"]) == {"loss", "val.acc"}


def test_names_nested_without_end_stop_nothing(tmp_path: Path) -> None:
    rows = [history({"loss": v, ".".join("a" * 5_000): i}, i) for i, v in enumerate(LOSSES)]
    assert values(the_run(put(tmp_path, file_of(rows))), "loss") == LOSSES


def test_what_the_writer_notes_for_itself_is_no_log_and_not_spoken_of(tmp_path: Path) -> None:
    put(tmp_path, file_of(ROWS))
    diary = (tmp_path / NAME).parent / "logs" / "debug-core.log"
    diary.parent.mkdir()
    diary.write_text('{"time": "2024", "pid": 7, "ppid": 8}\n' * 5)
    assert the_run(tmp_path).problems == ()
    (problem,) = read(diary)
    assert "notes for itself" in problem.why


def test_nested_names_nan_and_pictures(tmp_path: Path) -> None:
    picture = {"_type": "image-file", "width": 8, "height": 8}
    rows = [history({"val.loss": v if i else "NaN", "examples": picture}, i) for i, v in enumerate(LOSSES)]
    run = the_run(put(tmp_path, file_of(rows)))
    found = values(run, "val.loss")
    assert math.isnan(found[0])
    assert found[1:] == LOSSES[1:]
    assert set(run.scalars["tag"]) == {"val.loss"}


@pytest.mark.parametrize("size", [32_739, 32_740, 32_741, 32_747, 32_748, 32_760, 100_000, 300_000])
def test_records_over_several_blocks_and_at_their_ends_come_whole(tmp_path: Path, size: int) -> None:
    run = the_run(put(tmp_path, file_of([history({"note": "x" * size}, 0), *ROWS])))
    assert values(run, "loss") == LOSSES
    assert run.problems == ()


def test_a_flipped_bit_costs_one_row_and_is_named_with_its_place(tmp_path: Path) -> None:
    data = bytearray(file_of(ROWS))
    start, size = len(file_of(ROWS[:2])), len(file_of(ROWS[2:3])) - len(HEADER)
    data[start + 20] ^= 1
    run = the_run(put(tmp_path, bytes(data)))
    assert values(run, "loss") == [*LOSSES[:2], *LOSSES[3:]]
    assert [(p.offset, p.length) for p in run.problems] == [(start, size)]


def test_a_file_that_ends_in_the_middle_of_a_record_keeps_the_rest(tmp_path: Path) -> None:
    run = the_run(put(tmp_path, file_of(ROWS)[:-5]))
    assert values(run, "loss") == LOSSES[:-1]
    assert "cut" in run.problems[0].why


def test_a_long_record_whose_middle_is_damaged_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    data = bytearray(file_of([*ROWS[:3], history({"note": "x" * 100_000}, 2), *ROWS[3:]]))
    data[50_000] ^= 1
    run = the_run(put(tmp_path, bytes(data)))
    assert values(run, "loss") == LOSSES
    assert run.problems


@pytest.mark.parametrize(
    "content",
    [HEADER, HEADER + bytes(100_000), HEADER[:4], file_of([config({"lr": 1})]), HEADER + b"\x01" * 70_000],
)
def test_a_file_without_a_row_is_named(tmp_path: Path, content: bytes) -> None:
    found = list(read(put(tmp_path, content)))
    assert found
    assert all(isinstance(one, Problem) for one in found)


@pytest.mark.parametrize("number", [10**400, -(10**400), 2**63])
def test_numbers_beyond_all_bounds_stop_nothing(tmp_path: Path, number: int) -> None:
    held = {"_type": "histogram", "values": [number], "bins": [0, number]}
    rows = [history({"loss": v, "x": number, "w": held}, i) for i, v in enumerate(LOSSES)]
    run = the_run(
        put(tmp_path, file_of([config({"lr": number}), *rows, history({"_step": number, "loss": 1})]))
    )
    assert len(values(run, "loss")) == 7

"""Files that mean harm: each is read or named in time and memory that its size bounds, and nothing is raised."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import socket
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from making_events import HISTOGRAMS, SCALARS, VERSION, curve, of_tensor, record, scalar
from making_events import write as write_events
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from plateau_doctor.readers import read, survey
from plateau_doctor.run import Problem, Run

EVENTS = "events.out.tfevents.1"
TABLE = "epoch,loss\n" + "".join(f"{i},{2.3 - 0.1 * i:.1f}\n" for i in range(9))
SECONDS = 20.0  # of CPU; each takes well under two, a quadratic walk takes minutes
TIMES = 400  # bytes of memory for each byte of the file, beyond a floor
FLOOR = 30 << 20


def found_in(path: Path) -> tuple[list[Run], list[Problem]]:
    """Read a path, and hold the reader to its time."""
    began = time.process_time()
    found = list(read(path))
    assert time.process_time() - began < SECONDS
    return [f for f in found if isinstance(f, Run)], [f for f in found if isinstance(f, Problem)]


@pytest.fixture
def bounded(tmp_path: Path) -> Iterator[None]:
    """Hold a test to memory that the size of its files bounds."""
    tracemalloc.start()
    yield
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file())
    assert most < FLOOR + TIMES * size


def named(path: Path) -> str:
    """Return the one thing that is told of a path that holds no run."""
    runs, problems = found_in(path)
    assert not runs
    assert problems
    return f"{problems[0].what}: {problems[0].why}"


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# sizes that lie


def tensor_that_claims(rows: int, metadata: object = SCALARS) -> Event:
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=rows), TensorShapeProto.Dim(size=3)])
    return of_tensor("x", TensorProto(dtype=1, tensor_shape=shape, float_val=[1.0]), metadata)


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("metadata", [SCALARS, HISTOGRAMS], ids=["scalars", "histograms"])
def test_tensors_that_claim_a_million_values_and_hold_one_take_no_memory(tmp_path: Path, metadata) -> None:
    held = [tensor_that_claims(300_000, metadata)] * 300
    write_events(tmp_path / EVENTS, [*held, *curve("loss", range(5))])
    (run,), _ = found_in(tmp_path)
    assert len(run.scalars) == 5
    assert not len(run.histograms)


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, 1 << 40, (1 << 31) - 1])
def test_a_record_whose_sound_head_claims_too_much_is_passed_over(tmp_path: Path, length: int) -> None:
    lie = length.to_bytes(8, "little")
    lie += masked_crc32c(lie).to_bytes(4, "little")
    frames = [record(e.SerializeToString()) for e in [VERSION, *curve("loss", range(9))]]
    put(tmp_path, EVENTS, b"".join([*frames[:5], lie, *frames[5:]]))
    (run,), _ = found_in(tmp_path)
    assert len(run.scalars) == 9
    assert [(p.offset, p.length) for p in run.problems] == [(sum(map(len, frames[:5])), len(lie))]


def test_a_field_of_a_record_that_claims_too_much_is_named(tmp_path: Path) -> None:
    bad = record(b"\x09" + bytes(8) + b"\x2a" + b"\xff" * 9 + b"\x01")
    whole = write_events(tmp_path / EVENTS, curve("loss", range(9))).read_bytes()
    put(tmp_path, EVENTS, whole + bad)
    (run,), _ = found_in(tmp_path)
    assert len(run.scalars) == 9
    assert [(p.offset, p.length) for p in run.problems] == [(len(whole), len(bad))]


def test_tags_of_a_megabyte_are_kept(tmp_path: Path) -> None:
    write_events(tmp_path / EVENTS, [scalar("x" * (1 << 20), 1, 1.0), *curve("loss", range(5))])
    (run,), _ = found_in(tmp_path)
    assert sorted(map(len, set(run.scalars["tag"]))) == [4, 1 << 20]


@pytest.mark.parametrize(
    "histogram",
    [
        HistogramProto(min=0, max=1, num=3, sum=1, sum_squares=1, bucket_limit=[0, 1], bucket=[-1, -2]),
        HistogramProto(min=0, max=1, num=3, sum=1, sum_squares=1, bucket_limit=[0, 1], bucket=[np.nan, 0]),
        HistogramProto(min=0, max=1, num=3, sum=1, sum_squares=1, bucket_limit=[0, 1], bucket=[np.inf, 1]),
        HistogramProto(min=0, max=1, num=1, sum=1e300, sum_squares=1, bucket_limit=[0, 1], bucket=[0, 1]),
        HistogramProto(min=5, max=-5, num=1, sum=1, sum_squares=-1, bucket_limit=[1, 0], bucket=[1, 1]),
        HistogramProto(min=np.nan, max=np.nan, num=1, bucket_limit=[np.nan, np.inf], bucket=[1, 1]),
    ],
    ids="negative nan infinite overflowing crossed unordered".split(),
)
def test_histograms_that_cannot_be_stop_nothing(tmp_path: Path, histogram: HistogramProto) -> None:
    event = Event(wall_time=1.0, summary=Summary(value=[Summary.Value(tag="w", histo=histogram)]))
    write_events(tmp_path / EVENTS, [event, *curve("loss", range(5))])
    (run,), _ = found_in(tmp_path)
    assert len(run.scalars) == 5


# tables


@pytest.mark.usefixtures("bounded")
def test_many_columns_over_many_short_rows_take_no_memory(tmp_path: Path) -> None:
    header = ",".join(f"loss{i}" for i in range(15_000))
    put(tmp_path, "history.csv", f"{header}\n" + "1,2\n" * 10_000)
    assert "columns" in named(tmp_path)


def test_a_million_columns_are_named(tmp_path: Path) -> None:
    put(tmp_path, "history.csv", ",".join(["x"] * 1_000_000) + "\n" + "1,2\n" * 3)
    assert "columns" in named(tmp_path)


def test_a_cell_of_a_megabyte_is_named_and_the_rows_around_it_are_kept(tmp_path: Path) -> None:
    lines = TABLE.splitlines()
    put(tmp_path, "history.csv", "\n".join([*lines[:4], "3," + "9x" * 500_000, *lines[5:]]))
    (run,), _ = found_in(tmp_path)
    assert len(run.scalars) == 8
    assert len(run.problems) == 1
    assert len(run.problems[0].why) < 500


@pytest.mark.parametrize("quote", ['"', '"3', '3"'])
def test_a_quote_that_is_never_closed_swallows_no_row(tmp_path: Path, quote: str) -> None:
    put(tmp_path, "history.csv", TABLE.replace("3,2.0", f"{quote},2.0"))
    (run,), _ = found_in(tmp_path)
    assert set(run.scalars["value"]) >= {2.3, 2.2, 2.1, 1.9, 1.8, 1.5}


def test_a_table_that_starts_again_at_every_other_row_is_linear(tmp_path: Path) -> None:
    put(tmp_path, "history.csv", "epoch,loss\n" + "5,2.0\n1,2.0\n" * 20_000)
    runs, _ = found_in(tmp_path)
    assert sum(len(run.scalars) for run in runs) == 40_000


def test_a_column_with_the_axis_name_of_an_export_is_read(tmp_path: Path) -> None:
    put(
        tmp_path,
        "export.csv",
        '"Step","a - Step","a - loss"\n' + "".join(f"{i},{i},{i}.5\n" for i in range(5)),
    )
    put(tmp_path, "Step.csv", "Wall time,Step,Value\n" + "".join(f"160{i},{i},{i}.5\n" for i in range(5)))
    runs, _ = found_in(tmp_path)
    assert {run.name for run in runs} == {"export.csv a"}


# JSON

DEEP = {
    "deep.json": '{"loss": ' + "[" * 100_000,
    "whole.json": '{"loss": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "deep.jsonl": '{"epoch": 1, "loss": 2}\n' + '{"a": ' * 100_000 + "\n",
    "trainer_state.json": '{"log_history": ' + '{"a": ' * 100_000,
    "log": '[{"loss": 1.0}, ' + "[" * 100_000,
}


@pytest.mark.parametrize("name", DEEP)
def test_json_nested_100000_deep_is_named(tmp_path: Path, name: str) -> None:
    _, problems = found_in(put(tmp_path, name, DEEP[name]))
    runs, _ = found_in(tmp_path)
    assert problems or all(run.problems for run in runs)


@pytest.mark.usefixtures("bounded")
def test_a_name_of_its_own_in_each_line_takes_linear_memory(tmp_path: Path) -> None:
    lines = (json.dumps({"step": i, "loss": 1.5, f"x{i}": i}) for i in range(5_000))
    put(tmp_path, "metrics.jsonl", "\n".join(lines))
    (run,), _ = found_in(tmp_path)
    assert len(run.scalars) == 10_000


def test_many_short_columns_beside_a_long_one_take_linear_time(tmp_path: Path) -> None:
    history = {"loss": [1.5] * 20_000, **{f"m{i}": [1.5] for i in range(2_000)}}
    put(tmp_path, "history.json", json.dumps(history))
    (run,), _ = found_in(tmp_path)
    assert len(run.scalars) == 22_000


@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400, "1e400", "9" * 5000])
def test_numbers_beyond_all_bounds_are_read_or_named(tmp_path: Path, number: str) -> None:
    lines = [f'{{"epoch": {i}, "loss": {i}.5}}' for i in range(9)]
    lines[4] = f'{{"epoch": 4, "loss": {number}}}'
    put(tmp_path, "a/metrics.jsonl", "\n".join(lines))
    put(tmp_path, "b/history.csv", TABLE.replace("3,2.0", f"3,{number}"))
    put(tmp_path, "c/train.log", "\n".join(f"step {i}: train loss {number}" for i in range(9)))
    put(tmp_path, "d/metrics/loss", f"1691409747761 1.5 1\n1691409747762 1.5 {number}\n{number} 1 3\n")
    found = [*read(tmp_path)]
    files = {"metrics.jsonl", "history.csv", "train.log", "d"}
    assert {Path(one.source if isinstance(one, Run) else one.path).name for one in found} == files


def test_a_name_that_no_encoding_can_write_is_replaced(tmp_path: Path) -> None:
    put(tmp_path, "metrics.jsonl", "\n".join(f'{{"epoch": {i}, "loss\\ud800": {i}.5}}' for i in range(5)))
    (run,), _ = found_in(tmp_path)
    for tag in set(run.scalars["tag"]):
        assert tag.encode()


# compressed files


def bomb(name: str, path: Path) -> None:
    zeros = bytes(1 << 20)
    if name == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("history.csv", zeros)
    else:
        path.write_bytes(gzip.compress(zeros) if name == "gzip" else bz2.compress(zeros))


@pytest.mark.parametrize("kind", ["gzip", "zip", "bzip2"])
@pytest.mark.parametrize("name", ["history.csv", "metrics.jsonl", EVENTS, "history.csv.gz", EVENTS + ".gz"])
def test_a_compressed_file_is_named_and_never_unpacked(tmp_path: Path, kind: str, name: str) -> None:
    bomb(kind, tmp_path / name)
    assert "compressed" in named(tmp_path)
    assert "compressed" in named(tmp_path / name)


def test_compressed_files_that_no_log_is_called_like_are_not_spoken_of(tmp_path: Path) -> None:
    bomb("gzip", tmp_path / "weights.pt.gz")
    assert found_in(tmp_path) == ([], [])


# what lies in a folder


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is at most 107 bytes long
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


STRANGE = {"pipe": os.mkfifo, "socket": a_socket, "link to itself": a_link_to_itself}


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("name", ["history.csv", "metrics.jsonl", "train.log", EVENTS, "log"])
def test_what_is_no_file_is_named_and_never_waited_for(tmp_path: Path, kind: str, name: str) -> None:
    make: Callable[[Path], None] = STRANGE[kind]
    make(tmp_path / name)
    put(tmp_path, "run/history.csv", TABLE)
    (run,), problems = found_in(tmp_path)
    assert len(run.scalars) == 9
    assert [Path(problem.path).name for problem in problems] == [name]
    assert named(tmp_path / name)


def test_folders_linked_in_a_circle_give_each_run_once(tmp_path: Path) -> None:
    write_events(tmp_path / "a" / EVENTS, curve("loss", range(9)))
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "b").symlink_to(tmp_path / "a", target_is_directory=True)
    runs, problems = found_in(tmp_path)
    assert [run.name for run in runs] == ["a"]
    assert not problems


@pytest.mark.parametrize("name", ["two\nlines", "bell\a", " ", "[red]", "-rf", "\udcff\udcfe"], ids=ascii)
def test_names_of_files_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    put(tmp_path, f"{name}/{name}.csv", TABLE)
    put(tmp_path, f"{name}/run/metrics/{name}/loss", "1691409747761 1.5 1\n1691409747762 1.4 2\n")
    write_events(tmp_path / name / f"tb{name}" / f"{EVENTS}{name}", curve("loss", range(9)))
    runs, problems = found_in(tmp_path)
    assert sorted(run.format for run in runs) == ["csv", "mlflow", "tensorboard"]
    assert not problems


def test_a_file_or_folder_that_may_not_be_opened_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "run/history.csv", TABLE)
    put(tmp_path, "secret.csv", TABLE)
    opened = Path.open

    def refuse(path: Path, *rest: object, **more: object):
        if path.name == "secret.csv":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", refuse)
    (run,), (problem,) = found_in(tmp_path)
    assert run.name == "run/history.csv"
    assert (Path(problem.path).name, problem.why) == ("secret.csv", "Permission denied")


@pytest.mark.parametrize("name", ["history.csv", "metrics.jsonl", "trainer_state.json", "train.log", EVENTS])
def test_a_file_that_vanishes_before_it_is_read_is_named(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {
        "history.csv": TABLE,
        "metrics.jsonl": '{"epoch": 1, "loss": 2}\n' * 5,
        "trainer_state.json": '{"log_history": []}',
        "train.log": "step 1: train loss 2\n" * 5,
    }
    path = put(tmp_path, name, contents.get(name, record(VERSION.SerializeToString())))
    sniffed = survey._format_of

    def sniff_and_remove(*asked):
        answer = sniffed(*asked)
        path.unlink()
        return answer

    monkeypatch.setattr(survey, "_format_of", sniff_and_remove)
    assert "No such file" in named(tmp_path)


@pytest.mark.parametrize("name", ["history.csv", "metrics.jsonl", "trainer_state.json", EVENTS])
def test_an_empty_file_is_told_to_be_empty(tmp_path: Path, name: str) -> None:
    assert "empty" in named(put(tmp_path, name, b""))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["history.csv", "metrics.jsonl", "history.json", "train.log", EVENTS])
def test_junk_with_the_name_of_a_log_is_named(tmp_path: Path, name: str, seed: int) -> None:
    junk = np.random.default_rng(seed).integers(1, 256, 40_000, dtype=np.uint8)
    if seed % 2:
        junk[::7] = 0
    assert named(put(tmp_path, name, junk.tobytes()))

"""Logs that are read again while they grow: what a fresh reading gives, for the price of the new bytes."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from making_damage import SAMPLES, Sample, damaged
from making_events import (
    HISTOGRAMS,
    SCALARS,
    curve,
    hparams,
    of_tensor,
    scalar,
    session_start,
)
from making_growth import content_of, grow, same
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.util.tensor_util import make_tensor_proto
from test_events_oracle import mixed_events

import plateau_doctor
from plateau_doctor.readers import Follower, read
from plateau_doctor.run import Run

RNG = np.random.default_rng(5)


def histograms(count: int) -> list[Event]:
    held = []
    for i in range(count):
        rows = np.sort(RNG.normal(size=(30, 3)), axis=1)
        held.append(of_tensor(f"conv/kernel_{i % 3}", make_tensor_proto(rows), HISTOGRAMS, step=i))
        held.append(
            of_tensor("epoch_loss", make_tensor_proto(np.float32(i)), SCALARS if i < 2 else None, step=i)
        )
    return held


def pictures(count: int) -> list[Event]:
    held = []
    for i in range(count):
        picture = Summary.Image(encoded_image_string=RNG.bytes(90_000))
        held.append(
            Event(
                wall_time=1000.0 + i, step=i, summary=Summary(value=[Summary.Value(tag="p", image=picture)])
            )
        )
        held.append(scalar("loss", i, 2.0 - i / 99))
    return held


EVENT_LOGS: dict[str, dict[str, bytes]] = {
    "values of every kind": {"run/events.out.tfevents.1": content_of(mixed_events(3))},
    "histograms": {"run/events.out.tfevents.1": content_of(histograms(40))},
    "pictures, more than a batch": {"run/events.out.tfevents.1": content_of(pictures(30))},
    "a restart within a file": {
        "run/events.out.tfevents.1": content_of(
            [*curve("loss", range(30)), session_start(20), *curve("loss", range(20, 40), 2000.0)]
        )
    },
    "files of one run that follow one another": {
        "run/events.out.tfevents.1": content_of([hparams({"lr": 0.1}), *curve("loss", range(30))]),
        "run/events.out.tfevents.2": content_of(curve("loss", range(20, 50), 2000.0)),
        "run/events.out.tfevents.3": content_of(histograms(10)),
    },
    "two sides, sub-runs and seeds": {
        "a/train/events.out.tfevents.1": content_of(curve("epoch_loss", range(20))),
        "a/validation/events.out.tfevents.1": content_of(curve("epoch_loss", range(20))),
        "b/events.out.tfevents.1": content_of(curve("loss", range(30))),
        "b/1691409747.5/events.out.tfevents.1": content_of([hparams({"lr": 0.1, "optimizer": "adam"})]),
        "b/loss_mean/events.out.tfevents.1": content_of(curve("loss", range(9))),
    },
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", EVENT_LOGS)
def test_event_files_that_grow_are_read_as_afresh(tmp_path: Path, name: str, seed: int) -> None:
    grow(tmp_path, EVENT_LOGS[name], seed)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_log_of_any_format_that_grows_is_read_as_afresh(tmp_path: Path, sample: Sample) -> None:
    grow(tmp_path / "sound", {sample.path: sample.content}, seed=1)
    for seed in range(6):
        hurt = damaged(sample.content, seed) or b"\n"
        grow(tmp_path / f"damaged {seed}", {sample.path: hurt}, seed, times=4)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "head", [b"", b"\n \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n", b"not JSON\n", b"\n[", b"\xff\xfe"]
)
def test_lines_of_json_grow_behind_whatever_stands_at_their_head(
    tmp_path: Path, head: bytes, seed: int
) -> None:
    lines = [
        json.dumps({"epoch": i, "loss": i / 7, **({"val_loss": 1.0} if i % 5 == 4 else {})})
        for i in range(20)
    ]
    lines[7] = lines[7][:8]
    text = "\r\n".join(lines) if seed % 2 else "\n".join(lines)
    content = text.encode("utf-16-le") if head == b"\xff\xfe" else text.encode()
    grow(tmp_path, {"metrics.jsonl": head + content}, seed)


ODD_LINES = [
    "",
    "",
    "7,,0.5",
    "8,1.5",
    "9,1.5,2.5,3.5",
    "10,nan,0.5",
    "  ",
    "11,x,1",
    ",,",
    "12,1_0,3",
    '"13",2,3',
    "step,loss,lr",
]


@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("odd", ODD_LINES)
def test_a_table_that_grows_is_read_as_afresh_whatever_its_lines_hold(
    tmp_path: Path, odd: str, end: str, separator: str
) -> None:
    lines = ["step,loss,lr", *(f"{i},{2 - i / 77},{'' if i % 3 else 0.1}" for i in range(90))]
    lines.insert(70, odd)
    content = "".join(f"{line}{end}" for line in lines).replace(",", separator).encode()
    grow(tmp_path, {"metrics.csv": content}, seed=len(odd), times=14)


def test_a_half_written_record_is_named_and_then_read(tmp_path: Path) -> None:
    whole = content_of(curve("loss", range(5)))
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(whole[:-3])
    follower = Follower(path)
    (run,) = follower.read()
    assert isinstance(run, Run)
    assert [problem.why.partition(":")[0] for problem in run.problems] == ["the last record is cut"]
    with path.open("ab") as file:
        file.write(whole[-3:])
    (run,) = follower.read()
    assert isinstance(run, Run)
    assert (len(run.scalars), run.problems) == (5, ())


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("name", ["events.out.tfevents.1", "metrics.jsonl", "history.csv"])
@pytest.mark.parametrize("rows", [3, 60, 400])
def test_a_file_that_is_no_longer_what_it_was_is_read_from_its_start(
    tmp_path: Path, name: str, in_place: bool, rows: int
) -> None:
    def log(value: float, count: int) -> bytes:
        if name.endswith("jsonl"):
            return b"".join(b'{"step": %d, "loss": %.3f}\n' % (i, value) for i in range(count))
        if name.endswith("csv"):
            return b"step,loss\n" + b"".join(b"%d,%.3f\n" % (i, value) for i in range(count))
        return content_of(curve("loss", range(count), value=value))

    path = tmp_path / name
    path.write_bytes(log(1.5, 60))
    follower = Follower(tmp_path)
    follower.read()
    other = path if in_place else tmp_path / "new"
    other.write_bytes(log(2.5, rows))
    os.utime(other, ns=(0, path.stat().st_mtime_ns + 10**9))  # a file's clock may tick as slowly as that
    other.replace(path)
    (run,) = found = follower.read()
    same(found, list(read(tmp_path)))
    assert isinstance(run, Run)
    assert set(run.scalars["value"][run.scalars["tag"] == "loss"]) == {2.5}


def test_a_file_cut_back_into_what_was_read_is_read_from_its_start(tmp_path: Path) -> None:
    whole = content_of(curve("loss", range(50)))
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(whole)
    follower = Follower(path)
    follower.read()
    for size in (len(whole) - 1, len(whole) // 2, 10, 0):
        os.truncate(path, size)
        same(follower.read(), list(read(path)))
    path.write_bytes(whole)
    same(follower.read(), list(read(path)))


def test_runs_that_come_and_go_are_followed(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    assert follower.read() == []
    for i in range(3):
        (tmp_path / f"{i}").mkdir()
        (tmp_path / f"{i}" / "events.out.tfevents.1").write_bytes(content_of(curve("loss", range(5 + i))))
        same(follower.read(), list(read(tmp_path)))
    (tmp_path / "1" / "events.out.tfevents.1").unlink()
    same(follower.read(), list(read(tmp_path)))
    (tmp_path / "2" / "events.out.tfevents.1").rename(tmp_path / "0" / "events.out.tfevents.2")
    same(follower.read(), list(read(tmp_path)))


def test_a_path_that_is_not_there_yet_raises_until_it_is(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="run"):
        follower.read()
    grow(tmp_path / "run", EVENT_LOGS["histograms"], seed=0, times=1)
    same(follower.read(), list(read(tmp_path / "run")))


def test_an_archive_is_fetched_anew_each_time(tmp_path: Path) -> None:
    log = tmp_path / "events.out.tfevents.1"
    for count in (5, 9):
        log.write_bytes(content_of(curve("loss", range(count))))
        with tarfile.open(tmp_path / "runs.tar", "w") as archive:
            archive.add(log, "run/events.out.tfevents.1")
        follower = Follower(tmp_path / "runs.tar")
        same(follower.read(), list(read(tmp_path / "runs.tar")))


def test_roles_named_by_the_user_are_followed_too(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "quux": 2.5}\n' * 3)
    follower = plateau_doctor.Follower(path, {"quux": "train_loss"})
    for _ in range(2):
        (run,) = follower.read()
        assert isinstance(run, Run)
        assert set(run.scalars["role"]) == {"train_loss"}
        with path.open("a") as file:
            file.write('{"step": 2, "quux": 2.25}\n')

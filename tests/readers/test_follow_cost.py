"""What it costs to read logs again while they grow: the bytes that come from files are counted."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from making_events import curve
from making_growth import content_of, same

from plateau_doctor.readers import Follower, read
from plateau_doctor.readers.marks import BEFORE
from plateau_doctor.run import Run

LOOKED_AT = 4 * BEFORE  # bytes looked at again: before the end of the head, and of the last record


def long_log(name: str) -> tuple[bytes, bytes]:
    """Return a log much longer than what is looked at to tell its format, and a record more."""
    if name.endswith("jsonl"):
        line = b'{"step": %d, "loss": 1.5, "lr": 0.25}\n'
        return b"".join(line % i for i in range(9_000)), line % 9_000
    if name.endswith("csv"):
        line = b"%d,1.5,,0.25,0.125,0.0625,0.03125,1234567.5,0.001,2.5\n"
        head = b"step,loss,val_loss,lr,a,b,c,d,e,f\n"
        return head + b"".join(line % i for i in range(9_000)), line % 9_000
    return content_of(curve("loss", range(9_000))), content_of(curve("loss", [9_000]), None)


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the bytes that come from files: one number a read."""
    counts: list[int] = []

    class Counted(io.FileIO):
        def readinto(self, into: Any) -> int | None:
            counts.append(super().readinto(into) or 0)
            return counts[-1]

        def readall(self) -> bytes:
            found = super().readall()
            counts.append(len(found))
            return found

        def read(self, size: int | None = -1) -> bytes:
            found = super().read(-1 if size is None else size)
            if size is not None and size >= 0:
                counts.append(len(found))
            return found

    def opened(path: Path, mode: str = "r", buffering: int = -1, *rest: Any, **named: Any) -> Any:
        if mode != "rb":
            return usual(path, mode, buffering, *rest, **named)
        return io.BufferedReader(Counted(path)) if buffering else Counted(path)

    usual = Path.open
    monkeypatch.setattr(Path, "open", opened)
    return counts


@pytest.mark.parametrize("name", ["events.out.tfevents.1", "metrics.jsonl", "metrics.csv"])
def test_a_reading_costs_the_new_bytes(tmp_path: Path, name: str, bytes_read: list[int]) -> None:
    content, more = long_log(name)
    path = tmp_path / name
    path.write_bytes(content)
    follower = Follower(tmp_path)
    follower.read()
    assert sum(bytes_read) >= len(content) > 300_000
    for _ in range(3):
        bytes_read.clear()
        with path.open("ab") as file:
            file.write(more)
        (run,) = follower.read()
        assert len(more) <= sum(bytes_read) <= len(more) + LOOKED_AT
    assert isinstance(run, Run)
    assert len(run.scalars[run.scalars["tag"] == "loss"]) == 9_003


def test_a_half_written_row_of_a_table_costs_a_whole_reading_but_once(
    tmp_path: Path, bytes_read: list[int]
) -> None:
    content, more = long_log("metrics.csv")
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    follower = Follower(path)
    follower.read()
    costs = []
    for piece in (more[:12], more[12:]):
        with path.open("ab") as file:
            file.write(piece)
        bytes_read.clear()
        found = follower.read()
        costs.append(sum(bytes_read))
        same(found, list(read(path)))
    assert costs[1] <= len(more) + LOOKED_AT < len(content) <= costs[0]


@pytest.mark.parametrize(
    "name", ["events.out.tfevents.1", "metrics.jsonl", "history.csv", "trainer_state.json"]
)
def test_what_has_not_changed_is_not_opened(tmp_path: Path, name: str, bytes_read: list[int]) -> None:
    contents = {
        "history.csv": b"epoch,loss\n0,2.5\n1,2.25\n2,2\n",
        "trainer_state.json": json.dumps({"log_history": [{"step": 1, "loss": 2.5}]}).encode(),
    }
    (tmp_path / name).write_bytes(contents.get(name) or long_log(name)[0])
    (tmp_path / "notes.txt").write_text("the loss fell")
    follower = Follower(tmp_path)
    first = follower.read()
    assert any(isinstance(one, Run) for one in first)
    bytes_read.clear()
    same(follower.read(), first)
    assert not bytes_read


def test_other_runs_are_not_read_again_for_one_that_grows(tmp_path: Path, bytes_read: list[int]) -> None:
    for i in range(5):
        path = tmp_path / f"run{i}" / "events.out.tfevents.1"
        path.parent.mkdir()
        path.write_bytes(long_log(path.name)[0])
    follower = Follower(tmp_path)
    follower.read()
    bytes_read.clear()
    with path.open("ab") as file:
        file.write(long_log(path.name)[1])
    assert len(follower.read()) == 5
    assert sum(bytes_read) < 1_000

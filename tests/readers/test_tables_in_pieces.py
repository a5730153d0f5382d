"""A long table that is read straight from its file holds what it holds read from memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from making_growth import same

from plateau_doctor.readers import Follower, read, table_tail
from plateau_doctor.readers.axes import curves
from plateau_doctor.readers.bulk import grid
from plateau_doctor.readers.table import header_of
from plateau_doctor.run import Problem, Run

ROWS = 900
LINES = [
    f"{i},{2 - i / 1700},{'' if i % 3 else 0.5 + i / 9000},{0.1 * 0.999**i:.6g}\n".encode()
    for i in range(ROWS)
]
HEADER = b"step,loss,val_loss,lr\n"


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table that counts as long."""
    monkeypatch.setattr(table_tail, "LONG", 4000)
    path = tmp_path / "metrics.csv"
    path.write_bytes(HEADER + b"".join(LINES))
    return path


def from_memory(path: Path) -> list[Run | Problem]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(table_tail, "LONG", 10**9)
        return list(read(path))


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each reading straight from a file came to its end."""
    told: list[bool] = []
    original: Callable[..., np.ndarray | None] = grid.numbers_in

    def noted(file: object, *args: object) -> np.ndarray | None:
        found = original(file, *args)
        if isinstance(file, grid.Stretch):
            told.append(found is not None)
        return found

    monkeypatch.setattr(table_tail, "numbers_in", noted)
    return told


def test_a_long_table_is_never_in_memory_as_a_whole(table: Path, in_pieces: list[bool]) -> None:
    found = list(read(table))
    assert in_pieces == [True]
    same(found, from_memory(table))
    (run,) = found
    assert isinstance(run, Run)
    assert run.scalars["tag"].value_counts().to_dict() == {"loss": ROWS, "lr": ROWS, "val_loss": ROWS // 3}


@pytest.mark.parametrize(
    "odd", [b"7,x,0.5,1\n", b"7,0.5\n", b'"7",1,2,3\n', b"\n", b"7,1,2,3,4\n", b"7,nan,1,1\n"]
)
def test_an_odd_line_anywhere_is_left_to_the_walk(table: Path, odd: bytes) -> None:
    for place in (0, 400, ROWS):
        table.write_bytes(HEADER + b"".join([*LINES[:place], odd, *LINES[place:]]))
        same(list(read(table)), from_memory(table))


def test_a_half_written_last_line_is_read_as_from_memory(table: Path, in_pieces: list[bool]) -> None:
    table.write_bytes(table.read_bytes()[:-9])
    same(list(read(table)), from_memory(table))
    assert in_pieces == []


@pytest.mark.parametrize("how", ["grown", "written anew", "cut"])
def test_a_file_that_changes_meanwhile_is_read_as_it_stands_then(
    table: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, content = grid.numbers_in, table.read_bytes()
    now = {"grown": content + LINES[-1], "written anew": content.replace(b"1", b"2"), "cut": content[:9000]}[
        how
    ]

    def changed(file: object, *args: object) -> np.ndarray | None:
        if isinstance(file, grid.Stretch):
            told = table.stat()
            with table.open("r+b") as stream:
                stream.write(now)
                stream.truncate()
            os.utime(table, ns=(told.st_atime_ns, told.st_mtime_ns + 1))
        return original(file, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(table_tail, "numbers_in", changed)
    same(list(read(table)), from_memory(table))


def test_columns_side_by_side_are_taken_as_they_stand_and_each_can_be_written_to(table: Path) -> None:
    table.write_bytes(HEADER + b"".join(line.replace(b",,", b",0.5,") for line in LINES))
    found = table_tail.TableTail(table, header_of, keeps=False).read()
    assert isinstance(found, dict)
    scalars, _ = curves(found)
    assert np.shares_memory(scalars["value"].to_numpy(), found["loss"]), "the numbers stand once"
    (run,) = read(table)
    assert isinstance(run, Run)
    for name in ("value", "step", "epoch"):
        before = run.scalars.drop(columns=name)
        run.scalars.loc[run.scalars["tag"] == "loss", name] = 7.0
        assert (run.scalars.loc[run.scalars["tag"] == "loss", name] == 7.0).all()
        pd.testing.assert_frame_equal(run.scalars.drop(columns=name), before)
    assert run.scalars.loc[run.scalars["tag"] == "lr", "value"].iloc[0] == pytest.approx(0.1)


def test_what_is_written_to_a_frame_is_not_in_the_next_reading_of_a_table_that_grows(
    table: Path, in_pieces: list[bool]
) -> None:
    follower = Follower(table)
    (run,) = follower.read()
    assert isinstance(run, Run)
    run.scalars.loc[:, ["value", "step"]] = -1.0
    with table.open("ab") as stream:
        stream.write(b"900,0.1,0.2,0.3\n")
    grown = follower.read()
    assert in_pieces == [True]
    same(grown, list(read(table)))

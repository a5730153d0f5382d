"""A table of nothing but numbers, read all at once, holds what it holds read cell by cell."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from making_damage import damaged

from plateau_doctor.readers.axes import curves
from plateau_doctor.readers.bulk import grid
from plateau_doctor.readers.table import _any_table, header_of
from plateau_doctor.readers.table_tail import numbers_below, table_of

NUMBERS = [
    "0.5",
    "-3",
    "+7",
    "1e-3",
    "2.5E+10",
    ".5",
    "1.",
    "",
    "1e400",
    "-1e-400",
    "inf",
    "-Infinity",
    "007",
]
ODD = [
    "nan",
    "NaN",
    "1_000",
    "1e",
    "e5",
    "-",
    ".",
    "0x1p3",
    "5%",
    " 1",
    "1 ",
    "1,5",
    "NA",
    "None",
    "1.5.2",
    "1d5",
]
ODD += [
    "\u0661",
    "1e+",
    "--1",
    "infin",
    "1f",
    "True",
    "1\x0b",
    "9" * 400,
    '"1"',
    "#",
    "\0",
    "1 2",
    "\t1",
    "9007199254740993",
]
NAMES = ["epoch", "loss", "val loss", "", "Unnamed: 0", "loss"]


def same_as_cell_by_cell(content: bytes) -> bool:
    """Whether the content was read at once; then it must hold the same, whatever the pieces it is read in."""
    header = header_of(content)
    if header is None:
        return False
    columns = numbers_below(header, content)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(grid, "IN_CACHE", 5)
        patched.setattr(grid, "ROWS_AT_ONCE", 2)
        in_pieces = numbers_below(header, content)
    assert (columns is None) == (in_pieces is None)
    if columns is None or in_pieces is None:
        return False
    np.testing.assert_array_equal(columns, in_pieces)
    found = table_of(header, columns)
    expected, problems = _any_table(Path("t.csv"), content)
    assert expected is not None
    assert not problems
    assert list(found) == list(expected)
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-15, atol=5e-324)
    return True


@st.composite
def contents(draw: st.DrawFn, cells: st.SearchStrategy[str]) -> bytes:
    width = draw(st.integers(2, 6))
    separator = draw(st.sampled_from([",", ";", "\t", "|"]))
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    rows = [
        NAMES[:width],
        *draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=2, max_size=9)),
    ]
    text = end.join(separator.join(row) for row in rows) + draw(st.sampled_from(["", end, end + end]))
    return text.encode()


@settings(max_examples=300, deadline=None)
@example(b"epoch\tloss\n0.5\t0.5\n\t")
@given(contents(st.sampled_from(NUMBERS) | st.floats(allow_nan=False).map(repr)))
def test_numbers_read_at_once_are_those_read_cell_by_cell(content: bytes) -> None:
    same_as_cell_by_cell(content)


@settings(max_examples=300, deadline=None)
@given(contents(st.sampled_from(NUMBERS * 3 + ODD)), st.integers(0, 10**6))
def test_odd_cells_and_damage_are_read_alike_or_left_to_the_walk(content: bytes, seed: int) -> None:
    same_as_cell_by_cell(content)
    same_as_cell_by_cell(damaged(content, seed))


@pytest.mark.parametrize("odd", ODD)
def test_each_odd_cell_is_read_alike_or_left_to_the_walk(odd: str) -> None:
    same_as_cell_by_cell(f"epoch,loss\n1,2.5\n2,{odd}\n3,1.5\n".encode())


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_usual_table_is_read_at_once(separator: str) -> None:
    lines = ["epoch,loss,val_loss", *(f"{i},{1 / (i + 1)},{'' if i % 3 else 0.5}" for i in range(40))]
    assert same_as_cell_by_cell("\n".join(lines).replace(",", separator).encode())


@pytest.mark.parametrize("place", range(1, 9))
@pytest.mark.parametrize("row", ["4,0.5", "4,0.5,0.1,0.2", "4", "4,,", "4,0.5,"])
def test_a_row_of_another_width_loses_nothing(row: str, place: int) -> None:
    lines = ["epoch,loss,acc", *(f"{i},{1 / i},0.5" for i in range(1, 9))]
    same_as_cell_by_cell("\n".join([*lines[:place], row, *lines[place:]]).encode())


@pytest.mark.parametrize("between", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "\r", "\r\n"])
def test_ends_of_lines_lose_nothing(between: str, end: str) -> None:
    lines = ["epoch,loss", *(f"{i},{1 / i}" for i in range(1, 9))]
    assert same_as_cell_by_cell((between.join(lines) + end).encode()) == (end != "\r")


def test_empty_lines_under_many_names_ask_for_no_memory() -> None:
    content = b"a" + b",a" * 9_999 + b"\n" * 10_000_000
    assert grid.numbers_in(io.BytesIO(content), 20_000, 10_000, ",") is None


def test_what_is_written_to_one_column_is_in_no_other() -> None:
    scalars, _ = curves({name: np.array([1.0, 2.0]) for name in ("step", "loss", "acc")})
    for name in ("epoch", "wall_time", "step", "value"):
        before = scalars.drop(columns=name)
        scalars[name] += 1.0
        scalars.loc[1, name] = 7.0
        pd.testing.assert_frame_equal(scalars.drop(columns=name), before)

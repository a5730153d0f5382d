"""The notebook of docs/ runs from its first cell to its last, and shows what it says it shows."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import plateau_doctor

NOTEBOOK = Path(__file__).parent.parent / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def shown() -> list[Any]:
    """What each cell of code shows: the value of its last line."""
    names: dict[str, Any] = {}
    values = []
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            *body, last = ast.parse("".join(cell["source"])).body
            assert isinstance(last, ast.Expr)
            exec(compile(ast.Module(body, []), str(NOTEBOOK), "exec"), names)
            values.append(eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names))
    return values


def test_every_cell_shows_something(shown: list[Any]) -> None:
    runs, *frames = shown
    assert runs
    for frame in frames:
        assert isinstance(frame, pd.DataFrame)
        assert frame.notna().to_numpy().any()


def test_frames_are_ready_for_sums_and_plots() -> None:
    logs = NOTEBOOK.parent.parent / "examples" / "logs"
    runs = [one for one in plateau_doctor.read_runs(logs) if isinstance(one, plateau_doctor.Run)]
    for run in runs:
        kinds = run.scalars.dtypes.astype(str)
        assert {kinds[name] for name in ("step", "epoch", "wall_time", "value")} == {"float64"}
        assert run.scalars["step"].notna().all()
        assert run.scalars.index.equals(pd.RangeIndex(len(run.scalars)))
        wide = run.scalars[run.scalars["live"]].pivot_table(index="step", columns="tag", values="value")
        assert len(wide)


def test_the_notebook_holds_no_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not [cell for cell in cells if cell.get("outputs")]

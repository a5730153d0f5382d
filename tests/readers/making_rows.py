"""Draws rows as trainers log them, and compares what was read with what was written."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from plateau_doctor.readers import read
from plateau_doctor.readers.axes import CLOCKS, EPOCHS, STEPS
from plateau_doctor.run import Run

__all__ = [
    "AXES",
    "FLOATS",
    "NAMES",
    "NUMBERS",
    "Curve",
    "Rows",
    "as_float",
    "curves_of",
    "expected",
    "logged",
    "quickly",
    "read_again",
]

Rows = Sequence[tuple[int, Mapping[str, float]]]  # (step, what was logged there by name)
Curve = list[tuple[float, str]]

ODD = [-1.7e308, math.nan, math.inf, -math.inf, -0.0, 5e-324, -2.2e-310, 1.7976931348623157e308, 1e16, 0.1]
FLOATS = st.sampled_from(ODD) | st.floats()
NUMBERS = FLOATS | st.integers(-(10**30), 10**30) | st.sampled_from([2**53 + 1, 10**400, -(10**400)])
AXES = frozenset({*STEPS, *EPOCHS, *CLOCKS})
NAMES = st.text(min_size=1, max_size=9).filter(lambda name: " ".join(name.lower().split()) not in AXES)
quickly = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@st.composite
def logged(
    draw: st.DrawFn, names: st.SearchStrategy[str], values: st.SearchStrategy[float], main: str = "loss"
) -> list[tuple[int, dict[str, float]]]:
    """Draw rows at rising steps; each lacks some of the names, and three at least have `main`."""
    others = draw(st.lists(names.filter(lambda name: name != main), max_size=3, unique=True))
    steps = draw(st.lists(st.integers(0, 10**9), min_size=3, max_size=12, unique=True))
    rows = []
    for place, step in enumerate(sorted(steps)):
        own = {name: draw(values) for name in (main, *others) if place < 3 or draw(st.booleans())}
        rows.append((step, own))
    return rows


def expected(rows: Rows, told: Callable[[float], float] = float) -> dict[str, Curve]:
    found: dict[str, Curve] = {}
    for step, values in rows:
        for name, value in values.items():
            found.setdefault(name, []).append((float(step), repr(told(value))))
    return found


def curves_of(run: Run) -> dict[str, Curve]:
    found: dict[str, Curve] = {}
    for tag, step, value in zip(
        *(run.scalars[name].tolist() for name in ("tag", "step", "value")), strict=True
    ):
        found.setdefault(tag, []).append((step, repr(value)))
    return found


def read_again(folder: Path, contents: Mapping[str, str]) -> Run:
    """Write files below an empty folder and return the one run in it."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    for name, content in contents.items():
        path = folder / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    (run,) = read(folder / "run")
    assert isinstance(run, Run)
    assert run.problems == ()
    assert run.scalars["live"].all()
    return run


def as_float(number: float) -> float:
    """Return a number as the nearest float; an integer may be beyond all of them."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf

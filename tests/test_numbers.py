"""Numbers up to the largest there are, and steps that are none: no traceback, and no warning of numpy's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from plateau_doctor.examination import analyze
from plateau_doctor.report import render

Row = Callable[[int], tuple[float, float]]
ODD: dict[str, Row] = {
    "losses near the largest number": lambda i: (i, 1e308 if i % 7 == 0 else 1.0 + i),
    "losses of both infinities": lambda i: (i, math.inf if i % 2 else -math.inf),
    "steps that become infinite": lambda i: (math.inf if i > 300 else i, 2 / (1 + i)),
    "steps that are no numbers": lambda i: (math.nan if i % 9 == 0 else i, 2 / (1 + i)),
    "steps too large to count": lambda i: (i * 1e17, 2 / (1 + i)),
    "steps near the least number": lambda i: (i * 1e-300, 2 / (1 + i)),
    "steps that fall": lambda i: (-i, 2 / (1 + i)),
    "one step for all": lambda i: (5, 2 / (1 + i)),
}


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("row", ODD.values(), ids=list(ODD))
def test_odd_numbers_are_judged_and_drawn_without_a_word_of_numpy(tmp_path: Path, row: Row) -> None:
    lines = ["step,epoch,loss,val_loss,lr"]
    lines += [f"{step},{(i + 1) / 20},{loss},1.5,0.1" for i in range(600) for step, loss in [row(i)]]
    (tmp_path / "log.csv").write_text("\n".join(lines), encoding="utf-8")
    found = analyze([tmp_path])
    assert len(found.runs) == 1
    for form in ("full", "html", "json"):
        assert render(found, form)

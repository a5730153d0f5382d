"""The heat map of layers: its steps can be told apart."""

import re
from collections.abc import Sequence

import numpy as np
import pytest

from plateau_doctor.report.pictures import heat_map


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([0.0, 0.2, 0.4, 0.6, 0.8], "0.0 0.2 0.4 0.6 0.8"),
        ([0.0, 40.0, 80.0, 120.0, 160.0], "0 40 80 120 160"),
    ],
)
def test_the_steps_below_a_heat_map_differ(steps: Sequence[float], expected: str) -> None:
    svg = str(heat_map(np.zeros((len(steps), 2)), steps, ["first", "last"], (-1.0, 0.0)))
    shown = [text for text in re.findall(r">([\d.]+)<", svg) if re.fullmatch(r"\d+(\.\d+)?", text)]
    assert shown
    assert set(shown) <= set(expected.split())
    assert len(set(shown)) == len(shown)

"""How far a rate is moved: at least as far as the fix says, and on by the size of the control's first steps."""

import re

import pytest

from plateau_doctor.examination import load_fixes
from plateau_doctor.run import Run, scalar_frame
from plateau_doctor.trials.dose import dosed, first_ratio

FIXES = load_fixes()


def control(*ratios: float) -> Run:
    """A control of two layers whose update ratios were recorded; the second layer's are four times as large."""
    rows = [
        {
            "tag": f"update_ratio/{layer}",
            "role": "layer_update_ratio",
            "step": float(step),
            "value": times * one,
        }
        for step, one in enumerate(ratios)
        for layer, times in (("00_dense/kernel", 1.0), ("01_dense/kernel", 4.0))
    ]
    return Run("seed-0", "trial", "tensorboard", scalar_frame(rows))


def scale(name: str, ratio: float) -> float | None:
    change = dosed(FIXES[name], control(*[ratio / 2.5] * 8)).change
    assert change is not None
    return change.learning_rate_scale


def test_the_first_quarter_counts_and_the_middle_of_the_layers() -> None:
    assert first_ratio(control(0.1, 0.1, *[1e-9] * 6)) == pytest.approx(0.25)
    assert first_ratio(Run("none", "trial", "tensorboard", scalar_frame([]))) is None


@pytest.mark.parametrize(
    ("name", "ratio", "expected"),
    [
        ("lower_lr", 0.02, 0.1),
        ("lower_lr", 0.5, 0.02),
        ("lower_lr", 1e4, 0.001),
        ("raise_lr", 0.02, 5.0),
        ("raise_lr", 1e-4, 50.0),
        ("raise_lr", 1e-9, 100.0),
    ],
)
def test_a_rate_is_moved_at_least_as_far_as_the_fix_says(name: str, ratio: float, expected: float) -> None:
    assert scale(name, ratio) == pytest.approx(expected)


@pytest.mark.parametrize(("name", "ratio", "new"), [("lower_lr", 0.5, "0.02"), ("raise_lr", 1e-4, "50")])
def test_title_advice_and_code_say_the_same_as_the_change(name: str, ratio: float, new: str) -> None:
    fix = dosed(FIXES[name], control(*[ratio / 2.5] * 8))
    assert f" {new} " in fix.title
    assert fix.advice.startswith(f"Multiply your rate by {new}: ")
    assert FIXES[name].advice.partition(". ")[0] not in fix.advice
    assert fix.advice.endswith(FIXES[name].advice.rpartition(". ")[2])
    for code in fix.snippets.values():
        assert re.findall(r"(?<![\w.])\d+\.?\d*", code) == [new]


def test_twice_is_as_once_and_other_fixes_are_left_alone() -> None:
    steep = control(*[0.2] * 8)
    once = dosed(FIXES["lower_lr"], steep)
    assert dosed(once, steep) == once
    assert all(
        dosed(fix, steep) is fix for name, fix in FIXES.items() if name not in ("lower_lr", "raise_lr")
    )
    assert dosed(FIXES["lower_lr"], None) is FIXES["lower_lr"]

"""A sick training whose own log leaves the cause open: recorded without a line in the script, the cause is named."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from plateau_doctor.examination import analyze

from .test_record import recorded

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="no torch here")
SCRIPT = Path(__file__).parent.parent.parent / "examples" / "train_torch.py"


def named_in(folder: Path) -> tuple[str | None, list[str]]:
    """Return the first cause that is named, and the lines that are offered for what is missing."""
    (run,) = analyze([folder]).runs
    return (run.diagnoses[0].cause if run.diagnoses else None), [one.how for one in run.missing]


def test_inputs_of_a_wrong_scale_are_named_by_the_recording_and_not_by_the_losses(tmp_path: Path) -> None:
    ran = recorded(
        tmp_path, sys.executable, str(SCRIPT), "--sick", "unnormalized_inputs", "--logdir", "theirs",
        options=("--logdir", "ours"),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    before, lines = named_in(tmp_path / "theirs")
    assert before != "unnormalized_inputs"
    assert set(lines) == {"plateau-doctor record -- python train.py"}
    assert named_in(tmp_path / "ours") == ("unnormalized_inputs", [])

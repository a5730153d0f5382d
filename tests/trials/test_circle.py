"""Sick trainings whose own log leaves the cause open: recorded without a line in the script, the cause is named.

Their own log is the training loss. One command records them all, one after another: each model is a run.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from plateau_doctor.examination import RunExamination, analyze, load_rules
from plateau_doctor.report.trials import control_says
from plateau_doctor.verification import verify

from .test_record import recorded

if not importlib.util.find_spec("torch"):
    pytest.skip("no torch here", allow_module_level=True)

from .sick import CASES

BY_LOSS_ALONE = {"logging_artifact"}  # it lies in the log, not in the training: nothing else tells more
NOT_TOLD = {
    "noise_floor"
}  # no training was found whose recording names it first: it passes for its neighbors
GUESSED = {
    "lr_too_high",
    "vanishing_gradients",
    "exploding_gradients",
}  # the loss alone makes them likeliest, with low confidence
LOW = 0.5  # probability below which confidence is low
SCRIPT = Path(__file__).parent / "sick.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all of them were trained once, recorded."""
    into = tmp_path_factory.mktemp("circle")
    ran = recorded(into, sys.executable, str(SCRIPT), "theirs", options=("--logdir", "ours"))
    assert ran.returncode == 0, ran.stderr
    return into


@pytest.fixture(scope="module")
def runs(folder: Path) -> Mapping[str, RunExamination]:
    """What their recordings say, by cause."""
    return {cause: examined(folder / "ours", number) for number, cause in enumerate(CASES, 1)}


def examined(ours: Path, number: int) -> RunExamination:
    """Return the examination of one model's recording; the first one's lies at the top."""
    logs = [ours / str(number)] if number > 1 else sorted(ours.glob("events.*"))
    (run,) = analyze(logs).runs
    return run


def test_every_cause_that_needs_more_than_losses_has_a_sick_training() -> None:
    assert set(CASES) == {rule.cause for rule in load_rules()} - BY_LOSS_ALONE - NOT_TOLD


@pytest.mark.parametrize("cause", CASES)
def test_the_recording_names_what_the_losses_leave_open(
    cause: str, folder: Path, runs: Mapping[str, RunExamination]
) -> None:
    (before,) = analyze([folder / "theirs" / f"{cause}.csv"]).runs
    if cause in GUESSED:
        assert [one.probability < LOW for one in before.diagnoses] == [True]
    else:
        assert before.diagnoses == ()
        assert (before.undetermined is not None) == (before.state in ("plateaued", "diverged"))
    assert runs[cause].diagnoses[0].cause == cause
    if runs[cause].state != "diverged":  # then the losses of single batches are no numbers
        assert runs[cause].missing == ()


def test_a_verification_finds_in_its_control_what_the_losses_leave_open(folder: Path, tmp_path: Path) -> None:
    log = folder / "theirs" / "over_regularized.csv"
    script = [sys.executable, str(SCRIPT), str(tmp_path / "theirs"), "over_regularized"]
    (one,) = verify(log, script=script, folder=tmp_path / "trials").runs
    assert one.by_log is not None
    assert one.by_log.diagnoses == ()
    assert one.diagnoses[0].cause == "over_regularized"
    assert one.state == one.by_log.state
    assert [(verdict.fix, verdict.kind) for verdict in one.verdicts] == [("less_regularization", "confirmed")]
    assert next(iter(one.trials)).fix is None
    (said,) = control_says(one)
    assert said.startswith("the control recorded activation histograms, gradient histograms and ")
    assert said.endswith("the diagnosis names over_regularized, where the log alone names no cause")

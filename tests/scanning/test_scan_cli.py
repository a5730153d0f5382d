"""`analyze` over many runs: the same bytes however many are scanned at a time, and none held that is written."""

from __future__ import annotations

from pathlib import Path

import pytest

import plateau_doctor.report.json
from plateau_doctor.cli import _run
from plateau_doctor.console import FINDINGS, OK, USAGE
from plateau_doctor.examination import RunExamination

EXAMPLES = Path(__file__).parents[2] / "examples" / "logs"
CSV = "epoch,loss,val_loss\n" + "".join(f"{i},{2.3 * 0.9**i:.6f},{2.31 * 0.9**i:.6f}\n" for i in range(30))


def test_jobs_give_the_same_bytes_in_every_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plateau_doctor.scanning.parts.MOST_UNITS", 2)
    sick = str(EXAMPLES / "vanishing_gradients")
    for form in ("json", "jsonl"):
        told = []
        for more in (
            [],
            ["--jobs", "2"],
            ["--resume", str(tmp_path / "j")],
            ["--resume", str(tmp_path / "j")],
        ):
            assert _run(["analyze", sick, str(EXAMPLES / "healthy"), "--format", form, *more]) == FINDINGS
            told.append(capsys.readouterr().out)
        assert len(set(told)) == 1


def test_json_lines_are_written_as_runs_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "found.jsonl"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "history.csv").write_text(CSV)
    sizes, done = [], plateau_doctor.report.json.run_line

    def noted(one: RunExamination) -> str:
        sizes.append(out.stat().st_size)
        return done(one) + " " * 100_000

    monkeypatch.setattr("plateau_doctor.report.json.run_line", noted)
    assert _run(["analyze", str(tmp_path), "--format", "jsonl", "-o", str(out)]) == OK
    assert sizes[0] == 0 < sizes[1]


def test_what_is_asked_of_a_runner_that_it_does_not_take_is_a_letter(
    capsys: pytest.CaptureFixture[str],
) -> None:
    healthy = str(EXAMPLES / "healthy")
    assert _run(["analyze", healthy, "--runner-option", "address=x"]) == USAGE
    assert _run(["analyze", healthy, "--runner", "ray", "--runner-option", "adress=x"]) == USAGE
    assert "takes address, not adress" in capsys.readouterr().err
    assert _run(["analyze", healthy, "--resume", str(EXAMPLES / "nowhere" / "j")]) == USAGE

"""What fails a pipeline and what does not: the bar, selection, suppressions, the baseline, required logs."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import samples

from plateau_doctor.cli import _run
from plateau_doctor.config import Suppression, find, load
from plateau_doctor.console import FINDINGS, FORMATS, NOTHING, OK, USAGE
from plateau_doctor.examination import Examination, RunExamination
from plateau_doctor.findings import findings_of
from plateau_doctor.gating import Asked, baseline_of, gated, read_baseline, stale
from plateau_doctor.letters import RuleError
from plateau_doctor.report import render

TODAY = date(2026, 11, 28)
KNOWN = {"fail-on": False, "select": True, "rules": True, "isolated": False}


def stopping(found: Examination, **asked: object) -> set[str]:
    return {one.cause for one in findings_of(gated(found, Asked(today=TODAY, **asked))) if one.stops}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "causes"),
    [
        ({}, {"lr_too_high", "label_noise"}),
        ({"select": ("lr_too_high",)}, {"lr_too_high"}),
        ({"select": ("data",)}, set()),
        ({"ignore": ("lr_too_high",)}, {"label_noise"}),
        ({"ignore": ("learning_rate",)}, set()),
        ({"min_confidence": "high"}, set()),
        ({"fail_on": "never"}, set()),
    ],
)
def test_the_gate_counts_what_is_selected_heavy_and_sure(asked: dict[str, object], causes: set[str]) -> None:
    assert stopping(samples.examination(samples.stuck()), **asked) == causes


def test_a_suppression_holds_to_its_last_day_and_is_told_of_after() -> None:
    found = samples.examination(samples.stuck())
    one = Suppression("digits/*", "lr_too_high", "known", TODAY)
    assert stopping(found, suppressions=(one,)) == {"label_noise"}
    assert stale(found, Asked(suppressions=(one,), today=TODAY)) == []
    late = replace(one, expires=date(2026, 11, 27))
    assert stopping(found, suppressions=(late,)) == {"label_noise", "lr_too_high"}
    (said,) = stale(found, Asked(suppressions=(late,), today=TODAY))
    assert "expired on 2026-11-27" in said
    (said,) = stale(found, Asked(suppressions=(replace(one, run="other"),), today=TODAY))
    assert "matches no finding" in said


def test_only_findings_that_are_not_in_the_baseline_fail(tmp_path: Path) -> None:
    before = samples.examination(samples.stuck(), samples.healthy())
    (tmp_path / "base.json").write_text(baseline_of(before))
    marks = read_baseline(tmp_path / "base.json")
    assert stopping(before, baseline=marks) == set()
    grown = samples.examination(samples.stuck(), samples.exploded())
    assert stopping(grown, baseline=marks) == {"exploding_gradients", "diverged"}


def test_a_run_that_diverged_fails_whatever_its_cause() -> None:
    blind = replace(samples.exploded(), diagnoses=())
    found = samples.examination(blind, samples.stuck(diagnoses=()))
    assert stopping(found) == {"diverged"}
    assert stopping(found, min_confidence="high") == {"diverged"}
    assert stopping(found, fail_on_state=("diverged", "stuck")) == {"diverged", "stuck"}
    assert stopping(found, fail_on_state=("stuck",)) == {"stuck"}
    assert stopping(found, fail_on="never") == set()
    assert stopping(found, ignore=("diverged",)) == set()
    assert stopping(found, select=("data",)) == set()
    junit = render(replace(found, gate=gated(found, Asked()).gate), "junit")
    assert '<testcase classname="diverged/run-3" name="diverged">' in junit
    assert junit.count("<failure") == 1


def test_a_loss_of_nan_is_never_a_green_exit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{i},{2.3 * 0.9**i if i < 8 else 'nan'}" for i in range(20)]
    (tmp_path / "log.csv").write_text("\n".join(["epoch,loss", *rows]) + "\n")
    assert _run(["analyze", str(tmp_path), "--isolated"]) == FINDINGS
    assert "NaN or Inf from epoch 8 on" in " ".join(capsys.readouterr().out.split())
    assert _run(["analyze", str(tmp_path), "--isolated", "--ignore", "diverged"]) == OK


def test_missing_data_fails_only_where_it_is_required() -> None:
    found = samples.examination(replace(samples.healthy(), unlogged=("learning_rate", "samples")))
    assert stopping(found) == set()
    assert stopping(found, require=("train_loss",)) == set()
    assert stopping(found, require=("train_loss", "learning_rate")) == {"not_logged/learning_rate"}
    assert stopping(found, require=("learning_rate",), fail_on="never") == set()


def test_the_formats_of_the_command_line_are_those_of_the_report() -> None:
    from plateau_doctor.report import FORMATS as RENDERED

    assert tuple(FORMATS) == tuple(RENDERED)


GOOD = """fail-on = "warning"
select = ["data"]
rules = ["mine"]

[[suppress]]
run = "sweep/*"
cause = "overfitting"
reason = "known"
expires = 2027-01-31
"""


def test_a_file_sets_options_with_paths_from_where_it_lies(tmp_path: Path) -> None:
    file = tmp_path / "plateau-doctor.toml"
    file.write_text(GOOD)
    config = load(file, KNOWN, ("rules",))
    assert config.options == {"fail-on": "warning", "select": ["data"], "rules": [str(tmp_path / "mine")]}
    assert config.suppressions == (Suppression("sweep/*", "overfitting", "known", date(2027, 1, 31)),)
    shared = tmp_path / "pyproject.toml"
    shared.write_text(
        '[project]\nname = "x"\n[tool.plateau-doctor]\n'
        + GOOD.replace("[[suppress]]", "[[tool.plateau-doctor.suppress]]")
    )
    assert load(shared, KNOWN, ("rules",)) == replace(config, file=shared)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('fail-on = "warning"', 'fial-on = "warning"', "did you mean 'fail-on'?"),
        ('select = ["data"]', 'select = "data"', "is a list of texts"),
        ('fail-on = "warning"', "fail-on = 3", "is a text"),
        ('reason = "known"\n', "", "needs `reason`"),
        ('reason = "known"\n', 'reason = " "\n', "needs `reason`"),
        ("expires = 2027-01-31\n", "", "needs `expires`"),
        ("expires = 2027-01-31", 'expires = "2027-01-31"', "without quotes"),
        ("cause =", "causes =", "did you mean 'cause'?"),
        ("[[suppress]]", "[suppress]", "written [[suppress]]"),
        ('select = ["data"]', "select = [", "not TOML"),
    ],
)
def test_a_mistake_in_the_file_is_a_letter_with_its_line(
    tmp_path: Path, before: str, after: str, words: str
) -> None:
    file = tmp_path / "plateau-doctor.toml"
    file.write_text(GOOD.replace(before, after))
    with pytest.raises(RuleError) as told:
        load(file, KNOWN)
    assert words in str(told.value)
    assert f"{file}:" in str(told.value)


def test_the_nearest_file_upward_that_has_the_table_counts(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "plateau-doctor.toml").write_text("")
    (tmp_path / "a" / "pyproject.toml").write_text('[project]\nname = "plateau-doctor"\n')
    assert find(deep) == tmp_path / "plateau-doctor.toml"
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.plateau-doctor]\n")
    assert find(deep) == tmp_path / "a" / "pyproject.toml"


class Made:
    """A scan that finds what was made by hand."""

    def __init__(self, found: Examination) -> None:
        self.found, self.problems, self.families = found, found.problems, found.families

    def runs(self) -> Iterator[RunExamination]:
        yield from self.found.runs

    def with_curves(self, runs: Sequence[RunExamination]) -> Sequence[RunExamination]:
        return runs


@pytest.fixture
def analyzed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Return a function that runs `analyze` in an empty folder on an examination made by hand."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()

    def analyze(*arguments: str, found: Examination | None = None) -> int:
        one = samples.everything() if found is None else found
        monkeypatch.setattr("plateau_doctor.scanning.Scan", lambda *_, **__: Made(one))
        return _run(["analyze", "logs", *arguments])

    return analyze


def test_one_run_writes_many_reports(analyzed: Callable[..., int], tmp_path: Path) -> None:
    names = {form: tmp_path / f"report.{form}" for form in FORMATS}
    reports = [part for form, file in names.items() for part in ("--report", f"{form}:{file}")]
    assert analyzed("-q", *reports) == FINDINGS
    assert all(file.stat().st_size for file in names.values())
    assert names["junit"].read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--report", "junit"), "expected FORMAT:FILE"),
        (("--report", "junti:x"), "did you mean 'junit'?"),
        (("--select", "overfiting"), "did you mean 'overfitting'?"),
        (("--require", "learning_rat"), "did you mean 'learning_rate'?"),
        (("--baseline", "nowhere.json"), "cannot be read"),
        (("--config", "nowhere.toml"), "does not exist"),
    ],
)
def test_a_wrong_option_is_a_letter(
    analyzed: Callable[..., int], arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert analyzed(*arguments) == USAGE
    assert words in capsys.readouterr().err


def test_a_baseline_is_written_then_passes_and_a_new_finding_fails(
    analyzed: Callable[..., int], tmp_path: Path
) -> None:
    old = samples.examination(samples.stuck())
    assert analyzed("-q", "--write-baseline", "base.json", found=old) == FINDINGS
    assert analyzed("-q", "--baseline", "base.json", found=old) == OK
    assert analyzed("-q", "--baseline", "base.json") == FINDINGS
    (tmp_path / "base.json").write_text("[]")
    assert analyzed("-q", "--baseline", "base.json", found=old) == USAGE


def test_an_empty_folder_never_passes_whatever_the_gate(analyzed: Callable[..., int]) -> None:
    assert analyzed("-q", "--fail-on", "never", found=samples.examination()) == NOTHING


def test_the_file_sets_the_default_the_environment_comes_before_it_and_the_command_line_first(
    analyzed: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plateau-doctor.toml").write_text('fail-on = "never"\n')
    assert analyzed("-q") == OK
    assert analyzed("-q", "--isolated") == FINDINGS
    assert analyzed("-q", "--fail-on", "error") == FINDINGS
    monkeypatch.setenv("PLATEAU_DOCTOR_ANALYZE_FAIL_ON", "error")
    assert analyzed("-q") == FINDINGS


def test_a_file_in_the_analyzed_folder_says_nothing(analyzed: Callable[..., int], tmp_path: Path) -> None:
    (tmp_path / "logs" / "plateau-doctor.toml").write_text('fail-on = "never"\n')
    assert analyzed("-q") == FINDINGS
    assert analyzed("-q", "--config", "logs/plateau-doctor.toml") == OK


def test_a_suppressed_finding_is_counted_in_what_is_printed(
    analyzed: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plateau-doctor.toml").write_text(
        '[[suppress]]\ncause = "learning_rate"\nreason = "known"\nexpires = 2999-01-01\n'
    )
    found = samples.examination(samples.stuck())
    assert analyzed(found=found) == OK
    assert "2 findings suppressed by the configuration" in " ".join(capsys.readouterr().out.split())
    assert analyzed("--format", "json", found=found) == OK
    waived = json.loads(capsys.readouterr().out)["gate"]["waived"]
    assert {(one["by"], one["why"], one["expires"]) for one in waived} == {
        ("suppressed", "known", "2999-01-01")
    }


def test_settings_are_shown_with_where_they_are_set(
    analyzed: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plateau-doctor.toml").write_text('fail-on = "never"\n')
    assert analyzed("--show-settings", "--min-confidence", "low") == OK
    said = capsys.readouterr().out
    assert 'fail-on = "never"  # configuration' in said
    assert 'min-confidence = "low"  # command line' in said
    assert "select = []  # default" in said
    assert str(tmp_path / "plateau-doctor.toml") in said


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("points", [1, 4, 130])
@pytest.mark.parametrize("columns", ["loss", "loss,val_loss", "loss,val_loss,accuracy,lr"])
def test_a_loss_that_was_never_a_number_is_told_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], points: int, columns: str
) -> None:
    for name in ("seed0", "seed1"):
        (tmp_path / name).mkdir()
        cells = ",".join(["nan"] * (columns.count(",") + 1))
        rows = [f"{i},{cells}" for i in range(points)]
        (tmp_path / name / "log.csv").write_text("\n".join([f"epoch,{columns}", *rows]) + "\n")
    for form in FORMATS:
        assert _run(["analyze", str(tmp_path), "--isolated", "--format", form]) == FINDINGS, form
    assert "is NaN or Inf from epoch 0 on" in " ".join(capsys.readouterr().out.split())
    assert _run(["compare", str(tmp_path / "seed0"), str(tmp_path / "seed1"), "--isolated"]) in (OK, FINDINGS)

"""The command line: clear lines, the right exit code, never a traceback, and no heavy import for nothing."""

import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plateau_doctor.cli import _run
from plateau_doctor.console import FINDINGS, INTERNAL, NOTHING, OK, USAGE
from plateau_doctor.readers import read
from plateau_doctor.run import Problem

EXAMPLES = Path(__file__).parent.parent / "examples" / "logs"
CSV = (
    "epoch,loss,val_loss\n"
    + "\n".join(f"{i},{2.3 * 0.9**i:.6f},{2.31 * 0.9**i:.6f}" for i in range(30))
    + "\n"
)
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5534\n"


def events_of(run: str) -> bytes:
    return next((EXAMPLES / run).glob("events.out.tfevents*")).read_bytes()


def said(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err + captured.out
    return captured.out + captured.err


def test_a_healthy_run_exits_0_and_a_sick_one_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["analyze", str(EXAMPLES / "healthy")]) == OK
    assert _run(["analyze", str(EXAMPLES / "vanishing_gradients")]) == FINDINGS
    assert "vanish" in said(capsys)


def test_fail_on_and_min_confidence_choose_what_counts() -> None:
    sick, warned = str(EXAMPLES / "vanishing_gradients"), str(EXAMPLES / "overfitting")
    likely = str(EXAMPLES / "lr_too_high")
    assert _run(["analyze", sick, "--fail-on", "never"]) == OK
    assert _run(["analyze", sick, "--min-confidence", "high"]) == FINDINGS
    assert _run(["analyze", likely]) == FINDINGS
    assert _run(["analyze", likely, "--min-confidence", "high"]) == OK, "less than four in five"
    assert _run(["analyze", warned]) == OK, "a warning is below --fail-on error"
    assert _run(["analyze", warned, "--fail-on", "warning"]) == FINDINGS


def test_a_missing_path_is_a_letter_with_the_nearest_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "history.csv").write_text(CSV)
    assert _run(["analyze", str(tmp_path / "histroy.csv")]) == USAGE
    assert "did you mean 'history.csv'?" in said(capsys)


@pytest.mark.parametrize("content", [{}, {"notes.txt": "to do"}, {"model.pt": "PK"}])
def test_a_folder_without_logs_is_never_green(
    tmp_path: Path, content: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    assert _run(["analyze", str(tmp_path)]) == NOTHING
    assert "nothing to analyze" in said(capsys)


BROKEN = {
    "a Git-LFS pointer": ("events.out.tfevents.1.host", LFS.encode(), "LFS"),
    "a gzip": ("history.csv", gzip.compress(CSV.encode()), "gzip"),
    "a binary file named .csv": ("history.csv", bytes(range(256)) * 40, "history.csv"),
    "an empty file": ("history.csv", b"", "empty"),
    "only a header": ("history.csv", b"epoch,loss,val_loss\n", "history.csv"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_log_is_named_with_the_reason_and_exits_3(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, content, word = BROKEN[name]
    (tmp_path / file).write_bytes(content)
    monkeypatch.chdir(tmp_path)  # a long path would be broken over two lines
    assert _run(["analyze", "."]) == NOTHING
    assert word.lower() in said(capsys).lower()


def test_a_truncated_event_file_is_read_to_its_end_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "events.out.tfevents.1.host").write_bytes(events_of("healthy")[:-7])
    assert _run(["analyze", str(tmp_path), "--format", "json"]) == OK
    found = json.loads(capsys.readouterr().out)
    (problem,) = found["runs"][0]["problems"]
    assert "cut" in problem["what"] + problem["why"]


def test_a_flipped_bit_loses_one_record_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(events_of("healthy"))
    content[len(content) // 2] ^= 1
    (tmp_path / "events.out.tfevents.1.host").write_bytes(content)
    assert _run(["analyze", str(tmp_path), "--format", "json"]) == OK
    found = json.loads(capsys.readouterr().out)
    assert found["runs"][0]["problems"]
    assert found["runs"][0]["state"] == "converged", "the rest of the curve is still there"


@contextmanager
def as_anyone() -> Iterator[None]:
    """Read files as a user without privileges: root reads every file."""
    privileged = os.geteuid() == 0
    if privileged:
        _run(["analyze", str(EXAMPLES / "healthy"), "-q"])  # what is imported late is imported by now
        os.seteuid(65534)
    try:
        yield
    finally:
        if privileged:
            os.seteuid(0)


def test_an_unreadable_file_is_named() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "history.csv")
        file.write_text(CSV)
        file.chmod(0)
        Path(folder).chmod(0o755)
        with as_anyone():
            found = list(read(folder))
    (problem,) = found
    assert isinstance(problem, Problem)
    assert "ermission" in problem.why


def test_a_file_that_cannot_be_opened_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "history.csv").write_text(CSV)

    opened = Path.open

    def refuse(path: Path, *rest: object, **named: object) -> object:
        if tmp_path in path.parents:
            raise PermissionError(13, "Permission denied")
        return opened(path, *rest, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    assert _run(["analyze", str(tmp_path)]) == NOTHING
    assert "ermission" in said(capsys)


def test_a_typo_in_a_rule_file_is_a_letter_with_a_caret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = (EXAMPLES.parent.parent / "rules" / "causes" / "not_training.toml").read_text()
    (tmp_path / "mine.toml").write_text(
        rule.replace("not_training", "mine", 1).replace("rate.peak == 0", "rate.peek == 0")
    )
    assert _run(["analyze", str(EXAMPLES / "healthy"), "--rules", str(tmp_path)]) == USAGE
    letter = said(capsys)
    assert "mine.toml:" in letter
    assert "did you mean 'rate.peak'?" in letter
    assert "^" in letter


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("train_loss=lsos", "did you mean 'loss'?"),
        ("train_los=loss", "did you mean 'train_loss'?"),
        ("train_loss", "ROLE=TAG"),
    ],
)
def test_a_wrong_tag_map_is_a_letter(
    tmp_path: Path, option: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "history.csv").write_text(CSV)
    assert _run(["analyze", str(tmp_path), "--tag-map", option]) == USAGE
    assert words in said(capsys)


def test_a_tag_map_gives_an_unknown_tag_its_role(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "history.csv").write_text(CSV.replace("val_loss", "zorp"))
    assert _run(["analyze", str(tmp_path), "--tag-map", "val_loss=zorp", "--format", "json"]) == OK
    assert json.loads(capsys.readouterr().out)["runs"][0]["roles"]["zorp"] == "val_loss"


def test_an_internal_error_is_one_line_and_exits_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("plateau_doctor.scanning.Scan", lambda *_, **__: 1 / 0)
    assert _run(["analyze", str(EXAMPLES / "healthy")]) == INTERNAL
    assert "ZeroDivisionError" in said(capsys)


def test_html_and_output_are_written_where_they_were_asked_for(tmp_path: Path) -> None:
    page, text = tmp_path / "page.html", tmp_path / "out.json"
    arguments = [
        "analyze",
        str(EXAMPLES / "overfitting"),
        "--html",
        str(page),
        "--format",
        "json",
        "-o",
        str(text),
    ]
    assert _run(arguments) == OK
    assert page.read_text().startswith("<!doctype html>") or page.read_text().startswith("<!DOCTYPE html>")
    assert json.loads(text.read_text())["schema_version"] == 1


def test_a_page_that_cannot_be_written_is_a_letter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "no" / "page.html"
    assert _run(["analyze", str(EXAMPLES / "healthy"), "--html", str(missing)]) == USAGE
    assert "cannot write" in said(capsys)


def test_inspect_tells_the_role_of_each_tag_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["inspect", str(EXAMPLES / "healthy")]) == OK
    told = said(capsys)
    assert "train_loss" in told
    assert "gradient" in told


@pytest.mark.parametrize("name", ["lr_too_high", "lower_lr"])
def test_explain_knows_causes_and_fixes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["explain", name]) == OK
    assert "rate" in said(capsys)


def test_explain_offers_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["explain", "lr_to_high"]) == USAGE
    assert "did you mean 'lr_too_high'?" in said(capsys)


def test_rules_lists_every_cause(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["rules"]) == OK
    assert len(said(capsys).splitlines()) >= 12


def test_an_unknown_option_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["analyze", "--zorp", "."]) == USAGE
    assert "zorp" in said(capsys)


def loaded_by(*arguments: str) -> set[str]:
    code = (
        "import sys; from plateau_doctor.cli import _run; "
        f"_run({list(arguments)!r}); print('MODULES', *sorted({{m.split('.')[0] for m in sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.rsplit("MODULES", 1)[1].split())


HEAVY = {"tensorflow", "torch", "keras", "sklearn", "altair", "vl_convert"}


def test_help_imports_nothing_heavier_than_click() -> None:
    assert not loaded_by("--help") & (HEAVY | {"numpy", "pandas", "jinja2", "rich", "tensorboard"})


def test_analyze_imports_no_framework_and_no_chart_library_without_a_report() -> None:
    assert not loaded_by("analyze", str(EXAMPLES / "healthy")) & HEAVY


def test_templates_are_code_and_come_from_the_command_line_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.html.jinja").write_text("<h1>{{ answer }}</h1>")
    (tmp_path / "history.csv").write_text(CSV)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLATEAU_DOCTOR_TEMPLATES", "mine")
    arguments = ["analyze", "history.csv", "-q", "--html", "page.html"]
    assert _run(arguments) == OK
    assert Path("page.html").read_text().startswith("<!DOCTYPE html>")
    assert _run([*arguments, "--templates", "mine"]) == OK
    assert Path("page.html").read_text().startswith("<h1>")
    Path("plateau-doctor.toml").write_text('templates = "mine"\n')
    assert _run(arguments) == USAGE
    assert "templates" in said(capsys)


def test_templates_without_a_page_are_a_letter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["analyze", str(EXAMPLES / "healthy"), "--templates", str(tmp_path)]) == USAGE
    assert "add --html FILE" in said(capsys)

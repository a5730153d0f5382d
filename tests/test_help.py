"""Help in the terminal: what is told of causes, rules, one's own rule files, and the installation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from plateau_doctor import places
from plateau_doctor.cli import _run
from plateau_doctor.console import FINDINGS, NOTHING, OK
from plateau_doctor.examination import load_fixes, load_rules
from plateau_doctor.facts.needs import NEEDS
from plateau_doctor.installation import Part, installation
from plateau_doctor.report import explain_cause
from plateau_doctor.rule_check import check_rules

RULES = load_rules()
RULE = (Path(__file__).parent.parent / "rules" / "causes" / "not_training.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.cause)
def test_every_cause_is_explained_with_its_false_alarms_data_and_references(rule) -> None:
    told = " ".join(explain_cause(rule, load_fixes()).split())
    for part in (rule.says, rule.falsepositives, *rule.references, *rule.fixes):
        assert " ".join(part.split()) in told
    assert "Looks at" in told


def test_a_cause_is_explained_with_code_for_each_framework(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["explain", "lr_too_high"]) == OK
    told = capsys.readouterr().out
    assert "Keras" in told
    assert "PyTorch" in told
    assert 'group["lr"] *= 0.1' in told


def test_rules_as_json_say_what_data_each_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["rules", "--format", "json"]) == OK
    rows = {row["cause"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == {rule.cause for rule in RULES}
    assert all(set(row["needs"]) <= set(NEEDS) and row["needs"] for row in rows.values())
    assert "learning_rate" in rows["lr_too_high"]["needs"]


def mine(folder: Path, text: str = RULE) -> Path:
    (folder / "mine.toml").write_text(text.replace('"not_training"', '"mine"', 1), encoding="utf-8")
    return folder


def test_a_rule_of_ones_own_that_is_as_it_says_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = """
cause    = "mine"
family   = "data"
status   = "draft"
severity = "warning"
says     = "The loss stands at 7."
why      = "Seven is where it stands."
fixes    = ["lower_lr"]
confused_with  = []
references     = []
falsepositives = "a loss that is to be 7"

[[for]]
decisive = "train_loss.level > 6.9 and train_loss.level < 7.1"
says     = "the loss stands at {train_loss.level:.1f}"

[[fires]]
name = "seven"
train_loss = "7x40~0.001"

[[silent]]
name = "it comes down"
train_loss = "2.3*0.9x40"
"""
    assert _run(["rules", "check", str(mine(tmp_path, rule))]) == OK
    assert "1 rule read, 2 examples tested, 0 mistakes" in capsys.readouterr().out
    _, letters = check_rules(mine(tmp_path, rule.replace("7x40", "5x40")))
    assert any("'seven' is to fire mine" in letter for letter in letters)
    assert any("no example shows the sign" in letter for letter in letters)


def test_every_mistake_of_a_folder_is_a_letter_with_a_caret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine(tmp_path, RULE.replace("rate.peak == 0", "rate.peek == 0"))
    (tmp_path / "other.toml").write_text("cause = \n")
    assert _run(["rules", "check", str(tmp_path)]) == FINDINGS
    told = capsys.readouterr().err
    assert "did you mean 'rate.peak'?" in told
    assert "other.toml:1: not TOML" in told
    assert told.count("^") == 2


def test_the_rules_that_ship_hold_to_what_a_user_is_held_to() -> None:
    rules, letters = check_rules(places.rules_folder() / "causes")
    assert len(rules) == len(RULES)
    assert letters == ()


def test_a_folder_without_rule_files_is_not_green(tmp_path: Path) -> None:
    assert _run(["rules", "check", str(tmp_path)]) == NOTHING


def test_doctor_tells_versions_optional_parts_and_gpus_without_a_framework() -> None:
    code = (
        "import sys; from plateau_doctor.cli import _run; _run(['doctor']);"
        "print('LOADED', [m for m in ('torch', 'tensorflow', 'keras', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stdout
    names = [part.name for part in installation("0.1.0")]
    assert {"plateau-doctor", "rules", "pandas", "torch", "GPUs"} <= set(names)


def test_doctor_exits_1_where_something_must_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = (Part("pandas", "missing", broken=True),)
    monkeypatch.setattr("plateau_doctor.installation.installation", lambda _: broken)
    assert _run(["doctor"]) == FINDINGS


def test_demo_says_where_the_examples_are_when_they_are_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("plateau_doctor.places.rules_folder", lambda: tmp_path / "rules")
    assert _run(["demo"]) == NOTHING
    assert "examples/logs" in capsys.readouterr().out


def test_a_shell_completes_commands_and_causes() -> None:
    def completed(words: str) -> str:
        environment = os.environ | {
            "_PLATEAU_DOCTOR_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        command = [sys.executable, "-c", "from plateau_doctor.cli import main; main()"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout

    assert "analyze" in completed("plateau-doctor ana")
    assert "lr_too_high" in completed("plateau-doctor explain lr_too")

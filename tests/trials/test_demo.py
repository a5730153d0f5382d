"""`make demo-verify` as the Makefile has it: the wrong fix is refuted, the right one confirmed, a report is written."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
ROOT = Path(__file__).parents[2]
BIN = {"BIN/python": [sys.executable], "BIN/plateau-doctor": [sys.executable, "-m", "plateau_doctor"]}


def commands() -> list[list[str]]:
    """Return the commands of the target that call plateau-doctor, without its installation."""
    make = ["make", "--dry-run", "--old-file=.venv/.trains", "demo-verify", "BIN=BIN", "SEED=0"]
    recipe = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = [shlex.split(line) for line in recipe.replace("\\\n", " ").splitlines()]
    found = [line for line in lines if line[0] == "BIN/plateau-doctor"]
    return [[part for word in line for part in BIN.get(word, [word])] for line in found]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
def test_the_demo_refutes_the_wrong_fix_and_confirms_the_right_one(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")

    def ran(command: list[str], *more: str) -> str:
        place = len(BIN["BIN/plateau-doctor"]) + 1  # options go behind the name of the subcommand
        done = subprocess.run(
            [*command[:place], *more, *command[place:]],
            cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    record, analyze, verify = commands()
    ran(record)
    assert "unshuffled_data" in ran(analyze)
    (run,) = json.loads(ran(verify, "--format", "json"))["runs"]
    assert {v["fix"]: v["kind"] for v in run["verdicts"]} == {
        "raise_lr": "refuted",
        "shuffle_data": "confirmed",
    }
    assert "shuffle_data" in (tmp_path / "report.html").read_text(encoding="utf-8")

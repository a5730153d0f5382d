"""Ctrl-C keeps what was done, and a bar shows on a terminal alone."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

INTERRUPTED = 130
HEADER = "epoch,loss,val_loss\n"
# the fourth run never ends: what is told then is what was done before Ctrl-C
STUCK = """
import sys, time
from plateau_doctor import scanning
from plateau_doctor.scanning import parts, work
parts.MOST_UNITS = 2
def examined(asked, how, read):
    for one in work.examined(asked, how, read):
        if "run3" in one.run.run.name:
            open({mark!r}, "w").close()
            time.sleep(600)
        yield one
scanning.examined = examined
from plateau_doctor.cli import _run
sys.exit(_run(["analyze", {folder!r}, *{options!r}]))
"""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Five runs."""
    for number in range(5):
        home = tmp_path / "logs" / f"run{number}"
        home.mkdir(parents=True)
        rows = (f"{e},{2 - 0.03 * e + number / 10},{2.1 - 0.03 * e}\n" for e in range(30))
        (home / "history.csv").write_text(HEADER + "".join(rows))
    return tmp_path / "logs"


def interrupted(runs: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Scan until the fourth run is at work, then send what Ctrl-C sends to all of the command's processes."""
    mark = runs.parent / "mark"
    mark.unlink(missing_ok=True)
    code = STUCK.format(mark=str(mark), folder=str(runs), options=options)
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not mark.exists() and child.poll() is None:
        time.sleep(0.02)
    time.sleep(0.5)  # what was done elsewhere is on its way
    os.killpg(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=120)
    return subprocess.CompletedProcess([], child.returncode, out, err)


def test_ctrl_c_keeps_what_was_done(runs: Path) -> None:
    done = interrupted(runs, "--format", "json")
    assert done.returncode == INTERRUPTED
    found = json.loads(done.stdout)
    assert [one["name"] for one in found["runs"]] == [f"run{number}/history.csv" for number in range(3)]
    assert found["problems"][0]["what"] == "the scan was stopped"
    assert found["problems"][0]["why"] == "3 of 5 runs were examined"
    assert done.stderr == "stopped: 3 runs were examined and are told\n"


def test_ctrl_c_ends_the_processes_and_keeps_the_parts_before(runs: Path) -> None:
    done = interrupted(runs, "--format", "jsonl", "--jobs", "2", "--resume", str(runs.parent / "journal"))
    assert done.returncode == INTERRUPTED
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["run"]["name"] for one in lines if "run" in one] == ["run0/history.csv", "run1/history.csv"]
    assert "Traceback" not in done.stderr
    assert '"kept"' in (runs.parent / "journal").read_text()


def on_a_terminal(runs: Path, *options: str) -> bytes:
    """Return what a scan says on stderr where that is a terminal, and a scan is long at once."""
    code = (
        "import sys; from plateau_doctor import cli_scan; cli_scan.PATIENCE = 0\n"
        f"from plateau_doctor.cli import _run; _run(['analyze', {str(runs)!r}, *{options!r}])"
    )
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=theirs) as child:
        os.close(theirs)
        said = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end was closed
                break
            if not piece:
                break
            said += piece
        assert child.wait(120) == 0
    os.close(ours)
    return said


def test_a_long_scan_shows_a_bar_on_a_terminal(runs: Path) -> None:
    assert b"5/5" in on_a_terminal(runs)


@pytest.mark.parametrize("option", ["--quiet", "--no-progress"])
def test_no_bar_is_shown_where_none_is_wanted(option: str, runs: Path) -> None:
    assert on_a_terminal(runs, option) == b""


def test_no_bar_is_shown_without_a_terminal(runs: Path) -> None:
    code = (
        "from plateau_doctor import cli_scan; cli_scan.PATIENCE = 0\n"
        f"from plateau_doctor.cli import _run; _run(['analyze', {str(runs)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""

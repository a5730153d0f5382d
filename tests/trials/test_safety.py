"""What a trial's child keeps its hands off, on scripts without any framework."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from plateau_doctor.trials.environment import BOOTSTRAP, environment
from plateau_doctor.trials.order import Order, Outcome

from .running import trial

SAVES = """
import json, os, pathlib, shutil, sys
print(sys.argv[1:], __name__, pathlib.Path("log.txt").read_text())
with open("log.txt", "a") as file:
    file.write("new\\n")
print(open("log.txt").read().split())
pathlib.Path("deep/er").mkdir(parents=True)
pathlib.Path("deep/er/best.json").write_text(json.dumps([1]))
assert os.path.exists("deep/er/best.json") and pathlib.Path("deep/er/best.json").is_file()
pathlib.Path("part").write_text("whole")
os.replace("part", "log.txt")
assert not os.path.exists("part") and open("log.txt").read() == "whole"
shutil.copy2("log.txt", "copy.txt")
os.remove("deep/er/best.json")
assert not os.path.exists("deep/er/best.json")
for act in (
    lambda: os.rename("data.csv", "gone"), lambda: os.rmdir("empty"), lambda: shutil.move("data.csv", "moved"),
    lambda: os.truncate("data.csv", 0), lambda: os.open("data.csv", os.O_WRONLY | os.O_TRUNC),
):
    try:
        act()
    except PermissionError as error:
        print(str(error)[:60])
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with files that were there before."""
    folder = tmp_path / "work"
    (folder / "old").mkdir(parents=True)
    (folder / "empty").mkdir()
    for name in ("data.csv", "old/run.csv"):
        (folder / name).write_text("kept\n")
    (folder / "log.txt").write_text("old\n")
    time.sleep(0.1)
    return folder


def test_what_was_there_before_stays_and_the_script_finds_what_it_saved(place: Path) -> None:
    (place / "script.py").write_text(SAVES)
    ran, outcome = trial(place, "script.py", "--data", "d")
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    lines = ran.stdout.splitlines()
    assert lines[0] == "['--data', 'd'] __main__ old"
    assert "['old', 'new']" in lines
    names = sorted(one.name for one in place.iterdir() if one.name != "__pycache__")
    assert names == ["data.csv", "empty", "log.txt", "old", "script.py"], "an empty folder is taken away"
    assert [(place / n).read_text() for n in ("data.csv", "old/run.csv", "log.txt")] == ["kept\n"] * 2 + [
        "old\n"
    ]
    assert {Path(one).name for one in outcome.redirected} >= {"log.txt", "best.json", "copy.txt"}
    acts = {one.split()[1] for one in outcome.refused}
    assert acts == {"delete", "rename", "overwrite"}
    assert outcome.held_on is None
    assert "keras.Model.fit" in outcome.looked_for


CLEARS = """
import glob, os, pathlib, shutil
os.remove("log.txt")
assert not os.path.exists("log.txt") and "log.txt" not in os.listdir()
try:
    os.remove("log.txt")
except FileNotFoundError:
    print("gone")
with open("log.txt", "a") as file:
    file.write("new")
assert open("log.txt").read() == "new" and "log.txt" in os.listdir(".")
pathlib.Path("old/best.pt").write_text("1")
assert sorted(glob.glob("old/*")) == ["old/best.pt", "old/run.csv"]
shutil.rmtree("old")
assert not os.path.isdir("old") and not pathlib.Path("old/run.csv").exists() and not glob.glob("old*")
os.makedirs("old/weights")
pathlib.Path("old/weights/1.pt").write_text("1")
assert [one.name for one in os.scandir("old")] == ["weights"]
assert [str(one) for one in pathlib.Path("old").rglob("*.pt")] == ["old/weights/1.pt"]
shutil.rmtree(pathlib.Path("old"))
assert not os.path.exists("old/weights")
os.makedirs("made/by")
open("made/by/script", "w").close()
assert [len(files) for _, _, files in os.walk("made")] == [0, 1]
shutil.rmtree("made")
assert not os.path.exists("made/by/script") and "made" not in os.listdir()
"""


def test_what_the_script_deletes_is_hidden_from_it_and_stays(place: Path) -> None:
    (place / "script.py").write_text(CLEARS)
    ran, outcome = trial(place, "script.py")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "gone\n", "")
    assert outcome.refused == ()
    kept = {
        one.relative_to(place).as_posix(): one.read_text()
        for one in place.rglob("*.*")
        if one.name != "script.py"
    }
    assert kept == {"data.csv": "kept\n", "old/run.csv": "kept\n", "log.txt": "old\n"}
    assert not (place / "made").exists()


def test_a_log_of_the_last_run_in_the_temporary_folder_stays_too(place: Path, tmp_path: Path) -> None:
    (place / "old").rename(tmp_path / "elsewhere")
    log = tmp_path / "elsewhere" / "run.csv"
    time.sleep(0.1)
    (place / "script.py").write_text(
        f"open({str(log)!r}, 'w').write('new'); print(open({str(log)!r}).read())"
    )
    ran, outcome = trial(place, "script.py")
    assert (ran.returncode, ran.stdout.strip()) == (0, "new"), ran.stderr
    assert log.read_text() == "kept\n"
    assert outcome.refused == ()


def test_a_package_runs_by_its_name_and_a_sitecustomize_of_the_user_runs_too(place: Path) -> None:
    (place / "pkg").mkdir()
    (place / "pkg" / "__main__.py").write_text("import random, sys; print(sys.mine, __package__)")
    (place / "sitecustomize.py").write_text("import sys; sys.mine = 'mine'")
    paths = os.pathsep.join([str(BOOTSTRAP), str(place)])
    ran, _ = trial(place, "-m", "pkg", extra={"PYTHONPATH": paths})
    assert ran.stdout == "mine pkg\n", ran.stderr


def test_a_launched_process_of_several_is_refused_with_a_clear_word(place: Path) -> None:
    (place / "script.py").write_text("print('trained')")
    ran, outcome = trial(place, "script.py", extra={"WORLD_SIZE": "4"})
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert "WORLD_SIZE=4" in outcome.problems[0]
    assert "torchrun" in ran.stderr


def test_a_wrap_that_does_not_start_is_told_and_the_script_runs_on(place: Path) -> None:
    (place / "script.py").write_text("print('trained')")
    ran, outcome = trial(place, "script.py", change={"no_such_knob": 1})
    assert ran.stdout == "trained\n"
    assert ran.stderr == ""
    assert "no_such_knob" in outcome.problems[0]


def test_a_crash_of_the_script_is_no_end_of_it(place: Path) -> None:
    (place / "script.py").write_text("raise ValueError('its own')")
    ran, outcome = trial(place, "script.py")
    assert ran.returncode == 1
    assert "ValueError: its own" in ran.stderr
    assert outcome.ended is None


def test_seeds_are_offset_once_and_told_as_the_script_set_them(place: Path) -> None:
    (place / "script.py").write_text(
        "import random, numpy as np\n"
        "random.seed(7); np.random.seed(8); g = np.random.default_rng(9)\n"
        "print(random.random(), np.random.rand(), g.random())"
    )
    import random

    import numpy as np

    ran, outcome = trial(place, "script.py", seed=5)
    wanted = (
        random.Random(12).random(),
        np.random.RandomState(13).rand(),
        np.random.default_rng(14).random(),
    )
    assert tuple(map(float, ran.stdout.split())) == wanted
    assert outcome.seeds == (7, 8, 9)


def test_an_unseeded_script_draws_the_same_in_both_arms(place: Path) -> None:
    (place / "script.py").write_text("import random; print(random.random(), list({'a', 'b', 'c'}))")
    first, second = (trial(place, "script.py", name=n, seed=3)[0].stdout for n in ("control", "treated"))
    assert first == second


def test_the_environment_names_the_order_and_keeps_trackers_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "mine")
    values = environment(Order(str(tmp_path)))
    assert values["PYTHONPATH"].split(os.pathsep) == [str(BOOTSTRAP), "mine"]
    assert values["PLATEAU_DOCTOR_ORDER"] == str(tmp_path / "order.json")
    assert values["WANDB_MODE"] == "offline"


def test_an_outcome_is_read_back_with_its_problems(tmp_path: Path) -> None:
    outcome = Outcome(problems=("a", "b"), applied={"dropout": "0.1 -> 0.2"})
    outcome.write(tmp_path)
    assert Outcome.read(tmp_path) == outcome

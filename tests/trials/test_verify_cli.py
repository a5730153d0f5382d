"""`verify` from the command line: a real script, real processes, the right exit code, and JSON by the contract."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import fields
from pathlib import Path

import jsonschema
import pytest

import plateau_doctor
from plateau_doctor.cli import _run
from plateau_doctor.cli_verify import _progress
from plateau_doctor.examination import load_fixes
from plateau_doctor.fix import Change
from plateau_doctor.runners import Ended, Job
from plateau_doctor.runners.local import Local
from plateau_doctor.trials.command import template
from plateau_doctor.trials.order import Order
from plateau_doctor.trials.plan import Budget, Plan
from plateau_doctor.trials.trial import Trial

SCHEMA = json.loads((Path(plateau_doctor.__file__).parent / "schema.json").read_text(encoding="utf-8"))
PLACES = "--lr {learning_rate} --epochs {epochs} --seed {seed} --logdir {logdir}"
SCRIPT = """
import csv, math, os, random, sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
rate, epochs, logdir = float(given["--lr"]), int(given["--epochs"]), given["--logdir"]
noise = random.Random(given["--seed"])
os.makedirs(logdir, exist_ok=True)
floor = 1.8 * min(1, rate / 0.5) ** 0.3
with open(os.path.join(logdir, "history.csv"), "w") as stream:
    out = csv.writer(stream)
    out.writerow(["epoch", "loss", "val_loss", "lr"])
    for epoch in range(epochs):
        loss = floor + (2.4 - floor) * math.exp(-epoch / 3) + noise.gauss(0, 0.01)
        out.writerow([epoch, loss, 1.05 * loss, rate])
MORE
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a script and the log of a night with too high a rate, stuck from about epoch 10 of 60."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    written(tmp_path)
    told = ["--lr", "0.5", "--epochs", "60", "--seed", "7", "--logdir", "logs"]
    subprocess.run([sys.executable, "-S", "train.py", *told], check=True)
    return tmp_path


def written(folder: Path, more: str = "") -> None:
    (folder / "train.py").write_text(SCRIPT.replace("MORE", more))


def verified(*more: str, command: str = f"{sys.executable} -S train.py {PLACES}") -> int:
    return _run(["verify", "logs", "--command", command, *more])


def test_a_fix_that_helps_is_confirmed_with_exit_code_0(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verified("--fix", "lower_lr", "--html", "report.html", "--format", "json") == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    jsonschema.validate(found, SCHEMA)
    (run,) = found["runs"]
    (verdict,) = run["verdicts"]
    assert (verdict["fix"], verdict["kind"], verdict["seeds"]) == ("lower_lr", "confirmed", 2)
    assert verdict["low"] < verdict["gain"] < verdict["high"]
    assert [(one["arm"], one["fix"], one["seed"]) for one in run["trials"]] == [
        ("control", None, 0),
        ("treated", "lower_lr", 0),
        ("control", None, 1),
        ("treated", "lower_lr", 1),
    ]
    assert all(one["outcome"] == "trained" and one["score"] > 0 for one in run["trials"])
    assert "CPU (no GPU was found)" in printed.err
    assert "lower_lr is confirmed" in (place / "report.html").read_text()


def test_a_fix_that_does_harm_is_refuted_with_exit_code_1(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harmful = "import sys\nsys.argv[2] = str(0.005 / float(sys.argv[2]))\n"
    (place / "train.py").write_text(harmful + (place / "train.py").read_text())
    assert verified("--fix", "lower_lr", "--set", "learning_rate=0.05") == 1
    text = capsys.readouterr().out
    assert "lower_lr is refuted" in text
    wide = [line for line in text.splitlines() if len(line) > 80]
    assert [line for line in wide if not line.lstrip().startswith("│")] == [], "code alone is left as it is"


def test_arms_that_crash_are_inconclusive_with_exit_code_5_and_the_tail_of_stderr(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(place, "raise MemoryError('too many layers')")
    assert verified("--fix", "lower_lr") == 5
    text = " ".join(capsys.readouterr().out.split())
    assert "lower_lr failed to run: the control arm out of memory: MemoryError: too many layers" in text


def test_a_script_that_deletes_its_logs_is_an_outcome(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(place, "import shutil; shutil.rmtree(logdir)")
    assert verified("--fix", "lower_lr") == 5
    assert "without a log" in " ".join(capsys.readouterr().out.split())


HEALTHY = Path(__file__).parent.parent.parent / "examples" / "logs" / "healthy"
SOUND = f"""
import shutil, sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
shutil.copytree({str(HEALTHY)!r}, given["--logdir"], dirs_exist_ok=True)
"""


@pytest.mark.parametrize("more", ["", "raise OSError('no data here')"])
def test_a_sound_run_s_control_is_told_and_no_fix_is_tried(
    more: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "train.py").write_text(SOUND + more)
    shutil.rmtree(place / "logs")
    shutil.copytree(HEALTHY, place / "logs")
    assert verified("--html", "report.html") == 5
    text = " ".join(capsys.readouterr().out.split())
    assert ("no fix was tried: no cause is named; give --fix" in text) == (not more)
    assert ("control/seed-0: exit status 1: OSError: no data here" in text) == bool(more)
    assert "control 0" in text
    assert "<h3>" in (place / "report.html").read_text()


def test_a_run_too_short_to_judge_trains_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (place / "logs" / "history.csv").read_text().splitlines(keepends=True)
    (place / "logs" / "history.csv").write_text("".join(lines[:4]))
    assert verified() == 2
    assert "no cause is named" in capsys.readouterr().err
    assert not (place / "plateau-doctor-trials").exists()


@pytest.mark.usefixtures("place")
def test_without_a_fix_the_dry_run_bounds_what_any_choice_may_cost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert verified("--dry-run") == 0
    text = capsys.readouterr().out
    assert "up to 8 each: 4 arms where the first fix is clear, 56 at most" in text
    assert "chosen anew by what the first control logs" in text


def test_a_dry_run_trains_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verified("--fix", "lower_lr", "--fix", "clean_labels", "--dry-run") == 0
    text = capsys.readouterr().out
    assert "control, lower_lr" in text
    assert "up to 8 each: 4 arms where the first fix is clear, 16 at most" in text
    assert "CPU (no GPU was found)" in text
    assert "unknown: the log holds no wall times" in text
    assert "not tried: clean_labels: only a person can do it" in text
    assert sorted(one.name for one in place.iterdir()) == ["logs", "train.py"]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("options", "letter"),
    [
        (["--fix", "lower_rl"], "did you mean 'lower_lr'?"),
        (["--budget", "120%"], "--budget 120%: expected a share"),
        (["--epochs", "3", "--minutes", "2"], "give one of --budget, --epochs and --minutes"),
        (["--fix", "add_dropout"], "not testable here, because the command has no {dropout}"),
        (["--fix", "lower_lr", "--minutes", "2"], "its log holds no wall times"),
    ],
)
def test_what_cannot_be_tried_is_a_letter(
    options: list[str], letter: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verified(*options) == 2
    assert letter in capsys.readouterr().err


@pytest.mark.usefixtures("place")
def test_transfer_learning_without_weights_is_not_tried_and_says_what_to_give(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["verify", "logs", "--dry-run", "--fix", "lower_lr", "--fix", "transfer_learning"]
    assert _run([*asked, "--", sys.executable, "train.py"]) == 0
    text = capsys.readouterr().out
    assert "control, lower_lr\n" in text
    assert (
        "not tried: transfer_learning: it takes a file of pretrained weights; give one as --weights" in text
    )
    assert _run([*asked, "--weights", "train.py", "--", sys.executable, "train.py"]) == 0
    assert "control, lower_lr, transfer_learning" in capsys.readouterr().out


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("command", "letter"),
    [
        ("python train.py --lr {rate} --epochs {epochs} --logdir {logdir}", "there is no placeholder {rate}"),
        ("python train.py --epochs {epochs}", "{logdir} is missing"),
        ("python train.py --logdir {logdir}", "{epochs} or {steps} is missing"),
        ("python 'train.py", "no closing quotation"),
    ],
)
def test_a_command_that_cannot_be_filled_is_a_letter(
    command: str, letter: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verified("--fix", "lower_lr", command=command) == 2
    assert letter in capsys.readouterr().err


def test_no_value_becomes_two_arguments_and_no_shell_runs(place: Path) -> None:
    line = template("train --note '{optimizer}' {logdir} {epochs}; rm -rf $HOME", {"optimizer": "a b; c"})
    assert line.filled(Order(str(place), epochs=3)) == (
        *("train", "--note", "a b; c", f"{place}/logs", "3;", "rm", "-rf", "$HOME"),
    )


def test_the_knobs_are_told_for_each_framework(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["verify", "--knobs"]) == 0
    text = capsys.readouterr().out
    for one in fields(Change):
        assert text.count(f"{one.name} ") >= 2
    assert max(len(line) for line in text.splitlines()) <= 80


@pytest.mark.usefixtures("place")
def test_without_a_way_to_train_it_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["verify", "logs"]) == 2
    assert "-- python train.py" in capsys.readouterr().err


def test_a_checkpoint_that_nothing_loads_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "near.pt").write_bytes(b"weights")
    assert verified("--from-checkpoint", "near.pt") == 2
    assert "{checkpoint}" in capsys.readouterr().err
    resumed = f"{sys.executable} -S train.py {PLACES} --from {{checkpoint}}"
    assert verified("--from-checkpoint", "near.pt", "--dry-run", command=resumed) == 0


def test_several_runs_are_refused_by_name(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "logs" / "second").mkdir()
    (place / "logs" / "second" / "history.csv").write_text((place / "logs" / "history.csv").read_text())
    assert verified("--fix", "lower_lr") == 2
    assert "RUN matches 2 runs" in capsys.readouterr().err


def test_nothing_to_verify_exits_3(place: Path) -> None:
    (place / "logs" / "history.csv").write_text("to do")
    assert verified("--fix", "lower_lr") == 3


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_edited_script_is_trained_anew(place: Path) -> None:
    assert verified("--fix", "lower_lr") == 0
    written(place, "raise SystemExit(3)")
    assert verified("--fix", "lower_lr") == 5


def test_progress_goes_to_a_terminal_with_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan((), 3, Budget(3, None, None, None, ""))
    arm = Trial(None, 0, "trained", loss=0.5)
    _progress(plan)(arm)
    assert capsys.readouterr().err == "", "stderr is no terminal here"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    _progress(plan)(arm)
    said = capsys.readouterr()
    assert said.err.startswith("control/seed-0: trained, score 0.5; 2 arms left at most, ")
    assert said.out == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupt_leaves_nothing_running_and_the_next_verify_repeats_nothing(
    place: Path, number: signal.Signals
) -> None:
    written(
        place,
        "if os.path.exists('wait') and '/lower_lr/' in logdir:\n"
        "    import time; open('pid', 'w').write(f'{os.getpid()}\\n'); time.sleep(60)",
    )
    (place / "wait").touch()
    trials = place / "plateau-doctor-trials" / "history.csv"
    journal = trials / "journal.jsonl"
    command = ["verify", "logs", "--fix", "lower_lr", "--command", f"{sys.executable} -S train.py {PLACES}"]
    parent = subprocess.Popen([sys.executable, "-m", "plateau_doctor", *command], stderr=subprocess.PIPE)
    for _ in range(3000):
        if journal.is_file() and journal.read_text().endswith("\n") and (place / "pid").exists():
            break
        time.sleep(0.01)
    pid = int((place / "pid").read_text() or 0)
    parent.send_signal(number)
    if number == signal.SIGKILL:  # nobody can clean up after that, but the next verify
        assert parent.wait(30) == -number
        assert Path(f"/proc/{pid}").exists()
    else:
        assert parent.communicate(timeout=30)[1].endswith(b"interrupted\n")
        assert parent.returncode == 130
        assert not Path(f"/proc/{pid}").exists()
    control = trials / "control" / "seed-0" / "logs" / "history.csv"
    before = control.stat().st_mtime_ns
    (place / "wait").unlink()
    assert verified("--fix", "lower_lr") == 0
    assert control.stat().st_mtime_ns == before
    assert not _runs(pid)


@pytest.mark.usefixtures("place")
def test_a_function_can_train_the_arms() -> None:
    def train(order: Order) -> None:
        rate = 0.5 * float(order.change.get("learning_rate_scale", 1.0))  # type: ignore[arg-type]
        told = ["--lr", str(rate), "--epochs", str(order.epochs), "--seed", str(order.seed)]
        logdir = str(Path(order.folder) / "logs")
        subprocess.run([sys.executable, "-S", "train.py", *told, "--logdir", logdir], check=True)

    found = plateau_doctor.verify("logs", train=train, fixes=["lower_lr"])
    assert [one.kind for one in found.runs[0].verdicts] == ["confirmed"]

    def broken(order: object) -> None:
        raise ValueError(f"no {order!r}"[:8])

    failed = plateau_doctor.verify("logs", train=broken, fixes=["lower_lr"], folder="elsewhere")
    assert [(one.outcome, one.why) for one in failed.runs[0].trials] == [
        ("crashed", "exit status 1: ValueError: no Order")
    ]


def test_the_diagnosis_is_updated_by_what_the_trial_showed() -> None:
    import sys as _sys

    _sys.path.insert(0, str(Path(__file__).parent.parent / "report"))
    import samples

    from plateau_doctor.trials.belief import updated
    from plateau_doctor.verdict import Verdict

    first, second = (
        samples.diagnosis(),
        samples.diagnosis("label_noise", probability=0.5, fixes=("clean_labels",)),
    )
    after = updated(
        [first, second], [Verdict("lower_lr", "refuted", ""), Verdict("clean_labels", "confirmed", "")]
    )
    assert [one.cause for one in after] == ["label_noise", "lr_too_high"]
    assert after[0].probability == pytest.approx(16 / 17)
    assert after[1].probability is None
    assert after[0].evidence[0].says == "a trial confirmed its fix clean_labels"
    assert updated([first], [Verdict("lower_lr", "inconclusive", "")]) == (first,)


def test_by_a_command_too_one_of_dropout_and_decay_is_enough() -> None:
    change = load_fixes()["less_regularization"].change
    assert change is not None
    base = template("t --p {dropout} --n {epochs} --to {logdir}", {"dropout": 0.8})
    assert base.untestable(change) == ""
    order = Order("here", {"dropout_scale": 0.2, "weight_decay_scale": 0.01}, epochs=2)
    assert base.filled(order)[2] == "0.16"
    neither = template("t --n {epochs} --to {logdir}", {"dropout": 0.8})
    assert "the command has no {" in neither.untestable(change)


class LastFirst(Local):
    """Runs the last job first, as one that is quicker ends first where several run."""

    def run(self, jobs: Sequence[Job]) -> Generator[tuple[Job, Ended], None, None]:
        yield from super().run(jobs[::-1])


def test_a_treated_arm_that_crashes_before_any_control_has_ended_is_told(place: Path) -> None:
    written(place, "if float(given['--clip']): raise ValueError('no clipping here')")
    command = f"{sys.executable} -S train.py {PLACES} --clip {{clip_norm}}"
    found = plateau_doctor.verify(
        "logs", command=command, fixes=["clip_gradients"], seeds=1, runner=LastFirst((), 1)
    )
    (run,) = found.runs
    assert [(one.fix, one.outcome) for one in run.trials] == [("clip_gradients", "crashed")]
    assert [one.kind for one in run.verdicts] == ["failed"]
    assert "no clipping here" in run.verdicts[0].why

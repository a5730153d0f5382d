"""What came of an arm, in a word: crash, memory, time, NaN and refusals are outcomes."""

import math
from pathlib import Path

import pytest

from plateau_doctor.fix import Change
from plateau_doctor.runners import Ended
from plateau_doctor.trials.order import Order, Outcome
from plateau_doctor.trials.trial import Arm, judged, run_in, scores_of, trial_of
from trials.recordings import run

ARM = Arm("lower_lr", Change(learning_rate_scale=0.1), 1)
FINE = Outcome(
    held_on="keras.Model.fit", ended="cap", steps=10, epochs=2, loss=0.5, looked_for=("keras.Model.fit",)
)


@pytest.mark.parametrize(
    ("ended", "told", "word", "why"),
    [
        (Ended("by itself", 0), FINE, "trained", ""),
        (
            Ended("by itself", 1, tail="Traceback\nKeyError: 'x'"),
            FINE,
            "crashed",
            "exit status 1: KeyError: 'x'",
        ),
        (Ended("by itself", -11), None, "crashed", "ended by signal 11"),
        (Ended("by itself", -9), FINE, "out of memory", "killed from outside"),
        (
            Ended("by itself", 1, tail="torch.OutOfMemoryError: CUDA out of memory."),
            None,
            "out of memory",
            "torch.Out",
        ),
        (Ended("timed out", -9, 61.0), FINE, "timed out", "stopped after 61 s"),
        (Ended("stopped"), None, "stopped", "interrupted"),
        (Ended("not started", tail="pyton: No such file"), None, "crashed", "not started: pyton"),
        (Ended("by itself", 0), None, "crashed", "without a log"),
        (
            Ended("by itself", 1),
            Outcome(refused=("would overwrite /data/y.csv",)),
            "would overwrite",
            "the script would overwrite /data/y.csv, which was there before",
        ),
        (
            Ended("by itself", 0),
            Outcome(held_on="torch.optim", ended="script", refused=("would delete /x",), loss=0.3),
            "trained",
            "",
        ),
        (
            Ended("by itself", 0),
            Outcome(
                held_on="torch.optim", not_testable={"learning_rate_scale": "no optimizer", "dropout": "none"}
            ),
            "not testable",
            "not testable here, because learning_rate_scale: no optimizer",
        ),
        (
            Ended("by itself", 0),
            Outcome(looked_for=("torch.optim",)),
            "nothing to hold on to",
            "looked for torch.optim",
        ),
        (Ended("by itself", 2), Outcome(problems=("WORLD_SIZE=4: one process",)), "crashed", "WORLD_SIZE=4"),
        (
            Ended("by itself", 0),
            Outcome(held_on="x", ended="cap", loss=math.nan),
            "nan",
            "the loss went to NaN",
        ),
    ],
)
def test_how_an_arm_ended_is_a_word_and_a_sentence(
    ended: Ended, told: Outcome | None, word: str, why: str
) -> None:
    found = judged(ARM, ended, told, None)
    assert found.outcome == word
    assert why in found.why
    assert bool(why) == bool(found.why)
    assert found.ran == (word in ("trained", "nan"))


def test_a_log_that_ends_in_nan_is_an_outcome_of_a_script_that_did_not_mind() -> None:
    lost = run(1.0)
    lost.scalars.loc[lost.scalars["step"] > 40, "value"] = math.nan
    found = judged(ARM, Ended("by itself", 0), None, lost)
    assert found.outcome == "nan"
    assert math.isnan(found.loss or 0.0)


def test_the_score_of_a_log_is_the_median_of_the_last_tenth_of_its_evaluations() -> None:
    one = run(1.0, noise=0.0)
    last = (one.scalars["role"] == "val_loss") & (one.scalars["step"] >= 54)
    one.scalars.loc[last, "value"] = [0.3, 0.1, 0.2, 0.4, 0.5, 9.0]
    assert scores_of(one)[0] == pytest.approx(0.35)
    assert scores_of(None) == (None, {})


def test_what_is_in_the_folder_is_what_counts(tmp_path: Path) -> None:
    order = Order(str(tmp_path))
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "first.csv").write_text("epoch,loss\n" + "".join(f"{i},{1 / (i + 1)}\n" for i in range(30)))
    (logs / "second.csv").write_text(
        "epoch,loss,val_loss\n" + "".join(f"{i},{1 / (i + 1)},{0.5 + 1 / (i + 1)}\n" for i in range(12))
    )
    found = run_in(tmp_path)
    assert found is not None
    assert found.name == "second.csv", "the one with held-out points"
    (tmp_path / "outcome.json").write_text('{"loss": 0.2')
    trial = trial_of(ARM, order, Ended("by itself", 0, 4.0, 1000))
    assert (trial.outcome, trial.epochs, trial.seconds, trial.peak_memory) == ("trained", 12.0, 4.0, 1000)
    assert trial.loss == pytest.approx(0.5 + 1 / 12)
    FINE.write(tmp_path)
    told = trial_of(ARM, order, Ended("by itself", 0, 4.0))
    assert (told.loss, told.steps, told.epochs, told.held_on) == (0.5, 10.0, 2.0, "keras.Model.fit")

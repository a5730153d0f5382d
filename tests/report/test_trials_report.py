"""What trials came to, for people and machines: a sentence, a table of 80 columns, curves, and the contract."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
import samples

import plateau_doctor
from plateau_doctor.examination import RunExamination
from plateau_doctor.report import render
from plateau_doctor.report.trials import verdict_says
from plateau_doctor.trials.trial import Trial, Word
from plateau_doctor.trials.trouble import Silence
from plateau_doctor.verdict import Verdict

SCHEMA = json.loads((Path(plateau_doctor.__file__).parent / "schema.json").read_text(encoding="utf-8"))


def tried() -> RunExamination:
    """A stuck run whose first fix was refuted and whose second one was confirmed; one arm crashed, one went to NaN."""
    run = samples.stuck().run
    arms = [
        Trial(
            None,
            0,
            "trained",
            steps=920.0,
            epochs=20.0,
            seconds=61.5,
            loss=1.61,
            peak_memory=812_000_000,
            run=run,
        ),
        Trial(None, 1, "trained", steps=920.0, epochs=20.0, seconds=60.2, loss=1.58, run=run),
        Trial(
            "reduce_on_plateau",
            0,
            "nan",
            "the loss went to NaN or Inf",
            steps=920.0,
            epochs=20.0,
            loss=float("nan"),
        ),
        Trial("reduce_on_plateau", 1, "crashed", "exit status 1: ValueError: \x1b[2Jno <axis>", seconds=3.0),
        Trial("lower_lr", 0, "trained", steps=920.0, epochs=20.0, seconds=61.0, loss=0.41, run=run),
        Trial("lower_lr", 1, "trained", steps=920.0, epochs=20.0, seconds=62.0, loss=0.43, run=run),
    ]
    verdicts = (
        Verdict(
            "reduce_on_plateau", "refuted", "all is below 5%", -0.6, -1.1, -0.1, "log ratio", 0.0121, 2, 0.9
        ),
        Verdict("lower_lr", "confirmed", "all is above 0", 1.32, 0.2, 2.4, "log ratio", 0.0121, 2, 1.33),
    )
    silence = Silence("lr_too_high", "the training loss turned around at 62% of its late points", 2, 0, 2)
    return samples.stuck(
        trials=tuple(arms),
        verdicts=verdicts,
        silences={"lower_lr": (silence,)},
        untested={"clean_labels": "only a person can do it"},
    )


def test_the_text_says_verdict_change_arms_and_signs_in_80_columns(
    golden: Callable[[str, str], None],
) -> None:
    text = render(samples.examination(tried()), "full", plain=True)
    assert max(len(line) for line in text.splitlines()) <= 80
    golden("report.verify.txt", text)


def test_the_concise_text_has_a_line_for_each_verdict() -> None:
    lines = render(samples.examination(tried()), "concise").splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("  ")] == [
        "  reduce_on_plateau is refuted",
        "  lower_lr is confirmed",
    ]


def test_the_table_of_arms_fits_whatever_they_are_called() -> None:
    arms = [Trial("add_skip_connections", 0, word, steps=123456.0, epochs=100.0) for word in get_args(Word)]  # type: ignore[arg-type]
    text = render(samples.examination(replace(tried(), trials=tuple(arms))), "full")
    assert max(len(line) for line in text.splitlines()) <= 80


def test_the_json_keeps_the_contract_and_nan_is_null() -> None:
    found = json.loads(render(samples.examination(tried()), "json"))
    jsonschema.validate(found, SCHEMA)
    (run,) = found["runs"]
    assert run["trials"][2] == {
        "fix": "reduce_on_plateau",
        "arm": "treated",
        "seed": 0,
        "outcome": "nan",
        "steps": 920.0,
        "seconds": None,
        "score": None,
    }
    assert run["verdicts"][1] == {
        "fix": "lower_lr",
        "kind": "confirmed",
        "gain": 1.32,
        "low": 0.2,
        "high": 2.4,
        "seeds": 2,
        "cost": 1.33,
    }


@pytest.mark.parametrize(
    ("path", "value"), [(("trials", 0, "outcome"), "well"), (("verdicts", 0, "kind"), "maybe")]
)
def test_the_schema_refuses_words_that_the_contract_does_not_have(
    path: tuple[str, int, str], value: str
) -> None:
    found = json.loads(render(samples.examination(tried()), "json"))
    found["runs"][0][path[0]][path[1]][path[2]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, SCHEMA)


def test_the_page_shows_the_curves_of_control_and_treated_and_hides_no_trick() -> None:
    page = render(samples.examination(tried()), "html")
    assert "Control and lower_lr" in page
    assert "one line a seed, 2 and 2" in page
    assert "lower_lr is confirmed" in page
    assert "\x1b" not in page
    assert "<axis>" not in page
    assert "What the trials showed" not in render(samples.examination(samples.stuck()), "html")


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (Verdict("x", "failed", "no arm ran"), "x failed to run: no arm ran."),
        (
            Verdict("x", "inconclusive", "one seed", 0.105, unit="log ratio", seeds=1),
            "x is inconclusive: the held-out loss ends 10.0% lower with it than without (1 seed); one seed.",
        ),
        (
            Verdict("x", "confirmed", "w", 2.0, 0.5, 3.5, "points", 0.05, 3, 0.5),
            "x is confirmed: the held-out metric ends 2.0 points higher with it than without (95.0% interval 0.5 "
            "points to 3.5 points higher, 3 seeds, at the cost of 0.5 original runs); w.",
        ),
        (
            Verdict("x", "refuted", "w", -0.1, -0.2, -0.05, "log ratio", 0.05, 3),
            "x is refuted: the held-out loss ends 10.5% higher with it than without (95.0% interval 5.1% to 22.1% "
            "higher, 3 seeds); w.",
        ),
        (
            Verdict("x", "inconclusive", "w", 0.0, -0.05, 0.05, "log ratio", 0.05, 3),
            "x is inconclusive: the held-out loss ends 0.0% lower with it than without (95.0% interval 5.1% higher to "
            "4.9% lower, 3 seeds); w.",
        ),
    ],
)
def test_a_verdict_is_one_sentence_with_its_numbers(verdict: Verdict, said: str) -> None:
    assert verdict_says(verdict) == said


def test_a_run_without_trials_is_shown_as_before() -> None:
    one = samples.stuck()
    assert render(samples.examination(one), "full") == render(
        samples.examination(replace(one, trials=())), "full"
    )

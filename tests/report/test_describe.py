"""What `inspect` and `explain` print."""

import dataclasses
import json
import math

import pytest
import samples

from plateau_doctor.condition import Condition
from plateau_doctor.report import describe, explain_cause, explain_fix
from plateau_doctor.rule import Rule, Sign
from plateau_doctor.run import Problem, Run, scalar_frame

PROBLEM = Problem("logs/b.csv", "empty file", "it has no bytes")


def test_every_tag_is_described_with_its_role_and_why():
    one = dataclasses.replace(samples.stuck().run, reasons={"loss": "a loss with no side named"})
    text = describe([one, PROBLEM])
    assert "digits/lr_too_high (csv, logs/digits/lr_too_high)" in text
    assert "train_loss (a loss with no side named): 60 points, steps 0..2714" in text
    assert "gradient histogram: 10 points" in text
    assert "settings: optimizer=sgd, batch_size=32, learning_rate=0.5" in text
    assert "not read: logs/b.csv: empty file: it has no bytes" in text


def test_a_resumed_run_tells_its_segments():
    run = samples.healthy().run
    run.scalars.loc[run.scalars["step"] >= 50, "segment"] = 1
    run.scalars.loc[run.scalars["step"] == 49, "live"] = False
    assert "2 segments, 1 rewritten" in describe([run])


def test_the_description_is_json_too():
    run = dataclasses.replace(samples.stuck().run, settings={"lr": math.nan, "nesterov": True})
    whole = json.loads(describe([run, PROBLEM], "json"))
    assert whole["runs"][0]["settings"] == {"lr": None, "nesterov": True}
    assert whole["runs"][0]["tags"][0]["role"] == "train_loss"
    told = {
        "path": "logs/b.csv",
        "what": "empty file",
        "why": "it has no bytes",
        "offset": None,
        "length": None,
    }
    assert whole["problems"] == [told]


def test_a_hostile_tag_is_described_as_text():
    run = samples.healthy().run
    run.scalars["tag"] = "\x1b[2J\u202e" + run.scalars["tag"]
    text = describe([run])
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="text, json"):
        describe([], "xml")


def test_a_cause_is_explained_with_both_sides_and_its_fixes():
    signs = (
        Sign("for", "strong", Condition.parse("a > 1"), "a is {a}", "bouncing"),
        Sign("against", "fair", Condition.parse("b < 2"), "b is {b}", ""),
    )
    rule = Rule(
        "lr_too_high", "learning_rate", "draft", "error", "It is too high.", "Because.", ("lower_lr",),
        ("label_noise",), ("Smith 2017",), "a cyclical schedule", signs, (), "lr_too_high.toml",
    )  # fmt: skip
    lines = explain_cause(rule).splitlines()
    at = lines.index("  + strong [bouncing]: a is \N{HORIZONTAL ELLIPSIS}")
    assert lines[at + 1] == "      when a > 1"
    assert "  - fair: b is \N{HORIZONTAL ELLIPSIS}" in lines
    assert "  lower_lr" in lines
    assert "  a cyclical schedule" in lines


def test_a_fix_is_explained_with_all_its_code():
    text = explain_fix(samples.FIXES["lower_lr"])
    assert "model.optimizer.learning_rate" in text
    assert "    group['lr'] *= 0.1" in text
    assert "arXiv:1506.01186" in text


def test_why_logs_were_joined_is_told():
    why = "history.csv holds the same values and was left out"
    run = dataclasses.replace(samples.stuck().run, reasons={"joined": why})
    assert f"joined: {why}" in describe([run])
    assert json.loads(describe([run], "json"))["runs"][0]["notes"] == [f"joined: {why}"]


def test_a_gap_is_told_with_its_place():
    run = dataclasses.replace(
        samples.stuck().run, problems=(Problem("a", "bytes that are no record", "cut", 88, 13),)
    )
    (told,) = json.loads(describe([run], "json"))["runs"][0]["problems"]
    assert (told["offset"], told["length"]) == (88, 13)
    assert "88" in describe([run])


def test_siblings_are_told_with_what_they_differ_in():
    rows = [{"tag": "loss", "role": "train_loss", "step": i, "value": 2 - i / 20} for i in range(30)]
    runs = [
        Run(f"lr{lr}_seed{seed}", f"logs/lr{lr}_seed{seed}", "csv", scalar_frame(rows))
        for lr in (0.01, 0.1)
        for seed in (0, 1)
    ]
    text = describe(runs)
    assert (
        "siblings: lr0.01_seed0, lr0.01_seed1, lr0.1_seed0, lr0.1_seed1; they differ in learning_rate, seed"
        in text
    )
    (told,) = json.loads(describe(runs, "json"))["siblings"]
    assert told["differ_in"] == ["learning_rate", "seed"]

"""Siblings: who belongs together, what they say of each other, and that nobody is made a sibling by chance."""

import dataclasses
import re
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from plateau_doctor import places
from plateau_doctor.curve import points
from plateau_doctor.examination import Examination, analyze, load_rules
from plateau_doctor.facts import Facts, Logged, Value, known_facts
from plateau_doctor.facts.siblings import find_siblings
from plateau_doctor.kinship import families, place_of
from plateau_doctor.letters import RuleError
from plateau_doctor.names import canonical, settings_in, skeleton, unnamed_numbers
from plateau_doctor.report import render
from plateau_doctor.report.json import to_json
from plateau_doctor.report.siblings import families_say
from plateau_doctor.run import Run, scalar_frame
from plateau_doctor.siblings import Family, Siblings
from plateau_doctor.summary import Summary

STUCK, FALLS, FLOOR = "2.3 2.29x39~0.003", "2.3*0.95x39", "2.3*0.9x10 1.2x30~0.003"
Settings = Mapping[str, float | str | bool]


def a_run(name: str, curve: str = STUCK, settings: Settings | None = None, **tags: str) -> Run:
    """A run that logged its loss, and whatever else `tags` name, once an epoch."""
    curves = {"loss": curve, **tags}
    roles = {"loss": "train_loss", "val_loss": "val_loss", "mse": "train_loss"}
    rows = [
        {"tag": tag, "role": roles[tag], "step": i, "epoch": i, "value": value}
        for tag, text in curves.items()
        if text
        for i, value in enumerate(points(text, f"{name}/{tag}"))
    ]
    return Run(name, f"logs/{name}", "csv", scalar_frame(rows), settings=settings or {})


def facts_of(*runs: Run) -> list[dict[str, Value]]:
    """The siblings' facts of each run, by their name behind the dot."""
    found = find_siblings(runs)
    each = [Facts(run, found.get(i)) for i, run in enumerate(runs)]
    return [
        {name.partition(".")[2]: facts[name] for name in facts if name.startswith("siblings.")}
        for facts in each
    ]


def together(*runs: Run) -> list[list[str]]:
    """The names of the runs that are siblings."""
    found = find_siblings(runs)
    by_family: dict[int, list[str]] = {}
    for i in sorted(found):
        by_family.setdefault(id(found[i].family), []).append(runs[i].name)
    return list(by_family.values())


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("lr=0.1", {"learning_rate": 0.1}),
        ("lr0.01_seed3", {"learning_rate": 0.01, "seed": 3.0}),
        ("bs32", {"batch_size": 32.0}),
        ("runs/weight-decay-5e-4/history.csv", {"weight_decay": 0.0005}),
        ("learning_rate=1e-05,batch=32", {"learning_rate": 1e-05, "batch_size": 32.0}),
        ("2026_02_02_exp_013_custom_cnn_lr_1e-3", {"learning_rate": 0.001}),
        ("lr001", {"learning_rate": "001"}),
        ("seed007", {"seed": 7.0}),
        ("version_3", {}),
        ("resnet18", {}),
        ("color3", {}),
        ("lr0.1x", {}),
    ],
)
def test_settings_are_read_from_names_and_none_is_guessed(name: str, settings: Settings) -> None:
    assert settings_in(name) == settings


def test_names_that_differ_in_numbers_alone_have_one_skeleton() -> None:
    assert skeleton("lr0.01_seed3") == skeleton("lr0.1_seed0_wd1e-4")
    assert skeleton("a/version_3") == skeleton("a/version_12")
    assert skeleton("run_2024-01-05_12-30-00") == skeleton("run_2025-11-23_01-02-03")
    assert skeleton("cnn_lr0.1") != skeleton("mlp_lr0.1")


def test_a_number_that_says_no_key_is_kept_as_unnamed_and_a_counter_is_not() -> None:
    assert list(unnamed_numbers("resnet18_lr0.1").values()) == ["18"]
    assert unnamed_numbers("version_3/trial7/2024-01-05/12") == {}


@pytest.mark.parametrize("key", ["lr", "LR", "learning-rate", "learningRate", "Learning Rate", "base_lr"])
def test_a_setting_has_one_key_however_it_is_spelled(key: str) -> None:
    assert canonical(key) == "learning_rate"


def test_seeds_and_sweeps_are_siblings() -> None:
    assert together(a_run("seed0"), a_run("seed1")) == [["seed0", "seed1"]]
    assert together(a_run("lr_0.1/seed0"), a_run("lr_0.01/seed0")) == [["lr_0.1/seed0", "lr_0.01/seed0"]]
    logged = [
        a_run(name, settings={"lr": lr, "optimizer": "sgd"}) for name, lr in (("high", 0.1), ("low", 1e-4))
    ]
    assert together(*logged) == [["high", "low"]]


def test_a_file_name_that_any_run_could_have_does_not_tell_runs_apart() -> None:
    assert together(a_run("seed0/history.csv"), a_run("seed1/history.csv")) != []
    assert together(a_run("cnn/history.csv"), a_run("mlp/history.csv")) == []


def test_runs_of_unlike_names_without_settings_are_no_siblings() -> None:
    assert together(a_run("baseline"), a_run("mixup")) == []


def test_runs_with_other_tags_in_one_folder_are_no_siblings() -> None:
    assert together(a_run("run1"), a_run("run2", "", mse=STUCK)) == []


def test_a_loss_of_another_scale_is_no_sibling_and_a_blow_up_is_one() -> None:
    other = a_run("run3", "23000*0.95x39")
    assert together(a_run("run1"), a_run("run2"), other) == [["run1", "run2"]]
    assert together(a_run("run1"), other) == []
    assert together(a_run("run1"), a_run("run2", FALLS), a_run("run3", "9000 2.4x39~0.01")) == [
        ["run1", "run2", "run3"]
    ]


def test_another_task_or_too_many_settings_apart_are_no_siblings() -> None:
    base: dict[str, float | str | bool] = {"lr": 0.1, "optimizer": "sgd", "dataset": "digits"}
    assert together(a_run("a", settings=base), a_run("b", settings={**base, "dataset": "mnist"})) == []
    five = dict.fromkeys(("p", "q", "r", "s", "t"), 1.0)
    far = dict.fromkeys(five, 2.0)
    assert together(a_run("a", settings={**base, **five}), a_run("b", settings={**base, **far})) == []


def test_seeds_among_a_history_of_attempts_are_siblings() -> None:
    keys = ("p", "q", "r", "s", "t")
    one, other = dict.fromkeys(keys, 1.0), dict.fromkeys(keys, 2.0)
    runs = [
        a_run(f"version_{i}", settings={**settings, "seed": float(seed)})
        for i, (settings, seed) in enumerate(((one, 0), (other, 0), (one, 1)))
    ]
    assert together(*runs) == [["version_0", "version_2"]]


def test_no_run_is_its_own_sibling() -> None:
    assert together(a_run("seed0")) == []
    assert set(facts_of(a_run("seed0"))[0].values()) == {None}


def test_what_was_measured_and_where_it_was_written_is_no_difference() -> None:
    base: dict[str, float | str | bool] = {"lr": 0.1, "batch_size": 32.0, "seed": 1233.0}
    other = {**base, "seed": 1234.0, "output_dir": "x", "input_rms": 0.31, "started": "today"}
    facts = facts_of(
        a_run("a", FLOOR, {**base, "output_dir": "y", "input_rms": 0.3, "started": "now"}),
        a_run("b", FLOOR, other),
    )
    assert [one["seeds"] for one in facts] == [1.0, 1.0]


def test_seeds_on_one_floor_are_told_from_seeds_of_which_some_escape() -> None:
    floor = facts_of(*(a_run(f"seed{i}", FLOOR) for i in range(3)))
    assert all(one["shared_floor"] is True and one["seeds_escaped"] == 0 for one in floor)
    assert all(0 < float(one["seeds_spread"] or 0) < 0.02 for one in floor)
    luck = facts_of(a_run("seed0", FALLS), a_run("seed1"), a_run("seed2"))
    assert [one["shared_floor"] for one in luck] == [False] * 3
    assert [one["seeds_escaped"] for one in luck] == [0.0, 0.5, 0.5]
    assert [one["stuck"] for one in luck] == [1.0, 0.5, 0.5]


def test_repeats_without_a_known_seed_are_no_seeds() -> None:
    facts = facts_of(a_run("version_0"), a_run("version_1", FALLS))
    assert [one["seeds"] for one in facts] == [0.0, 0.0]
    assert [one["seeds_spread"] for one in facts] == [None, None]


def test_one_setting_that_separates_the_stuck_is_named_as_seen_from_each() -> None:
    facts = facts_of(
        a_run("lr0.00001"),
        a_run("lr0.001", FALLS),
        a_run("lr0.01", FALLS),
        a_run("lr1"),
    )
    assert [one["escaped_by"] for one in facts] == [
        "higher learning_rate",
        None,
        None,
        "lower learning_rate",
    ]
    assert facts[0]["escaped"] == pytest.approx(1 - 2.3 * 0.95**37 / 2.29, abs=0.02)
    assert facts[0]["at_lower_rate"] is None
    assert float(facts[1]["at_higher_rate"] or 0) == pytest.approx(0, abs=1e-9)


def test_two_settings_that_separate_leave_open_which_one_did() -> None:
    facts = facts_of(a_run("lr0.1_bs32"), a_run("lr0.01_bs64", FALLS))
    assert [one["escaped_by"] for one in facts] == [None, None]
    assert facts[0]["at_lower_rate"] is None
    unnamed = facts_of(a_run("resnet50_lr0.1"), a_run("resnet18_lr0.01", FALLS))
    assert unnamed[0]["escaped_by"] is None


def test_a_stuck_run_among_those_that_escaped_is_separated_by_nothing() -> None:
    facts = facts_of(a_run("lr0.001", FALLS), a_run("lr0.003"), a_run("lr0.01", FALLS), a_run("lr1"))
    assert [one["escaped_by"] for one in facts] == [None] * 4


def test_less_decay_escapes_only_where_validation_does_too() -> None:
    high = a_run("wd0.1", STUCK, val_loss=STUCK)
    assert facts_of(high, a_run("wd0.001", FALLS, val_loss=FALLS))[0]["escaped_by"] == "lower weight_decay"
    assert facts_of(high, a_run("wd0.001", FALLS, val_loss=STUCK))[0]["escaped_by"] is None
    assert facts_of(a_run("wd0.1"), a_run("wd0.001", FALLS))[0]["escaped_by"] is None


def test_a_logged_curve_of_the_rate_stands_for_the_setting() -> None:
    def with_rate(name: str, curve: str, rate: float) -> Run:
        run = a_run(name, curve)
        rates = scalar_frame(
            [{"tag": "lr", "role": "learning_rate", "step": i, "value": rate} for i in range(40)]
        )
        return dataclasses.replace(run, scalars=pd.concat([run.scalars, rates], ignore_index=True))

    facts = facts_of(with_rate("run1", STUCK, 1.0), with_rate("run2", FALLS, 0.01))
    assert facts[0]["escaped_by"] == "lower learning_rate"


def test_a_run_too_short_to_judge_is_no_evidence() -> None:
    facts = facts_of(a_run("seed0"), a_run("seed1", "2.3 2.2 2.1"))
    assert facts[0]["count"] == 0
    assert facts[0]["stuck"] is None
    assert facts[0]["escaped"] is None


def test_forty_thousand_siblings_are_compared_once_and_not_each_with_each() -> None:
    known = [fact for name, fact in known_facts().items() if name.startswith("siblings.")]
    members = [
        Summary(
            f"run{i}",
            {"seed": float(i), "learning_rate": 10.0 ** -(i % 5)},
            "plateaued" if i % 2 else "improving",
            level=1.0 + i % 7,
            first=2.0,
            steps=40.0,
        )
        for i in range(40_000)
    ]
    run, family = a_run("run"), Family(members)
    began = time.process_time()
    for one in members:
        logged = Logged(run, Siblings(family, one))
        for fact in known:
            fact.compute(logged)
    assert time.process_time() - began < 10, "one comparison a pair would take minutes"


MIXED = {f"seed{i}": STUCK if i % 2 else FALLS for i in range(4)} | {"lr0.1": STUCK, "lr0.001": FALLS}
RATES = {"lr1": STUCK, "lr0.1": STUCK, "lr0.01": FALLS, "lr0.001": FALLS}


def swept(folder: Path, curves: Mapping[str, str]) -> Examination:
    """What is found in a folder of histories of these curves."""
    for name, text in curves.items():
        place = folder / name
        place.mkdir()
        values = points(text, name)
        rows = "\n".join(f"{i},{value:.6f}" for i, value in enumerate(values))
        (place / "history.csv").write_text(f"epoch,loss\n{rows}\n")
    return analyze([folder])


def test_the_folder_is_summed_up_above_the_runs_in_every_format_for_people(tmp_path: Path) -> None:
    found = swept(tmp_path, MIXED)
    said = "3 of 6 siblings are stuck from epoch"
    for form in ("full", "concise", "html"):
        text = " ".join(render(found, form).split())
        assert said in text, form
        assert text.index(said) < text.index("seed1/history.csv: stuck") if form != "html" else True


def test_a_summary_names_the_setting_that_tells_the_stuck_apart() -> None:
    runs = [a_run(f"s/lr{lr}", STUCK if lr > 0.05 else FALLS) for lr in (0.001, 0.01, 0.1, 1.0)]
    assert families_say(examined(runs)) == (
        "s/lr0.001 to lr1.0 (4 runs): 2 of 4 siblings are stuck from epoch 0; the 2 siblings at learning_rate "
        "0.001 to 0.01 are not (loss 0.345 at best, against 2.29).",
    )
    seeds = [a_run(f"seed{i}", FLOOR) for i in range(3)]
    (said,) = families_say(examined(seeds))
    assert said.startswith("seed0, seed1 and seed2: all 3 seeds are stuck from epoch")
    assert said.endswith("of one level: the seed does not decide.")


def test_a_summary_of_a_sweep_says_where_the_seed_alone_decides() -> None:
    runs = [a_run(f"s/lr0.1_seed{i}/history.csv", FALLS if i else STUCK) for i in range(3)]
    (said,) = families_say(examined([*runs, a_run("s/lr1/history.csv"), a_run("s/lr0.1/history.csv", FALLS)]))
    assert said.startswith("s/lr0.1_seed0 to lr0.1 (5 runs): 2 of 5 siblings are stuck")
    assert said.endswith("Of 3 that differ in the seed alone (lr0.1_seed0 and lr0.1_seed2, ...), 1 is stuck.")


def test_a_reward_is_told_as_it_was_logged() -> None:
    def agent(name: str, text: str) -> Run:
        rows = [
            {"tag": "ep_rew", "role": "reward", "step": i, "value": v}
            for i, v in enumerate(points(text, name))
        ]
        return Run(name, f"logs/{name}", "csv", scalar_frame(rows))

    stuck, learning = agent("PPO_1", "-200x40~0.5"), agent("PPO_2", "-200+4x39")
    (said,) = families_say(examined([stuck, learning]))
    assert "PPO_2 is not (ep_rew -5" in said
    assert "against -200)" in said


def test_nothing_is_said_where_no_sibling_is_stuck() -> None:
    assert families_say(examined([a_run("seed0", FALLS), a_run("seed1", FALLS)])) == ()
    assert families_say(examined([a_run("seed0"), a_run("seed1", "2.3 2.2 2.1")])) == ()


def test_the_contract_for_machines_has_the_facts_in_the_evidence_and_no_new_key(tmp_path: Path) -> None:
    runs = to_json(swept(tmp_path, RATES))["runs"]
    alone = to_json(analyze([tmp_path / "lr1"]))["runs"][0]
    assert all(run.keys() == alone.keys() for run in runs)
    assert alone["diagnoses"] == []
    (high,) = [d for run in runs if run["name"].startswith("lr1") for d in run["diagnoses"]]
    assert high["cause"] == "lr_too_high"
    facts = {name: value for one in high["evidence"] if one["seen"] for name, value in one["facts"].items()}
    assert facts["siblings.escaped_by"] == "lower learning_rate"
    assert facts["siblings.at_lower_rate"] > 0.8


def test_no_log_is_asked_for_that_only_a_sibling_could_give(tmp_path: Path) -> None:
    found = swept(tmp_path, MIXED)
    assert not [m for one in found.runs for m in one.missing if "sibling" in m.log]


def test_the_order_of_the_runs_changes_nothing_that_is_said() -> None:
    runs = [a_run(f"lr{lr}_seed{s}", STUCK if lr > 0.05 else FALLS) for lr in (0.01, 0.1) for s in (0, 1)]
    forth, back = facts_of(*runs), facts_of(*reversed(runs))
    assert forth == list(reversed(back))
    assert families([place_of(run) for run in runs]) == ((0, 1, 2, 3),)


def examined(runs: list[Run]) -> Examination:
    found = find_siblings(runs)
    return Examination((), families=tuple(dict.fromkeys(found[i].family for i in sorted(found))))


def test_no_name_of_a_sibling_moves_the_cursor_or_writes_markup() -> None:
    runs = [a_run(f"\x1b[2J<b>_seed{i}", STUCK if i else FALLS) for i in range(2)]
    found = examined(runs)
    for form in ("full", "concise", "html"):
        text = render(found, form)
        assert "1 of 2 seeds" in text
        assert "\x1b[2J" not in text
    assert "<b>" not in render(found, "html")


@pytest.mark.parametrize(
    ("siblings", "word"),
    [
        ("siblings = 3", "[[fires.siblings]]"),
        ('[[fires.siblings]]\ntrain_los = "1x9"', "did you mean 'train_loss'?"),
        ('[[fires.siblings]]\ntrain_loss = "1xx9"', "no part of a curve"),
    ],
)
def test_a_mistake_in_the_siblings_of_an_example_is_a_letter(
    tmp_path: Path, siblings: str, word: str
) -> None:
    text = (places.rules_folder() / "causes" / "lr_too_low.toml").read_text()
    head = text.replace('cause    = "lr_too_low"', 'cause = "mine"').partition("[[fires]]")[0]
    (tmp_path / "mine.toml").write_text(f'{head}[[fires]]\nname = "x"\ntrain_loss = "2x9"\n{siblings}\n')
    with pytest.raises(RuleError, match=re.escape(word)):
        load_rules([tmp_path])

"""The contract for machines: the shipped schema holds it, and nothing in it is not JSON."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import samples

import plateau_doctor
from plateau_doctor.report import render
from plateau_doctor.report.json import to_json

SCHEMA = json.loads((Path(plateau_doctor.__file__).parent / "schema.json").read_text(encoding="utf-8"))


def strictly(text: str) -> dict:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    "found", [samples.everything(), samples.examination()], ids=["everything", "nothing"]
)
def test_the_output_keeps_the_shipped_schema(found):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(strictly(render(found, "json")), SCHEMA)


@pytest.mark.parametrize(
    "path", [("tool",), ("runs", 0, "state"), ("runs", 0, "diagnoses", 0, "evidence", 0, "seen")]
)
def test_the_schema_refuses_an_output_that_lacks_a_field(path):
    whole = to_json(samples.everything())
    inner = whole
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(whole, SCHEMA)


def test_the_schema_refuses_a_field_that_the_contract_does_not_name():
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**to_json(samples.examination()), "extra": 1}, SCHEMA)


def test_numbers_that_are_not_finite_become_null():
    run = strictly(render(samples.examination(samples.exploded()), "json"))["runs"][0]
    evidence = run["diagnoses"][0]["evidence"][0]
    assert evidence["log_odds"] is None
    assert evidence["facts"] == {"loss.last": None, "loss.peak": None}
    assert (run["plateaus"][0]["level"], run["plateaus"][0]["start_epoch"]) == (None, None)


def test_a_healthy_run_has_no_diagnoses_and_is_not_undetermined():
    run = to_json(samples.examination(samples.healthy()))["runs"][0]
    assert (run["diagnoses"], run["undetermined"], run["missing"]) == ([], None, [])


def test_an_undetermined_run_lists_its_candidates_and_a_named_one_none():
    found = to_json(samples.examination(samples.unknown(), samples.stuck()))
    assert [run["undetermined"] for run in found["runs"]] == [
        {"candidates": ["label_noise", "dead_relu"]},
        None,
    ]


def test_evidence_keeps_its_three_values():
    evidence = to_json(samples.examination(samples.stuck()))["runs"][0]["diagnoses"][0]["evidence"]
    assert [one["seen"] for one in evidence] == [True, True, True, None, False]


def test_every_tag_has_its_role_even_an_unknown_one():
    one = samples.stuck()
    one.run.scalars.loc[one.run.scalars["tag"] == "accuracy", "role"] = None
    roles = to_json(samples.examination(one))["runs"][0]["roles"]
    assert roles["loss"] == "train_loss"
    assert roles["accuracy"] is None
    assert list(roles) == sorted(roles)


def test_the_same_input_gives_the_same_bytes():
    assert render(samples.everything(), "json") == render(samples.everything(), "json")


def test_a_hostile_name_is_ascii_in_json():
    name = "x\x1b[2J\u202e\ud800\x9b"
    text = render(samples.examination(samples.healthy(name)), "json")
    assert text.isascii()
    assert json.loads(text)["runs"][0]["name"] == name


def test_a_problem_says_at_which_byte():
    problem = to_json(samples.everything())["problems"][0]
    assert problem == {
        "path": "logs/broken.tfevents",
        "what": "half a record",
        "why": "the file ends within it (at byte 1234, 56 bytes)",
    }


def test_text_and_json_need_neither_jinja_nor_altair():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import samples; from plateau_doctor.report import render;"
        "[render(samples.everything(), f) for f in ('full', 'concise', 'json')];"
        "print([m for m in ('altair', 'vl_convert', 'jinja2', 'tsdownsample', 'rich', 'click') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

"""What pipelines read: each format is read by a parser of its own, and no name from a log breaks out of it."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import jsonschema
import junitparser
import pytest
import samples
import sarif_pydantic
from markdown_it import MarkdownIt
from test_json_report import SCHEMA, strictly

from plateau_doctor.examination import Examination
from plateau_doctor.findings import findings_of, path_in
from plateau_doctor.gate import Gate, Lack, Waiver
from plateau_doctor.report import FORMATS, render
from plateau_doctor.report.markdown import COMMENT_LIMIT, MARKER, SUMMARY_LIMIT

HOSTILE = (
    "x\x1b[2J\x00\u202e\ud800\x9b\ufffe\r\n::error::pwned\r\n##[error]pwned%0A::stop-commands::t ]]> <script>alert(1)"
    "</script> & \" ' `|` ``` | a | @octocat [l](javascript:alert(1)) ![i](http://evil/x.png) www.evil.example # h"
)
WAIVER = Waiver("digits/lr_too_high", "label_noise", "suppressed", "known, see ticket 12", "2027-01-31")
LACK = Lack("digits/healthy", "learning_rate", "learning rate", "log it each epoch as `learning_rate`")
CAUSES = ("dead_relu", "exploding_gradients", "label_noise", "lr_too_high", "overfitting")


def gated() -> Examination:
    return replace(samples.everything(), causes=CAUSES, gate=Gate(waivers=(WAIVER,), lacks=(LACK,)))


def hostile() -> Examination:
    evidence = replace(samples.diagnosis().evidence[0], says=f"the tag {HOSTILE} rose")
    one = samples.stuck(HOSTILE, headline=f"stuck at {HOSTILE} 1.4")
    one = replace(one, diagnoses=(samples.diagnosis(evidence=(evidence,)), *one.diagnoses[1:]))
    one = replace(one, run=replace(one.run, settings={HOSTILE: HOSTILE}, source=f"logs/{HOSTILE}"))
    gate = Gate(waivers=(Waiver(HOSTILE, "label_noise", "suppressed", HOSTILE),))
    return replace(samples.examination(one), causes=CAUSES, gate=gate)


def many(n: int) -> Examination:
    return samples.examination(*(samples.stuck(f"run-{i:05d}") for i in range(n)))


@pytest.mark.parametrize("form", FORMATS)
def test_a_hostile_name_leaves_no_control_character_and_no_command_in_any_format(form: str) -> None:
    text = render(hostile(), form)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800\ufffe]", text)
    assert not any(line.lstrip().startswith("::error::pwned") for line in text.splitlines())


@pytest.mark.parametrize("form", ["full", "concise", "markdown"])
@pytest.mark.parametrize("color", [False, True])
def test_no_line_of_a_terminal_is_a_workflow_command(form: str, color: bool) -> None:
    name = "::add-mask::x " + "y" * 50 + " ::error::pwned ##[error]z"
    one = samples.stuck(name, headline=f"stuck at {name}")
    for line in render(samples.examination(one, samples.healthy(name)), form, color=color).splitlines():
        assert not re.sub(r"\x1b\[[0-9;]*m", "", line).strip().startswith("::")
        assert "##[" not in line


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_counts_what_was_waived_and_what_is_missing(form: str) -> None:
    text = render(gated(), form)
    if form in ("json", "jsonl"):
        gate = strictly(text.splitlines()[-1] if form == "jsonl" else text)["gate"]
        assert (len(gate["waived"]), len(gate["lacking"])) == (1, 1)
    else:
        said = " ".join(text.replace("\\", "").split())
        assert "1 finding suppressed by the configuration" in said
        assert "1 required log missing" in said


def test_a_page_of_one_run_counts_what_was_waived_as_well() -> None:
    found = replace(samples.examination(samples.stuck()), gate=Gate(waivers=(WAIVER,)))
    assert "1 finding suppressed by the configuration" in render(found, "html")
    assert "label_noise does not count, suppressed: known, see ticket 12" in render(found, "full")


def test_json_lines_keep_the_shipped_schema_line_by_line() -> None:
    schema = {**SCHEMA, "$ref": "#/$defs/line"}
    for key in ("type", "required", "properties", "additionalProperties"):
        schema.pop(key)
    schema["properties"] = {"tool": SCHEMA["properties"]["tool"]}  # the last line refers to it
    lines = render(gated(), "jsonl").splitlines()
    assert len(lines) == len(gated().runs) + len(gated().problems) + 1
    for line in lines:
        jsonschema.validate(strictly(line), schema)


def test_junit_has_a_suite_a_run_and_a_case_a_cause_with_failures_and_skips() -> None:
    text = render(gated(), "junit")
    suites = {suite.name: suite for suite in junitparser.JUnitXml.fromstring(text)}
    sick = {case.name: case.result for case in suites["digits/lr_too_high"]}
    assert isinstance(sick["lr_too_high"][0], junitparser.Failure)
    assert isinstance(sick["label_noise"][0], junitparser.Skipped), "waived"
    assert isinstance(sick["dead_relu"][0], junitparser.Skipped), "its data were not logged"
    assert "not logged: activation histograms" in sick["dead_relu"][0].message
    assert not sick["overfitting"], "judged, and not found: passed"
    healthy = {case.name: case.result for case in suites["digits/healthy"]}
    assert isinstance(healthy["not_logged/learning_rate"][0], junitparser.Failure)
    assert not any(result for name, result in healthy.items() if name in CAUSES)
    assert all(case.result for case in suites["short"]), "a run that is too short passes nothing"


def test_junit_agrees_with_the_gate_and_its_counts_with_its_cases() -> None:
    for gate in (Gate(), Gate("never"), Gate("error", "high"), Gate("warning", "low")):
        found = replace(gated(), gate=gate)
        root = ElementTree.fromstring(render(found, "junit"))
        failures = root.findall("testsuite/testcase/failure")
        assert (
            len(failures) == sum(one.stops for one in findings_of(found)) == int(root.get("failures", "-1"))
        )
        assert int(root.get("tests", "-1")) == len(root.findall("testsuite/testcase"))
        assert int(root.get("skipped", "-1")) == len(root.findall("testsuite/testcase/skipped"))


def test_a_hostile_name_is_text_in_junit() -> None:
    (suite,) = junitparser.JUnitXml.fromstring(render(hostile(), "junit"))
    assert "<script>alert(1)</script>" in suite.name
    assert "]]>" in suite.name


def test_sarif_is_read_whole_by_a_strict_model_of_the_standard() -> None:
    whole = json.loads(render(gated(), "sarif"))
    log = sarif_pydantic.Sarif.model_validate(whole)
    results = log.runs[0].results or []
    rules = log.runs[0].tool.driver.rules or []
    assert len(results) == len(findings_of(gated()))
    for result in results:
        assert rules[result.rule_index].id == result.rule_id
        assert result.partial_fingerprints
    (waived,) = [one for one in whole["runs"][0]["results"] if "suppressions" in one]
    assert waived["suppressions"][0]["justification"] == "suppressed: known, see ticket 12"


def test_sarif_points_at_a_log_below_the_working_directory_and_at_no_other() -> None:
    outside = samples.stuck("far")
    outside = replace(outside, run=replace(outside.run, source="/elsewhere/run"))
    inside = replace(samples.stuck("near"), run=replace(samples.stuck("near").run, source="/repo/logs/a b"))
    found = replace(samples.examination(outside, inside), folder="/repo")
    for result in json.loads(render(found, "sarif"))["runs"][0]["results"]:
        (place,) = result["locations"]
        if place["logicalLocations"][0]["name"] == "far":
            assert "physicalLocation" not in place
        else:
            assert place["physicalLocation"]["artifactLocation"]["uri"] == "logs/a%20b"


@pytest.mark.parametrize(
    ("source", "path", "inside"),
    [
        ("logs/x", "logs/x", True),
        ("/repo/logs/x", "logs/x", True),
        ("/other/x", "/other/x", False),
        ("../x", "../x", False),
    ],
)
def test_a_path_is_told_from_the_working_directory(source: str, path: str, inside: bool) -> None:
    assert path_in("/repo", source) == (path, inside)


def test_gitlab_issues_have_every_field_that_gitlab_documents_and_unique_fingerprints() -> None:
    issues = json.loads(render(gated(), "gitlab"))
    for issue in issues:
        assert set(issue) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert issue["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert not issue["location"]["path"].startswith(("/", "./"))
        assert issue["location"]["lines"]["begin"] >= 1
    assert len({issue["fingerprint"] for issue in issues}) == len(issues)


def test_a_fingerprint_stays_when_numbers_and_order_change() -> None:
    before = findings_of(samples.examination(samples.stuck("a"), samples.stuck("b")))
    changed = samples.stuck("b", headline="stuck since epoch 3 at loss 9")
    after = findings_of(samples.examination(changed))
    assert {one.fingerprint for one in after} < {one.fingerprint for one in before}


COMMAND = re.compile(r"^::(error|warning|notice) (?:[a-z]+=[^:,]*)(?:,[a-z]+=[^:,]*)*::(.*)$")


@pytest.mark.parametrize("n", [0, 1, 5, 6, 40])
def test_github_gets_at_most_ten_annotations_and_the_number_left_out(n: int) -> None:
    lines = render(many(n), "github").splitlines()
    assert len(lines) == min(2 * n, 10)
    assert all(COMMAND.match(line) for line in lines)
    if 2 * n > 10:
        assert lines[-1].endswith(f"::{2 * n - 9} more findings left out here")
    levels = [line.split(" ")[0] for line in lines if "left out" not in line]
    assert levels == sorted(levels), "errors come first"


def test_a_hostile_name_makes_one_annotation_and_no_second_command() -> None:
    lines = render(hostile(), "github").splitlines()
    assert len(lines) == 2, "the finding, and the waiver counted"
    for line in lines:
        match = COMMAND.match(line)
        assert match is not None
        assert "::" not in match[2]
        assert not re.search(r"%(?!25|3A|2C|0A|0D)", line)
        assert "##[" not in line


def tags_of(text: str) -> set[str]:
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    return set(re.findall(r"<([a-z][a-z0-9]*)", html))


@pytest.mark.parametrize("form", ["markdown", "comment"])
def test_a_hostile_name_makes_no_tag_link_picture_or_mention_in_markdown(form: str) -> None:
    text = render(hostile(), form)
    plain = {
        "h2",
        "h3",
        "p",
        "ul",
        "li",
        "code",
        "pre",
        "strong",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }
    assert tags_of(text) <= plain
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    prose = re.sub(r"<code[^>]*>.*?</code>", "", html, flags=re.DOTALL)
    assert not re.search(r"@\w|://\w|www\.\w", prose)


def test_markdown_has_the_table_of_causes_with_what_counts_and_the_code_of_the_fix() -> None:
    text = render(gated(), "markdown")
    assert "| `lr_too_high` | error | uncalibrated | yes |" in text
    assert "no, suppressed: known, see ticket 12" in text
    assert "```python\n" in text
    assert text.index("lr_too_high") < text.index("digits/healthy"), "what fails comes first"


@pytest.mark.parametrize(("form", "limit"), [("markdown", SUMMARY_LIMIT), ("comment", COMMENT_LIMIT)])
def test_markdown_stays_below_the_limit_and_counts_what_it_left_out(form: str, limit: int) -> None:
    one = samples.stuck()
    found = samples.examination(*(replace(one, run=replace(one.run, name=f"run-{i}")) for i in range(2500)))
    text = render(found, form)
    assert limit * 0.9 < len(text.encode()) <= limit
    shown = text.count("\n### ")
    assert f"**{2500 - shown} more runs left out here**" in text
    assert (form == "comment") == text.startswith(MARKER)

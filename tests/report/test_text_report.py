"""What is read in a terminal: the answer first, every claim with its number, no name that moves the cursor."""

import dataclasses
import re
import unicodedata

import pytest
import samples

from plateau_doctor.report import render
from plateau_doctor.run import Problem, Run

HOSTILE = "a\x1b[2J\x1b]0;t\x07b\u202egnp.exe\u2066\x9b31m\r\nfake: fine\x00\ud800<script>"


def hostile() -> samples.RunExamination:
    """A run in which every text that may come from a log or a file name is hostile."""
    base = samples.stuck()
    problem = Problem(HOSTILE, HOSTILE, HOSTILE)
    scalars = base.run.scalars.assign(tag=HOSTILE + base.run.scalars["tag"])
    run = Run(
        HOSTILE,
        HOSTILE,
        HOSTILE,
        scalars,
        base.run.histograms,
        settings={HOSTILE: HOSTILE},
        problems=(problem,),
    )
    evidence = dataclasses.replace(base.diagnoses[0].evidence[0], says=HOSTILE)
    diagnosis = dataclasses.replace(base.diagnoses[0], evidence=(evidence,))
    return dataclasses.replace(
        base, run=run, headline=HOSTILE, diagnoses=(diagnosis,), primary=HOSTILE + "loss"
    )


@pytest.mark.parametrize("format", ["full", "concise"])
def test_the_text_is_what_was_approved(format, golden):
    golden(f"report.{format}.txt", render(samples.everything(), format))


def test_the_answer_comes_before_the_evidence_and_the_evidence_before_the_fix():
    text = render(samples.examination(samples.stuck()), "full")
    parts = (
        "Stuck since epoch 20 (step 920)",
        "lr_too_high (error, uncalibrated)",
        "+ the training",
        "Lower the learning",
    )
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_the_heaviest_signs_are_told_and_the_rest_counted():
    signs = [samples.Evidence(f"sign {i} speaks", "for", True, 9.0 - i, {f"a.{i}": 1.0}) for i in range(8)]
    counter = [samples.Evidence(f"doubt {i}", "against", True, i - 9.0, {f"b.{i}": 1.0}) for i in range(3)]
    one = samples.stuck(diagnoses=(samples.diagnosis(evidence=(*signs, *counter)),))
    text = render(samples.examination(one), "full")
    assert "+ sign 4 speaks" in text
    assert "- doubt 1" in text
    assert "sign 5" not in text
    assert "doubt 2" not in text
    assert "and 4 lighter signs, see --html" in text


def test_what_a_heavier_sign_has_told_is_not_told_again():
    both, one_of_them = {"gradients.zeros": 1.0, "activations.zeros": 0.9}, {"gradients.zeros": 1.0}
    signs = [
        samples.Evidence("gradients and outputs are zero", "for", True, 4.0, both),
        samples.Evidence("gradients are zero", "for", True, 2.0, one_of_them),
        samples.Evidence("but gradients are zero", "against", True, -1.0, one_of_them),
    ]
    one = samples.stuck(diagnoses=(samples.diagnosis(evidence=tuple(signs)),))
    text = render(samples.examination(one), "full")
    assert "+ gradients are zero" not in text
    assert "but gradients are zero" not in text  # one fact, told once: for what it weighs most


def test_a_note_that_no_sign_of_a_rule_backs_is_one_line() -> None:
    guess = samples.diagnosis(severity="note", backed=False, probability=0.4, calibrated=True)
    text = render(samples.examination(samples.stuck(diagnoses=(guess,))), "full")
    assert "Perhaps lr_too_high (note, low confidence, 40%)" in text
    assert "plateau-doctor explain lr_too_high" in text
    assert "Fix" not in text
    assert "+ the training" not in text
    backed = samples.diagnosis(severity="note", probability=0.4, calibrated=True)
    assert "Fix" in render(samples.examination(samples.stuck(diagnoses=(backed,))), "full")


def test_a_cause_that_is_surer_and_explains_less_says_so():
    first = samples.diagnosis(probability=0.6, calibrated=True)
    second = samples.diagnosis("label_noise", probability=0.8, calibrated=True)
    text = render(samples.examination(samples.stuck(diagnoses=(first, second))), "full")
    assert "but explains less" in text
    assert "but explains less" not in render(
        samples.examination(samples.stuck(diagnoses=(second, first))), "full"
    )


def test_no_percentage_is_shown_for_an_uncalibrated_cause():
    one = samples.stuck(diagnoses=(samples.diagnosis(evidence=(), probability=0.93, calibrated=False),))
    text = render(samples.examination(one), "full")
    assert "lr_too_high (error, uncalibrated)" in text
    assert "%" not in text


def test_a_calibrated_cause_shows_its_band_and_its_probability():
    one = samples.stuck(diagnoses=(samples.diagnosis(probability=0.83, calibrated=True),))
    assert "lr_too_high (high confidence, 83%)" in render(samples.examination(one), "concise")


def test_each_sign_stands_on_its_side_and_an_unseen_one_is_not_claimed():
    text = render(samples.examination(samples.stuck()), "full")
    assert "+ a rate of 0.5 is high" in text
    assert "- no layer moved by more than 0.2%" in text
    assert "? not logged: size of the updates of each layer" in text
    assert "the loss diverged" not in text


def test_the_code_is_for_the_framework_that_the_run_names():
    def code(framework: str) -> str:
        one = samples.stuck()
        run = dataclasses.replace(one.run, settings={"framework": framework})
        return render(samples.examination(dataclasses.replace(one, run=run)), "full")

    assert "param_groups" in code("pytorch")
    assert "model.optimizer" in code("Keras 3")


def test_a_fix_without_code_shows_its_advice():
    one = samples.stuck(diagnoses=(samples.diagnosis(fixes=("clean_labels",)),))
    assert "Look at the samples with the highest loss." in render(samples.examination(one), "full")


@pytest.mark.parametrize("candidates", [("label_noise", "dead_relu"), ()])
def test_a_run_that_the_log_cannot_explain_says_what_to_check(candidates):
    text = render(samples.examination(samples.unknown(candidates=candidates)), "full")
    assert "whether one batch can be overfitted" in " ".join(text.split())
    assert ("Could be" in text) == bool(candidates)
    assert "1 run: 1 undetermined" in text


def test_concise_is_one_line_a_run_and_one_of_counts():
    found = samples.everything()
    lines = render(found, "concise").splitlines()
    assert len(lines) == len(found.runs) + 1
    assert lines[-1].startswith("6 runs: 1 fine, 2 sick, 1 undetermined, 2 not judged; 1 problem")


def test_all_but_code_fits_into_eighty_columns():
    long = samples.stuck("a/very/long/path/" * 12)
    lines = render(samples.examination(long, samples.unknown()), "full").splitlines()
    assert max(len(line) for line in lines if "│" not in line) <= 80


def test_a_long_list_of_problems_is_cut_with_a_count():
    problems = tuple(Problem(f"logs/{i}.csv", "empty file", "no bytes") for i in range(49))
    text = render(samples.examination(problems=problems), "full")
    assert text.count("empty file") == 12
    assert "… and 37 more, see --format json" in text


def test_color_changes_no_word():
    found = samples.everything()
    for format in ("full", "concise"):
        colored = render(found, format, color=True)
        assert "\x1b[" in colored
        assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render(found, format)


def test_plain_text_is_ascii():
    one = samples.healthy("läufe/große-λ")
    text = render(samples.examination(samples.stuck(), one), "full", plain=True)
    assert text.isascii()
    assert "gro\\xdfe-\\u03bb" in text


@pytest.mark.parametrize("format", ["full", "concise"])
def test_a_hostile_name_cannot_reach_the_terminal(format):
    problem = Problem(HOSTILE, HOSTILE, HOSTILE)
    text = render(samples.examination(hostile(), problems=(problem,)), format)
    bad = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\n"}
    assert bad == set()
    assert "\\x1b[2J" in text or "\\x1b[2J" in text.replace("\n    ", "")
    assert not any(line.startswith("fake") for line in text.splitlines())


def test_an_analysis_of_nothing_is_said_and_not_empty():
    assert render(samples.examination(), "full") == "0 runs\n"
    assert render(samples.examination(), "concise") == "0 runs\n"


def test_an_unknown_format_names_the_known_ones():
    with pytest.raises(ValueError, match="there are full, concise, json, jsonl, markdown"):
        render(samples.examination(), "pdf")


def test_of_many_runs_the_gravest_are_told_in_full_and_the_sound_ones_counted():
    few = [samples.healthy(f"digits/sound-{i}") for i in range(11)] + [samples.stuck()]
    text = render(samples.examination(*few), "full")
    assert text.count("digits/sound-") == 11
    assert "--format concise" not in text

    sure = [samples.diagnosis(probability=0.6 + i / 100, calibrated=True) for i in range(8)]
    sick = [samples.stuck(f"digits/sick-{i}", diagnoses=(one,)) for i, one in enumerate(sure)]
    many = [*few[:11], *sick, samples.unknown("digits/unknown")]
    lines = render(samples.examination(*many), "full").splitlines()
    titles = [line for line in lines if re.match(r"[✗?✓·] ", line)]
    assert [re.search(r"sick-(\d)", line).group(1) for line in titles] == list("765432")
    at = lines.index("Further")
    further = lines[at + 1 : lines.index("", at)]
    assert [line.split()[1].strip(":") for line in further if line.startswith(("  ✗", "  ?"))] == [
        "digits/sick-1", "digits/sick-0", "digits/unknown"
    ]  # fmt: skip
    assert max(map(len, further)) <= 80
    assert "… and 11 fine; --format concise has a line for each, --html a page" in lines
    assert any(line.startswith("20 runs: 11 fine, 8 sick, 1 undetermined") for line in lines)
    assert not any("sound" in line for line in lines)

"""The page: it loads nothing, runs no script but its own, and shows every name as text."""

import base64
import dataclasses
import hashlib
import json
import math
import re

import numpy as np
import pytest
import samples
from elements import Elements
from jinja2 import meta
from test_text_report import HOSTILE, hostile

from plateau_doctor import places
from plateau_doctor.facts import Logged
from plateau_doctor.letters import UsageError
from plateau_doctor.report import charts, heat, render, sheet, words
from plateau_doctor.report.files import INDEX
from plateau_doctor.report.html import TEMPLATE
from plateau_doctor.report.index import Index
from plateau_doctor.report.page import MANY, Page
from plateau_doctor.report.sandbox import environment
from plateau_doctor.report.words import confidence
from plateau_doctor.run import Problem, Run, histogram_frame, scalar_frame


@pytest.fixture(scope="module")
def page() -> str:
    return render(samples.everything(), "html")


@pytest.fixture(scope="module")
def elements(page: str) -> Elements:
    return Elements(page)


def test_every_element_is_closed(elements):
    assert elements.open == []


def test_nothing_is_loaded_from_anywhere(elements, page):
    for tag, attributes in elements.found:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form", "image", "use")
        assert "src" not in attributes
        target = attributes.get("href") or attributes.get("xlink:href") or "#"
        assert target.startswith("#") or (tag == "a" and target.startswith("https://arxiv.org/abs/")), (
            tag,
            target,
        )
    assert "@import" not in page
    assert "url(" not in page


def test_the_policy_allows_the_pages_own_script_and_no_other(page):
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert page.count("<script") == 1
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page


def test_the_answer_comes_first_and_the_ailing_runs_before_the_healthy(page):
    body = page[page.index("<body>") :]
    places = [
        body.index(part) for part in ("3 of 6 runs need attention", "Why, most likely", "What to change")
    ]
    assert places == sorted(places)
    assert body.index('id="run-digits-lr-too-high"') < body.index('id="run-mystery"')
    assert body.index('id="run-mystery"') < body.index('id="run-digits-healthy"')


def test_every_link_within_the_page_has_its_target_and_every_id_is_there_once(elements):
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"][1:] for a in elements.named("a") if a["href"].startswith("#")]
    assert set(links) <= set(ids)
    assert len(links) >= 12


def test_every_picture_is_told_in_words(elements):
    pictures = [attributes for _, attributes in elements.found if attributes.get("role") == "img"]
    assert len(pictures) == 7
    assert any("loss from 2.3 to 1.39" in attributes["aria-label"] for attributes in pictures)
    assert any("gradient norm of 4 layers" in attributes["aria-label"] for attributes in pictures)


def test_landmarks_and_table_headers_are_there(elements):
    for tag in ("header", "main", "nav", "footer", "h1"):
        assert len(elements.named(tag)) == 1
    assert all("scope" in attributes for attributes in elements.named("th"))
    assert elements.named("html")[0]["lang"] == "en"


def test_colors_are_variables_with_a_fallback(page):
    pictures = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    used = re.findall(r'(?:fill|stroke)="(var\([^"]*)"', pictures)
    assert "var(--s1,#2a6fdb)" in used
    assert all(re.fullmatch(r"var\(--[a-z0-9]+,#[0-9a-f]{6}\)", color) for color in used)
    assert "currentColor" in pictures


def test_code_for_both_frameworks_is_there_and_that_of_the_run_is_open(page):
    assert "group[&#39;lr&#39;] *= 0.1" in page
    assert "# &lt;was 1e-2&gt;" in page
    assert '<details class="snippet" open><summary>Keras</summary>' in page
    assert '<details class="snippet"><summary>PyTorch</summary>' in page


def test_what_was_not_logged_is_shown_with_the_line_that_logs_it(page):
    assert "size of the updates of each layer, activation histograms" in page
    assert samples.HOW in page


def test_the_foot_names_the_version_the_command_and_what_was_drawn():
    found = samples.examination(samples.stuck(n=3000))
    foot = render(found, "html").rpartition("<footer>")[2]
    assert "plateau-doctor 0.1.0" in foot
    assert "<code>plateau-doctor analyze logs</code>" in foot
    assert "2,040 of 12,040 points drawn; the analysis used all" in foot


def test_a_hostile_name_is_text_and_nothing_else():
    problem = Problem(HOSTILE, HOSTILE, HOSTILE)
    layers = [
        {**row, "layer": f"</text><script>{row['layer']}", "tag": HOSTILE} for row in samples.gradients()
    ]
    one = hostile()
    run = dataclasses.replace(one.run, histograms=histogram_frame(layers))
    found = samples.examination(dataclasses.replace(one, run=run), samples.healthy(), problems=(problem,))
    text = render(dataclasses.replace(found, command=HOSTILE), "html")
    parsed = Elements(text)
    assert len(parsed.named("script")) == 1
    assert parsed.open == []
    assert not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text
    )
    assert "\\u202e" in text
    text.encode("utf-8")


def test_the_same_input_gives_the_same_bytes(page):
    assert render(samples.everything(), "html") == page


def test_many_runs_make_a_small_page_with_the_healthy_ones_folded():
    sick, fine = (
        [samples.stuck(f"sick/{i}") for i in range(2)],
        [samples.healthy(f"fine/{i}") for i in range(MANY)],
    )
    text = render(samples.examination(*sick, *fine), "html")
    assert text.count('<details class="folded"') == MANY
    assert text.count('role="img"') == 6
    assert f"{MANY} of {MANY + 2} runs are shown without charts" in text
    assert len(text) < 300_000


def test_a_few_healthy_runs_keep_their_charts(page):
    assert '<details class="folded"' not in page
    assert "runs are shown without charts" not in page


SHORT = samples.everything().runs[-1]


@pytest.mark.parametrize(
    ("runs", "answer"),
    [
        ([], "No training run was found"),
        ([samples.healthy("a"), samples.healthy("b")], "Nothing wrong was found in 2 runs"),
        ([samples.stuck()], "Stuck since epoch 20 (step 920) at loss 1.4: the learning rate is too high"),
        ([samples.stuck(), samples.healthy()], "1 of 2 runs needs attention"),
        ([SHORT, SHORT], "None of 2 runs could be judged"),
        ([SHORT, samples.healthy()], "Nothing wrong was found in 1 run; 1 could not be judged"),
    ],
)
def test_the_first_line_answers(runs, answer):
    assert f"<h1>{answer}</h1>" in render(samples.examination(*runs), "html")


def test_two_runs_whose_names_share_their_letters_have_two_links():
    text = render(samples.examination(samples.healthy("a/b"), samples.healthy("a-b")), "html")
    assert 'id="run-a-b"' in text
    assert 'id="run-a-b-2"' in text


@pytest.mark.parametrize(("template", "context"), [(TEMPLATE, Page), (INDEX, Index)])
def test_the_templates_context_is_the_documented_page(template, context):
    folder = places.templates_folder()
    used = set()
    made = environment()
    for name in (template, "report.css", "report.js"):
        tree = made.parse((folder / name).read_text(encoding="utf-8"))
        used |= meta.find_undeclared_variables(tree) - set(made.globals)
    assert used == {field.name for field in dataclasses.fields(context)}
    assert all(field.name in context.__doc__ for field in dataclasses.fields(context))


def test_a_template_cannot_leave_its_sandbox(tmp_path):
    from jinja2.exceptions import SecurityError

    from plateau_doctor.report.html import render as to_html

    (tmp_path / "report.js").write_text("")
    (tmp_path / TEMPLATE).write_text("{{ sections.__class__.__mro__ }}")
    with pytest.raises(SecurityError):
        to_html(samples.examination(), tmp_path)


def test_a_folder_of_ones_own_needs_only_the_templates_that_it_changes(tmp_path):
    (tmp_path / "report.css").write_text("body { color: rebeccapurple }")
    text = render(samples.everything(), "html", templates=tmp_path)
    assert "rebeccapurple" in text
    assert "color-scheme" not in text
    assert "3 of 6 runs need attention" in text


def test_a_script_of_ones_own_is_allowed_by_its_hash(tmp_path):
    (tmp_path / "report.js").write_text("document.title = 'mine';\n")
    text = render(samples.examination(samples.healthy()), "html", templates=tmp_path)
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    assert script == "document.title = 'mine';"
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in text


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("\n{% if %}", "report.html.jinja:2: Expected an expression"),
        ("\n{{ answers }}", "report.html.jinja:2: 'answers' is undefined"),
        ("{{ sections.__class__.__mro__ }}", "report.html.jinja:1: access to attribute '__class__'"),
        ("{% set _ = sections.append(1) %}", "report.html.jinja:1: "),
        ("{{ 1 / 0 }}", "report.html.jinja:1: division by zero"),
        ('{% include "../report.css" %}', "report.html.jinja:1: "),
    ],
)
def test_what_is_wrong_in_a_template_of_ones_own_is_a_letter(tmp_path, template, words):
    (tmp_path / TEMPLATE).write_text(template)
    with pytest.raises(UsageError, match=re.escape(words)):
        render(samples.everything(), "html", templates=tmp_path)


def test_a_notebook_shows_the_page_in_a_frame_of_its_own():
    one = samples.stuck()
    for shown in (samples.examination(one)._repr_html_(), one._repr_html_()):
        frame = Elements(shown).named("iframe")[0]
        assert "allow-same-origin" not in frame["sandbox"]
        assert frame["srcdoc"].startswith("<!DOCTYPE html>")
        assert "Stuck since epoch 20" in frame["srcdoc"]


def test_a_curve_over_three_decades_is_drawn_on_a_log_scale_and_one_over_one_is_not():
    def notes(low: float, high: float) -> tuple[str, ...]:
        run = Run("r", "r", "csv", scalar_frame(samples.rows("train_loss", np.geomspace(high, low, 20))))
        return charts.curve_charts(Logged(run), ())[0].notes

    assert "log scale" in notes(1e-3, 1)
    assert "log scale" not in notes(0.1, 1)
    assert "log scale" not in notes(-1, -1000)


def test_steps_that_are_epochs_are_called_epochs():
    assert charts.curve_charts(Logged(samples.healthy().run), ())[0].label.startswith("Loss by epoch")
    assert charts.curve_charts(Logged(samples.stuck().run), ())[0].label.startswith("Loss by step")


def test_thinning_keeps_a_single_spike():
    values = np.ones(20_000)
    values[12_345] = 50.0
    chart = charts.curve_charts(
        Logged(Run("r", "r", "csv", scalar_frame(samples.rows("train_loss", values)))), ()
    )[0]
    assert (chart.drawn, chart.points) == (500, 20_000)
    assert "500 of 20,000 points drawn" in chart.notes
    kept = charts._thinned(np.arange(20_000.0), values)
    assert 12_345 in kept


def test_losses_on_steps_and_epochs_meet_on_the_epochs():
    steps = [
        {"tag": "loss", "role": "train_loss", "step": float(i), "epoch": i / 100, "value": 1.0}
        for i in range(1000)
    ]
    run = Run("r", "r", "csv", scalar_frame([*steps, *samples.rows("val_loss", np.ones(10))]))
    assert charts.curve_charts(Logged(run), ())[0].label.startswith("Loss by epoch")


@pytest.mark.parametrize(
    "values",
    [
        [0.693] * 20,
        [1e-300, 1e300] * 5,
        [-1e308, 1e308] * 5,
        [math.nan] * 10,
        [math.inf, -math.inf, 1.0, 2.0],
        [1.0],
        [],
        [0.0] * 8,
    ],
    ids=["constant", "600 decades", "the whole range", "NaN", "Inf", "one point", "no point", "zero"],
)
def test_no_numbers_break_the_page(values):
    array = np.array(values)
    scalars = scalar_frame([*samples.rows("train_loss", array), *samples.rows("learning_rate", array)])
    rows = [
        {"layer": str(i % 3), "tag": str(i % 3), "kind": "gradient", "step": i // 3, "norm": v}
        for i, v in enumerate(values)
    ]
    one = samples.RunExamination(
        Run("r", "r", "csv", scalars, histogram_frame(rows)), "too_short", "too short"
    )
    assert Elements(render(samples.examination(one), "html")).open == []


def test_an_endless_step_does_not_break_the_page():
    rows = samples.rows("train_loss", np.linspace(2, 1, 10))
    rows[-1]["step"] = math.inf
    one = samples.RunExamination(Run("r", "r", "csv", scalar_frame(rows)), "improving", "still improving")
    assert "9 of 10 points drawn" in render(samples.examination(one), "html")


def test_every_picture_is_made_to_altairs_schema(monkeypatch):
    import altair
    import vl_convert

    specs, compiled = [], vl_convert.vegalite_to_vega
    monkeypatch.setattr(
        vl_convert, "vegalite_to_vega", lambda spec: specs.append(json.loads(spec)) or compiled(spec)
    )
    sheet._compiled.cache_clear()
    render(samples.examination(samples.stuck(n=400), samples.exploded()), "html")
    assert len(specs) == 4
    for spec in specs:
        altair.VConcatChart.from_dict(spec, validate=True)


def marked(*rows):
    run = Run("r", "r", "csv", scalar_frame([row for some in rows for row in some]))
    return charts.curve_charts(Logged(run), ())[0]


def test_the_best_validation_point_is_marked_and_told():
    losses = samples.rows("val_loss", np.array([3.0, 1.0, 0.5, 0.9, 1.4]))
    assert "circle: best validation, 0.5 at epoch 2" in marked(losses).notes


def test_a_stepped_rate_is_marked_and_a_gliding_one_is_not():
    losses = samples.rows("train_loss", np.linspace(2, 1, 40))
    stepped = samples.rows("learning_rate", np.repeat([0.1, 0.01], 20))
    gliding = samples.rows("learning_rate", np.geomspace(0.1, 1e-6, 40))
    assert "dotted line: the learning rate steps" in marked(losses, stepped).notes
    assert "dotted line: the learning rate steps" not in marked(losses, gliding).notes


def test_a_restart_is_marked():
    losses = samples.rows("train_loss", np.linspace(2, 1, 40))
    later = [{**row, "segment": int(i >= 20)} for i, row in enumerate(losses)]
    assert "dashed line: resumed" in marked(later).notes
    assert "dashed line: resumed" not in marked(losses).notes


def test_a_noisy_curve_stands_faint_behind_its_trend_and_a_smooth_one_alone():
    def notes(noise: float) -> str:
        return " ".join(marked(samples.rows("train_loss", samples.curve(400, 2, 1, noise=noise))).notes)

    assert "faint: as logged; strong: median of 9 points" in notes(0.1)
    assert "faint" not in notes(1e-5)


def test_steps_are_told_with_their_epochs_where_both_were_logged():
    chart = charts.curve_charts(Logged(samples.stuck().run), ())[0]
    assert ">step / epoch<" in chart.svg
    assert "/ epoch" not in charts.curve_charts(Logged(samples.healthy().run), ())[0].svg


def test_an_accuracy_is_never_on_a_log_scale():
    accuracy = samples.rows("val_metric", np.geomspace(1e-3, 1, 20))
    assert "log scale" not in marked(accuracy).notes


def test_no_cause_is_certain_to_a_hundred_percent():
    assert confidence(samples.diagnosis(probability=0.9991, calibrated=True)) == "high confidence, over 99%"


def test_a_run_with_curves_and_heat_maps_takes_less_than_100_kib():
    one = samples.stuck(n=5000)
    layers = [
        {**row, "kind": kind, "tag": f"{kind}s/{row['layer']}"}
        for kind in ("gradient", "weight")
        for row in samples.gradients(60, 200)
    ]
    run = dataclasses.replace(one.run, histograms=histogram_frame(layers))
    text = render(samples.examination(dataclasses.replace(one, run=run)), "html")
    assert text.count('class="picture heat"') == 2
    assert len(text.encode()) < 100 * 1024


def test_gradients_without_one_norm_above_zero_are_drawn_and_said():
    one = samples.stuck()
    rows = [{**row, "norm": math.inf if row["step"] == 0 else 0.0} for row in samples.gradients(4, 10)]
    run = dataclasses.replace(one.run, histograms=histogram_frame(rows))
    text = render(samples.examination(dataclasses.replace(one, run=run)), "html")
    assert text.count('class="picture heat"') == 1
    assert "every gradient norm drawn is exactly 0" in text
    assert "a cross: NaN, Inf or not logged (4 cells)" in text


def drawn(values: np.ndarray) -> str:
    return charts.curve_charts(
        Logged(Run("r", "r", "csv", scalar_frame(samples.rows("train_loss", values)))), ()
    )[0].svg


def test_two_pictures_of_one_make_have_each_their_own_line_and_labels():
    low, high = drawn(np.linspace(2, 1, 20)), drawn(np.linspace(900, 100, 20))
    sheet._compiled.cache_clear()
    assert drawn(np.linspace(900, 100, 20)) == high != low
    assert ">800<" in high
    assert ">800<" not in low


def test_a_step_of_zero_has_no_unit():
    assert ">10k<" in drawn(np.linspace(2, 1, 20_001))
    assert ">0<" in drawn(np.linspace(2, 1, 20_001))


def test_names_of_layers_lose_what_all_share_and_keep_what_tells_them_apart():
    assert heat.short_names(["model.conv1.weight", "model.fc.weight"]) == ["conv1", "fc"]
    assert heat.short_names(["00_dense/kernel", "01_dense/kernel"]) == ["00_dense", "01_dense"]
    assert heat.short_names(["conv1", "conv1.deep"]) == ["conv1", "conv1.deep"]
    assert heat.short_names(["alone.weight"]) == ["alone.weight"]
    assert heat.short_names([".", "/"]) == [".", "/"]
    long = heat.short_names(
        [f"decoder.layers.{i}.attention.{part}_projection" for i in (1, 2) for part in "qv"]
    )
    assert len(set(long)) == 4
    assert max(map(len, long)) <= 18


def test_a_cause_that_is_surer_and_explains_less_says_so():
    first = samples.diagnosis(probability=0.6, calibrated=True)
    second = samples.diagnosis("label_noise", probability=0.8, calibrated=True)
    one = samples.stuck()

    def page(*causes: object) -> str:
        return render(samples.examination(dataclasses.replace(one, diagnoses=causes)), "html")

    assert "but it explains less" in page(first, second)
    assert "but it explains less" not in page(second, first)


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["sweep/lr1/metrics.csv", "sweep/lr2/metrics.csv"], ["lr1", "lr2"]),
        (["a/log.csv", "a/b/log.csv"], ["log.csv", "b/log.csv"]),
        (["a/x/1", "b/x/1"], ["a", "b"]),
        (["alone/run"], ["alone/run"]),
        (["one", "two"], ["one", "two"]),
        ([], []),
    ],
)
def test_the_list_of_runs_leaves_out_what_all_their_names_share(names: list[str], labels: list[str]):
    assert words.run_labels(names) == labels


def test_what_is_shaded_is_said_of_the_curve_that_is_flat():
    page = render(samples.examination(samples.stuck()), "html")
    assert "shaded: training is flat" in page

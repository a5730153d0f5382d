"""The page in a real browser, Debian's Chromium, without a network."""

import dataclasses
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import samples

from plateau_doctor.examination import Examination
from plateau_doctor.report import render
from plateau_doctor.report.files import files

sync_api = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

LONG = "sweep_" + "0123456789abcdef" * 16  # a name without a place to break it


def long_named() -> Examination:
    """Two runs whose names, settings and commands have no place to break."""
    one = samples.stuck(f"{LONG}/{LONG}")
    one.run.settings.update({LONG: LONG})
    found = samples.examination(one, samples.healthy(LONG))
    return Examination(found.runs, found.problems, found.fixes, f"plateau-doctor analyze {LONG}", "0.1.0")


EXAMINATIONS = {
    "many": samples.everything,
    "one": lambda: samples.examination(samples.stuck(n=400)),
    "long names": long_named,
}


@pytest.fixture(scope="module")
def chromium() -> Iterator["sync_api.Browser"]:
    with sync_api.sync_playwright() as playwright:
        sandbox = [] if os.getuid() else ["--no-sandbox"]  # as root Chromium has none
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of 1,000 runs; their own pages are not rendered."""
    found = samples.everything()
    runs = [
        dataclasses.replace(one, run=dataclasses.replace(one.run, name=f"{one.run.name}/{i}"))
        for i in range(167)
        for one in found.runs
    ]
    pages = files(dataclasses.replace(found, runs=tuple(runs[:1000])), "html", Path("report.html"))
    path = tmp_path_factory.mktemp("index") / "report.html"
    path.write_text(next(pages)[1])
    return path


@pytest.fixture(scope="module", params=EXAMINATIONS, ids=list(EXAMINATIONS))
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(EXAMINATIONS[request.param](), "html"))
    return path


def opened(chromium: "sync_api.Browser", file: Path, width: int = 1100, **look: object) -> "sync_api.Page":
    context = chromium.new_context(viewport={"width": width, "height": 800}, offline=True, **look)
    page = context.new_page()
    page.goto(file.as_uri())
    return page


def test_the_page_says_nothing_in_the_console_and_asks_for_nothing(chromium, file):
    said, asked = [], []
    page = chromium.new_context(offline=True).new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri(), wait_until="networkidle")
    for button in page.get_by_role("button").all()[:1]:
        button.click()
        page.wait_for_function("/Copied|Selected/.test(document.querySelector('button').textContent)")
    assert said == []
    assert asked == [file.as_uri()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(chromium, file, scheme):
    page = opened(chromium, file, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    found = axe.Axe().run(page)
    assert found.response["violations"] == [], found.generate_report()


def test_dark_is_dark_and_light_is_light(chromium, file):
    def ground(scheme: str) -> int:
        page = opened(chromium, file, color_scheme=scheme)
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in re.findall(r"\d+", color)[:3])

    assert ground("dark") < 150 < 600 < ground("light")


@pytest.mark.parametrize("width", [360, 768, 1100, 2560])
def test_nothing_scrolls_sideways(chromium, file, width):
    page = opened(chromium, file, width)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_prints_with_its_code_unfolded(chromium, file):
    page = opened(chromium, file)
    assert page.pdf(format="A4").startswith(b"%PDF-")
    page.emulate_media(media="print")
    for code in page.locator("details:not(.folded) pre").all():
        assert code.bounding_box()["height"] > 10


def test_the_whole_page_reads_without_javascript(chromium, file):
    page = opened(chromium, file, java_script_enabled=False)
    assert page.get_by_role("button").count() == 0
    assert page.get_by_role("heading", level=1).inner_text() != ""
    assert page.locator("svg path").count() > 10


def test_the_keyboard_reaches_every_link_and_opens_what_is_folded(chromium, file):
    page = opened(chromium, file)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the runs"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#runs"
    reached = set()
    for _ in range(200):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.tagName")
        if name == "BODY":
            break
        reached.add(name)
    assert {"A", "SUMMARY", "PRE"} <= reached
    summary = page.locator("summary").last
    opens = summary.evaluate("one => one.parentElement.open")
    summary.focus()
    page.keyboard.press("Enter")
    assert summary.evaluate("one => one.parentElement.open") != opens


def test_each_anchor_brings_its_target_into_view(chromium, file):
    page = opened(chromium, file, reduced_motion="reduce")
    links = page.locator("main a[href^='#']:visible")
    assert links.count() >= 2
    for link in links.all()[:8]:
        link.evaluate("one => one.click()")
        target = page.locator(f"[id='{link.get_attribute('href')[1:]}']")
        page.wait_for_function(
            "id => { const box = document.getElementById(id).getBoundingClientRect(); "
            "return box.top > -2 && box.top < innerHeight }",
            arg=target.get_attribute("id"),
        )


def test_an_index_of_a_thousand_runs_shows_them_all(chromium, index):
    page = opened(chromium, index)
    assert page.locator("tbody tr").count() == 1000


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_in_an_index(chromium, index, scheme):
    page = opened(chromium, index, color_scheme=scheme)
    page.evaluate("[...document.querySelectorAll('tbody tr')].slice(30).forEach(row => row.remove())")
    found = axe.Axe().run(page)
    assert found.response["violations"] == [], found.generate_report()


@pytest.mark.parametrize("width", [360, 2560])
def test_an_index_does_not_scroll_sideways(chromium, index, width):
    page = opened(chromium, index, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width

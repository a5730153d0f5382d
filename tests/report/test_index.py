"""Many runs: an index in several orders, and a page a run, that all lead to each other."""

import dataclasses
import os
from pathlib import Path
from urllib.parse import unquote

import pytest
import samples
from elements import Elements
from test_text_report import HOSTILE, hostile

from plateau_doctor.console import write_report
from plateau_doctor.examination import Examination
from plateau_doctor.gate import Gate, Waiver
from plateau_doctor.letters import UsageError, visible
from plateau_doctor.report.files import files
from plateau_doctor.report.index import ORDERS
from plateau_doctor.report.page import MANY


def many() -> Examination:
    """More runs than one page has: two sick, one of a hostile name, one of no curve, the rest fine."""
    runs = [samples.unknown(f"fine/{i:02d}") for i in range(MANY - 2)]
    nothing = samples.everything().runs[-1]
    found = samples.examination(*runs, samples.stuck("sick/b"), samples.stuck("sick a"), hostile(), nothing)
    waiver = Waiver("sick/b", "lr_too_high", "suppressed", "it is known")
    return dataclasses.replace(found, gate=Gate(waivers=(waiver,)))


@pytest.fixture(scope="module")
def site() -> dict[Path, str]:
    return dict(files(many(), "html", Path("out/my report.html")))


def test_as_many_runs_as_a_page_holds_are_one_file():
    found = samples.examination(*[samples.unknown(f"{i}") for i in range(3)])
    assert [path for path, _ in files(found, "html", Path("r.html"))] == [Path("r.html")]


def test_more_are_an_index_in_each_order_and_a_page_each(site):
    first, *rest = site
    assert first == Path("out/my report.html")
    assert {path.parent for path in rest} == {Path("out/my report_runs")}
    assert len(site) == len(ORDERS) + len(many().runs)


def test_every_link_leads_to_a_file_that_is_there(site):
    for path, text in site.items():
        for link in Elements(text).named("a"):
            target = link["href"]
            if not target.startswith(("#", "https://arxiv.org/abs/")):
                assert Path(os.path.normpath(path.parent / unquote(target))) in site, (path, target)


def test_every_run_is_in_every_order_once_and_the_ailing_come_first(site):
    indices = [text for path, text in site.items() if path.name.startswith(("by-", "my"))]
    assert len(indices) == len(ORDERS)
    for text in indices:
        assert text.count('<th scope="row">') == len(many().runs)
    assert indices[0].index("sick/b") < indices[0].index("fine/00")
    by_name = site[Path("out/my report_runs/by-name.html")]
    assert by_name.index("fine/00") < by_name.index("sick/b")


def test_an_index_runs_no_script_and_loads_nothing(site):
    text = site[Path("out/my report.html")]
    assert "<script" not in text
    assert "script-src" not in text
    assert "default-src 'none'" in text
    assert Elements(text).open == []


def test_a_runs_page_leads_on_and_back(site):
    text = site[Path("out/my report_runs/run-sick-b.html")]
    assert '<a href="../my%20report.html">All runs</a>' in text
    assert 'rel="prev"' in text
    assert 'rel="next"' in text
    assert "1 finding suppressed by the configuration" in text
    assert "suppressed" not in site[Path("out/my report_runs/run-sick-a.html")]


def test_a_hostile_name_is_text_in_the_index_too(site):
    parsed = Elements(site[Path("out/my report.html")])
    assert visible(HOSTILE) in "".join(parsed.text)
    assert parsed.named("script", "img") == []


def test_what_is_wrong_in_a_template_of_ones_own_is_a_letter_here_too(tmp_path):
    (tmp_path / "index.html.jinja").write_text("{{ nothing }}")
    with pytest.raises(UsageError, match=r"index.html.jinja:1: 'nothing' is undefined"):
        list(files(many(), "html", Path("r.html"), tmp_path))


def test_pages_of_runs_that_are_gone_go_and_what_is_not_ours_stays(tmp_path):
    report, folder = tmp_path / "report.html", tmp_path / "report_runs"
    found = many()
    write_report(found, "html", report)
    gone = folder / "run-sick-b.html"
    own = {folder / "notes.html": "<p>mine</p>", folder / "data.csv": "a,b"}
    for path, text in own.items():
        path.write_text(text)
    (folder / "link.html").symlink_to(gone)
    assert gone.exists()
    rest = [one for one in found.runs if one.run.name != "sick/b"]
    write_report(dataclasses.replace(found, runs=(*rest, samples.unknown("new"))), "html", report)
    assert not gone.exists()
    assert (folder / "run-new.html").exists()
    assert all(path.read_text() == text for path, text in own.items())
    assert (folder / "link.html").is_symlink()
    write_report(samples.examination(samples.unknown("one")), "html", report)
    assert sorted(path.name for path in folder.iterdir()) == ["data.csv", "link.html", "notes.html"]

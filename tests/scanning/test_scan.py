"""A scan of many runs finds what an analysis of them at once finds, wherever its parts are worked on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from plateau_doctor import examination, scanning
from plateau_doctor.examination import Examination
from plateau_doctor.letters import UsageError
from plateau_doctor.readers import survey
from plateau_doctor.readers.remote import Place
from plateau_doctor.report import render
from plateau_doctor.report.json import last_lines, run_line
from plateau_doctor.runners.spread import Engine, spread
from plateau_doctor.scanning import How, Journal, Scan, parts, shelf

LOGS = Path(__file__).parents[2] / "examples" / "logs"
HEADER = "epoch,loss,val_loss\n"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three logs a part, so that few runs are many parts."""
    monkeypatch.setattr(parts, "MOST_UNITS", 3)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Twelve runs of a sweep, stuck and not, one of them logged twice; and a table that is no training log."""
    for lr in ("0.1", "0.001"):
        for seed in range(6):
            home = tmp_path / "sweep" / f"lr{lr}_seed{seed}"
            home.mkdir(parents=True)
            (home / "history.csv").write_text(HEADER + "".join(rows(lr, seed)))
    twin = tmp_path / "sweep" / "lr0.1_seed3"
    shutil.copy(twin / "history.csv", twin / "copy.csv")
    (tmp_path / "sweep" / "prices.csv").write_text("day,price\n1,2\n2,3\n3,4\n")
    return tmp_path / "sweep"


def rows(lr: str, seed: int) -> Iterator[str]:
    for epoch in range(30):
        fall = 0.002 if lr == "0.1" else 0.05
        loss = 2.3 - fall * epoch + 0.004 * ((epoch * 7 + seed) % 5) + 0.01 * seed
        yield f"{epoch},{loss:.4f},{loss + 0.05:.4f}\n"


def scan_of(paths: Sequence[Path], **more: Any) -> Scan:
    return Scan([Place(path) for path in paths], **more)


def collected(scan: Scan, whole: bool = False) -> Examination:
    runs = tuple(scan.runs())
    held = scan.with_curves(runs) if whole else runs
    causes = tuple(rule.cause for rule in examination.load_rules())
    return Examination(
        held, scan.problems, examination.fixes_named(runs), families=scan.families, causes=causes
    )


def assert_same(scan: Scan, paths: Sequence[Path]) -> None:
    want, found = examination.analyze(paths), collected(scan)
    for form in ("full", "json", "jsonl", "markdown"):
        assert render(found, form) == render(want, form)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("engine", [Engine(), Engine(jobs=2)], ids=["serial", "processes"])
def test_a_scan_in_parts_finds_what_one_analysis_finds(engine: Engine, sweep: Path) -> None:
    assert_same(scan_of([sweep], engine=engine), [sweep])


@pytest.mark.usefixtures("small_parts")
def test_logs_of_every_format_and_several_roots_are_told_alike(sweep: Path) -> None:
    roots = [LOGS, sweep, sweep]
    assert_same(scan_of(roots), roots)


@pytest.mark.usefixtures("small_parts")
def test_a_report_with_charts_gets_the_curves_back(sweep: Path) -> None:
    found = collected(scan_of([sweep]), whole=True)
    assert render(found, "html") == render(examination.analyze([sweep]), "html")


@pytest.mark.usefixtures("small_parts")
def test_no_curve_is_held_of_a_run_that_was_examined(sweep: Path) -> None:
    for one in scan_of([sweep]).runs():
        assert len(one.run.scalars) == one.run.scalars["tag"].nunique()


@pytest.mark.usefixtures("small_parts")
def test_no_more_than_two_parts_are_held(sweep: Path) -> None:
    whole, _ = parts.parts_of([Place(sweep)])
    held = shelf.Shelf(whole)
    for part in whole:
        list(held.read(part, How()))
    assert list(held._held) == whole[:2] != whole
    assert held.read(whole[0], How()) is not None
    assert list(held._held) == whole[1:2]


@pytest.mark.parametrize(
    "paths",
    [
        ["a/events.out.tfevents.1", "a/train/events.out.tfevents.1", "b/events.out.tfevents.1"],
        ["r/train/events.out.tfevents.1", "r/validation/events.out.tfevents.1", "s/events.out.tfevents.1"],
    ],
)
def test_event_files_of_one_run_are_never_apart(paths: list[str], tmp_path: Path) -> None:
    from plateau_doctor.readers import events

    files = [tmp_path / path for path in paths]
    assert [len(group) for group in events.together(files)] == [2, 1]


def test_a_checkpoint_and_a_parameter_stay_with_their_run(tmp_path: Path) -> None:
    from plateau_doctor.readers import huggingface, mlflow

    states = [tmp_path / "h" / name for name in ("checkpoint-1/trainer_state.json", "trainer_state.json")]
    assert huggingface.together(states) == [states]
    files = [tmp_path / "m" / name for name in ("metrics/loss", "params/lr")]
    assert mlflow.together(files) == [files]


@pytest.mark.usefixtures("small_parts")
def test_a_scan_that_was_killed_goes_on(sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "scan.journal"
    with Journal(file) as journal:
        found = scan_of([sweep], journal=journal).runs()
        for _ in range(5):
            next(found)
        found.close()
    with file.open("ab") as stream:
        stream.write(b'{"part": "cut in the mid')
    read = counted_reads(monkeypatch)
    collected(scan_of([sweep]))
    fresh = len(read)
    read.clear()
    with Journal(file) as journal:
        assert_same(scan_of([sweep], journal=journal), [sweep])
    left = len(read)
    read.clear()
    with Journal(file) as journal:
        assert_same(scan_of([sweep], journal=journal), [sweep])
    assert len(read) < left < fresh, "all is there but copies, which are compared again"


def counted_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that a scan reads in this process."""
    read: list[str] = []
    done = scanning.work.read_with_roles

    def noted(units, tag_map):
        read.extend(str(path) for unit in units for path in unit.paths)
        return done(units, tag_map)

    monkeypatch.setattr(scanning.work, "read_with_roles", noted)
    return read


@pytest.mark.usefixtures("small_parts")
def test_a_log_that_grew_is_examined_anew(sweep: Path, tmp_path: Path) -> None:
    file = tmp_path / "scan.journal"
    with Journal(file) as journal:
        collected(scan_of([sweep], journal=journal))
    with (sweep / "lr0.1_seed2" / "history.csv").open("a") as stream:
        stream.write("".join(f"{epoch},0.1,0.2\n" for epoch in range(30, 45)))
    with Journal(file) as journal:
        assert_same(scan_of([sweep], journal=journal), [sweep])


@pytest.mark.usefixtures("small_parts")
def test_a_line_of_the_journal_that_is_damaged_is_done_again(sweep: Path, tmp_path: Path) -> None:
    file = tmp_path / "scan.journal"
    with Journal(file) as journal:
        collected(scan_of([sweep], journal=journal))
    lines = [line[:60] + line[80:] for line in file.read_text().splitlines()]
    file.write_text("\n".join(lines) + "\n")
    with Journal(file) as journal:
        assert_same(scan_of([sweep], journal=journal), [sweep])


def test_a_file_that_is_no_journal_is_never_written_to(tmp_path: Path) -> None:
    file = tmp_path / "thesis.txt"
    file.write_text("my thesis")
    with pytest.raises(UsageError, match="no journal of a scan"):
        Journal(file)
    with pytest.raises(UsageError, match="no journal of a scan"):
        Journal(tmp_path)
    assert file.read_text() == "my thesis"


def test_two_scans_do_not_share_a_journal(tmp_path: Path) -> None:
    with Journal(tmp_path / "j"), pytest.raises(UsageError, match="another scan is at work"):
        Journal(tmp_path / "j")


def test_a_scan_that_was_stopped_says_how_far_it_came(sweep: Path) -> None:
    scan = scan_of([sweep])
    found = scan.runs()
    next(found)
    found.close()
    assert scan.problems[0].what == "the scan was stopped"
    assert scan.problems[0].why == "1 of 12 runs were examined"


def test_json_lines_of_bare_runs_end_as_those_of_whole_ones(sweep: Path) -> None:
    from plateau_doctor.report.json import bare

    found = collected(scan_of([sweep]))
    lines = "".join(map(run_line, found.runs))
    bared = examination.replace(found, runs=tuple(map(bare, found.runs)))
    assert lines + last_lines(bared) == render(found, "jsonl")
    assert json.loads(last_lines(bared).splitlines()[-1])["gate"]["failing"] is not None


def test_parts_come_back_in_their_order_and_where_they_were_made() -> None:
    found = list(spread(_where, list(range(7)), Engine(jobs=2)))
    assert [number for some in found for number, _ in some] == list(range(7))
    assert os.getpid() not in {pid for some in found for _, pid in some}


def _where(number: int) -> list[tuple[int, int]]:
    return [(number, os.getpid())]


@pytest.mark.parametrize(("name", "module"), [("ray", "ray"), ("dask", "distributed")])
def test_an_engine_that_is_not_installed_is_a_letter(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=rf"pip install 'plateau-doctor\[{name}\]'"):
        next(spread(_where, [1], Engine(name)))  # type: ignore[arg-type]


def test_the_survey_of_a_folder_names_what_is_no_log(sweep: Path) -> None:
    (sweep / "cut.jsonl").write_text("")
    assert [problem.why for problem in survey.surveyed(sweep).problems] == ["the file is empty"]

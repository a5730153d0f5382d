"""Logs by other people, where the folder is at hand: all of them read or named, and few accused."""

import csv
import importlib.util
import os
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from plateau_doctor.examination import Examination, analyze

FOLDER = os.environ.get("PLATEAU_DOCTOR_REAL_LOGS", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="PLATEAU_DOCTOR_REAL_LOGS names no folder")
LEAST_SEEN, MOST_ACCUSED = 0.8, 0.05


@cache
def benchmark() -> ModuleType:
    path = Path(__file__).parent.parent / "benchmarks" / "real_logs.py"
    spec = importlib.util.spec_from_file_location("real_logs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def found() -> Examination:
    return analyze([FOLDER])


@cache
def judged() -> list[tuple[dict[str, str], str, bool]]:
    """Label, verdict and whether the file was read or named, for each file of the manifest."""
    with Path(FOLDER, "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return list(benchmark().judged(Path(FOLDER), rows, found()))


def test_every_file_is_read_or_named_with_the_reason() -> None:
    assert [row["file"] for row, _, told in judged() if not told] == []
    assert all(problem.what and problem.why for problem in found().problems)


def test_plateaus_and_overfitting_are_seen() -> None:
    labels = (*benchmark().PLATEAU_LABELS, "overfitting")
    verdicts = [verdict for row, verdict, _ in judged() if row["label"] in labels]
    assert verdicts.count("seen") / len(verdicts) >= LEAST_SEEN


def test_few_healthy_runs_are_accused() -> None:
    verdicts = [verdict for row, verdict, _ in judged() if row["label"] == benchmark().HEALTHY]
    assert verdicts.count("accused") / len(verdicts) <= MOST_ACCUSED


def test_no_catboost_log_and_no_episode_monitor_becomes_a_run() -> None:
    sources = [one.run.source for one in found().runs]
    assert not [source for source in sources if "catboost_info" in source or source.endswith("monitor.csv")]

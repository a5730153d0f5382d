"""The diagnosis stays as good as it was, measured on the committed table of facts and labels; nothing is trained.

One fold of `benchmarks/accuracy.py` on the epoch-wise logs of one seed. The floors lie a little below what was
measured; who lowers them says why. The whole table is printed by that benchmark.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from plateau_doctor.examination import load_rules
from plateau_doctor.fitting import across_folds
from plateau_doctor.labeled import Table, at_level, causes_of, folds, read_table
from plateau_doctor.weights import LEVELS, Weights, shipped

CORPUS = Path(__file__).parent.parent / "benchmarks" / "corpus"
FOLD = 0


@cache
def table() -> Table:
    return read_table(CORPUS)


@cache
def right_and_in_three(level: str) -> tuple[float, float]:
    logs = at_level(table(), level)
    logs = logs.only(((logs.rows["axis"] == "epoch") & (logs.rows["seed"] == 0)).to_numpy())
    causes = causes_of(logs)
    odds = across_folds(logs, causes, tests=[FOLD])
    truth = np.stack([logs.labels(cause) for cause in causes], axis=1)
    sick = folds(logs, 5)[FOLD][1] & truth.any(axis=1)
    ranked = np.argsort(-odds[sick], axis=1)
    hits = np.take_along_axis(truth[sick], ranked, axis=1)
    return float(hits[:, 0].mean()), float(hits[:, :3].any(axis=1).mean())


@pytest.mark.parametrize(("level", "first", "three"), [("rich", 0.8, 0.93), ("rate", 0.55, 0.77)])
def test_the_likeliest_cause_of_a_data_set_never_seen_is_right_as_often_as_before(
    level: str, first: float, three: float
) -> None:
    found = right_and_in_three(level)
    assert found[0] >= first
    assert found[1] >= three


def test_richer_logs_tell_more() -> None:
    assert right_and_in_three("rich")[0] > right_and_in_three("rate")[0] + 0.1


@pytest.mark.parametrize("level", LEVELS)
def test_what_the_words_and_the_facts_say_for_a_cause_never_counts_against_it(level: str) -> None:
    for cause, terms in shipped().levels[level].causes.items():
        assert min(terms.own, terms.among, terms.words) >= 0, cause
        assert terms.own + terms.among > 0, cause


@pytest.mark.parametrize("level", LEVELS)
def test_every_cause_is_fitted(level: str) -> None:
    causes = {rule.cause for rule in load_rules()}
    assert set(shipped().levels[level].causes) == causes
    assert set(shipped().trees[level].classes) == causes | {""}


def test_the_bars_of_a_level_are_in_order() -> None:
    assert all(level.told_at <= level.clear_at for level in shipped().levels.values())


def test_weights_survive_being_written_and_read(tmp_path: Path) -> None:
    shipped().write(tmp_path / "one")
    Weights.read(tmp_path / "one").write(tmp_path / "two")
    files = sorted((tmp_path / "one").iterdir())
    assert [f.name for f in files] == sorted(["weights.json", *(f"{level}.npz" for level in LEVELS)])
    assert all(f.read_bytes() == (tmp_path / "two" / f.name).read_bytes() for f in files)

"""The diagnosis stays as good as it was, measured on the committed table of facts and labels; nothing is trained.

One fold of `benchmarks/accuracy.py` on the epoch-wise logs of one seed. The floors lie a little below what was
measured; who lowers them says why. The whole table is printed by that benchmark.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from plateau_doctor.calibration import Columns, Table, across_folds, at_level, causes_of, folds, read_table
from plateau_doctor.examination import load_rules
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
    odds = across_folds(logs, Columns.of(logs, load_rules(), causes), causes, tests=[FOLD])
    truth = np.stack([logs.labels(cause) for cause in causes], axis=1)
    sick = folds(logs, 5)[FOLD][1] & truth.any(axis=1)
    ranked = np.argsort(-odds[sick], axis=1)
    hits = np.take_along_axis(truth[sick], ranked, axis=1)
    return float(hits[:, 0].mean()), float(hits[:, :3].any(axis=1).mean())


@pytest.mark.parametrize(("level", "first", "three"), [("rich", 0.78, 0.92), ("rate", 0.5, 0.75)])
def test_the_likeliest_cause_of_a_data_set_never_seen_is_right_as_often_as_before(
    level: str, first: float, three: float
) -> None:
    found = right_and_in_three(level)
    assert found[0] >= first
    assert found[1] >= three


def test_richer_logs_tell_more() -> None:
    assert right_and_in_three("rich")[0] > right_and_in_three("rate")[0] + 0.1


@pytest.mark.parametrize("level", LEVELS)
def test_no_weight_of_a_sign_contradicts_its_word(level: str) -> None:
    sides = {(r.cause, s.condition.text): s.side for r in load_rules() for s in r.signs}
    for cause, terms in shipped().levels[level].items():
        for text, weight in terms.signs.items():
            assert weight >= 0 if sides[cause, text] == "for" else weight <= 0, (cause, text)


def test_every_fitted_sign_is_still_in_its_rule_and_every_cause_is_fitted() -> None:
    signs = {(rule.cause, sign.condition.text) for rule in load_rules() for sign in rule.signs}
    for causes in shipped().levels.values():
        assert set(causes) == {rule.cause for rule in load_rules()}
        assert {(cause, text) for cause, one in causes.items() for text in one.signs} <= signs


def test_weights_survive_being_written_and_read() -> None:
    again = Weights.read(shipped().write())
    assert again.write() == shipped().write()

"""Trees as plain arrays say what scikit-learn's said, and the shares of the facts add up to it."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from plateau_doctor.fitting import plain_trees
from plateau_doctor.trees import Trees

COLUMNS = ("train_loss.drop", "train_loss.zigzag", "rate.adaptive", "rate.left")
CAUSES = ("a", "b", "c")
Fitted = tuple[list[HistGradientBoostingClassifier], np.ndarray]


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, len(COLUMNS))).round(2)
    x[rng.random(x.shape) < 0.2] = np.nan
    y = (np.nan_to_num(x[:, 0]) > 0) + 2 * (np.nan_to_num(x[:, 1]) > 0.5)
    settings = {"max_iter": 8, "max_leaf_nodes": 6, "min_samples_leaf": 10, "max_features": 0.5}
    return [HistGradientBoostingClassifier(**settings, random_state=seed).fit(x, y) for seed in (0, 1)], x


def test_plain_trees_say_what_the_fitted_ones_say(
    fitted: Fitted,
) -> None:
    fits, x = fitted
    trees = plain_trees(fits, COLUMNS, CAUSES)
    said = np.array([trees.shares(row).sum(axis=1) for row in x[:80]])
    each = [fit.decision_function(x[:80]) for fit in fits]
    assert not np.allclose(*each)
    np.testing.assert_allclose(said, np.mean(each, axis=0), atol=2e-3)


def test_a_fact_that_no_node_asks_for_has_no_share(
    fitted: Fitted,
) -> None:
    trees = plain_trees(fitted[0], COLUMNS, CAUSES)
    (asked,) = np.nonzero(np.bincount(trees.feature[trees.feature >= 0], minlength=len(COLUMNS)) == 0)
    assert not np.any(trees.shares(fitted[1][0])[:, asked])


def test_an_unknown_fact_is_no_number(fitted: Fitted) -> None:
    trees = plain_trees(fitted[0], COLUMNS, CAUSES)
    facts = {"train_loss.drop": None, "train_loss.zigzag": 0.5, "rate.adaptive": True, "rate.left": None}
    np.testing.assert_equal(trees.row(facts), [np.nan, 0.5, 1.0, np.nan])


def test_trees_survive_being_written_and_read(fitted: Fitted, tmp_path: Path) -> None:
    trees = plain_trees(fitted[0], COLUMNS, CAUSES)
    trees.write(tmp_path / "one.npz")
    again = Trees.read(tmp_path / "one.npz")
    again.write(tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    np.testing.assert_allclose(again.shares(fitted[1][3]), trees.shares(fitted[1][3]), atol=1e-5)

"""A run by epochs and half as often: the same curves, fewer values."""

from __future__ import annotations

import numpy as np
import pytest

from plateau_doctor.facts import Facts, Logged
from plateau_doctor.run import Run, scalar_frame
from plateau_doctor.views import FEWEST_POINTS, MOST_POINTS, views_of

STEPS = 8  # an epoch


def by_steps(epochs: int = 24, every: int = 1, first: int = 1) -> Run:
    """A loss and a rate logged every so many steps, a validation loss at the end of each epoch."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for step in range(epochs * STEPS):
        at = {"step": float(step + first), "epoch": (step + 1) / STEPS}
        if (step + 1) % every == 0:
            value = 2.0 * 0.99**step + 0.05 * rng.standard_normal()
            rows.append({**at, "tag": "loss", "role": "train_loss", "value": value})
            rows.append({**at, "tag": "lr", "role": "learning_rate", "value": 0.1 * 0.999**step})
        if (step + 1) % STEPS == 0:
            rows.append({**at, "tag": "val_loss", "role": "val_loss", "value": 2.1 * 0.99**step})
    return Run("r", "r", "csv", scalar_frame(rows))


def by_epochs(run: Run) -> Run:
    """The same run as Keras would have logged it."""
    number = np.ceil(run.scalars["epoch"])
    groups = run.scalars.groupby(["tag", number], sort=False)
    rows = groups.last()
    rows["value"] = np.where(rows["role"] == "learning_rate", rows["value"], groups["value"].mean())
    return Run("r", "r", "csv", scalar_frame(rows.reset_index(names=["tag", "number"]).to_dict("records")))  # type: ignore[arg-type]


@pytest.mark.parametrize(("every", "first"), [(1, 1), (1, 0), (2, 2), (4, 4)])
def test_a_run_by_steps_is_seen_by_epochs_as_if_it_had_been_logged_so(every: int, first: int) -> None:
    run = by_steps(every=every, first=first)
    by_epoch, half = views_of(Logged(run))
    expected = by_epochs(run)
    for tag in ("loss", "lr", "val_loss"):
        found = by_epoch.logged.columns(tag)
        assert found["value"] == pytest.approx(Logged(expected).columns(tag)["value"]), tag
        assert found["epoch"].tolist() == list(range(1, 25))
        assert half.logged.columns(tag)["value"].tolist() == found["value"][::2].tolist()
    for name in ("train_loss.drop", "val_loss.rise", "gap.ratio", "rate.left", "train_loss.zigzag"):
        one, other = by_epoch[name], Facts(expected)[name]
        assert one == (pytest.approx(other) if isinstance(other, float) else other), name


def test_a_run_by_epochs_is_seen_half_as_often_only() -> None:
    (half,) = views_of(Logged(by_epochs(by_steps())))
    assert len(half.logged.columns("val_loss")["value"]) == 12


@pytest.mark.parametrize("points", [FEWEST_POINTS - 1, MOST_POINTS + 1])
def test_of_few_values_and_of_very_many_no_half_is_made(points: int) -> None:
    rows = [{"tag": "loss", "role": "train_loss", "value": 2.0 / (1 + i)} for i in range(points)]
    assert views_of(Logged(Run("r", "r", "csv", scalar_frame(rows)))) == ()


def test_what_a_later_start_wrote_anew_is_left_out() -> None:
    run = by_epochs(by_steps())
    again = run.scalars[run.scalars["step"] > 100].assign(segment=1)
    dead = run.scalars.assign(live=run.scalars["step"] <= 100, value=run.scalars["value"] + 5)
    dead.loc[dead["live"], "value"] -= 5
    frame = scalar_frame(
        [*dead.to_dict("records"), *again.to_dict("records")]  # type: ignore[list-item]
    )
    (half,) = views_of(Logged(Run("r", "r", "csv", frame)))
    (whole,) = views_of(Logged(run))
    for tag in ("loss", "val_loss"):
        assert half.logged.columns(tag)["value"] == pytest.approx(whole.logged.columns(tag)["value"])


def test_a_lost_step_leaves_the_mean_of_its_epoch_to_the_others() -> None:
    run = by_steps()
    losses = np.flatnonzero(run.scalars["tag"] == "loss")
    odd = run.scalars.copy()
    odd.loc[losses[2::STEPS], "value"] = np.nan
    odd.loc[losses[3 * STEPS + 1], "value"] = np.inf
    odd.loc[losses[5 * STEPS : 6 * STEPS], "value"] = np.nan
    by_epoch, _ = views_of(Logged(Run("r", "r", "csv", odd)))
    values = by_epoch.logged.columns("loss")["value"]
    expected = Logged(by_epochs(run)).columns("loss")["value"]
    assert np.flatnonzero(~np.isfinite(values)).tolist() == [5]
    kept = np.arange(24) != 5
    assert values[kept] == pytest.approx(expected[kept], abs=0.1)


@pytest.mark.parametrize("first", [0, 1])
def test_where_every_second_value_is_nan_the_half_is_of_the_others(first: int) -> None:
    run = by_epochs(by_steps(48))
    rows = np.flatnonzero(run.scalars["tag"] == "val_loss")
    run.scalars.loc[rows[first::2], "value"] = np.nan
    (half,) = views_of(Logged(run))
    values = half.logged.columns("val_loss")["value"]
    assert np.isfinite(values).sum() == 12


def test_a_tag_that_is_counted_otherwise_is_left_as_it_is() -> None:
    run = by_steps()
    held_out = run.scalars["tag"] == "val_loss"
    run.scalars.loc[held_out, "step"] = np.arange(held_out.sum(), dtype=float)
    run = Run("r", "r", "csv", run.scalars, settings={"steps_per_epoch": float(STEPS)})
    by_epoch, half = views_of(Logged(run))
    assert len(by_epoch.logged.columns("val_loss")["value"]) == 24
    assert len(by_epoch.logged.columns("loss")["value"]) == 24
    assert len(half.logged.columns("val_loss")["value"]) == 12

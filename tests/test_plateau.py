"""Plateaus and states: the same answer for every way of logging one run."""

import numpy as np
import pytest

from plateau_doctor.plateau import Plateau, State, find_plateaus, state_of
from plateau_doctor.run import Run, scalar_frame
from plateau_doctor.series import curve_of, primary_curve


def a_run(
    values: np.ndarray, steps: np.ndarray | None = None, role: str = "train_loss", **columns: object
) -> Run:
    at = np.arange(len(values)) if steps is None else steps
    rows = [{"tag": role, "role": role, "step": s, "value": v} for s, v in zip(at, values, strict=True)]
    return Run("run", "run.csv", "csv", scalar_frame(rows).assign(**columns))


def examined(run: Run, rate_left: float | None = None) -> tuple[State, tuple[Plateau, ...]]:
    curve = primary_curve(run)
    plateaus = find_plateaus(curve) if curve is not None else ()
    return state_of(curve, plateaus, rate_left), plateaus


def falling(n: int, floor: float, noise: float, seed: int = 0, rate: float = 12) -> np.ndarray:
    """An exponential fall from 2.3 to a floor, over by about two fifths of the run."""
    rng = np.random.default_rng(seed)
    return floor + (2.3 - floor) * np.exp(-rate * np.arange(n) / n) + noise * rng.standard_normal(n)


CURVES = {
    "a fall to a floor": (falling(50, 0.8, 0.005), "plateaued"),
    "a fall to nearly nothing": (falling(50, 0.05, 0.002), "converged"),
    "flat from the start": (2.3 + 0.005 * np.random.default_rng(1).standard_normal(40), "plateaued"),
    "a straight fall": (2.3 - 0.01 * np.arange(50), "improving"),
    "a slow straight fall": (2.3 - 0.001 * np.arange(50), "improving"),
    "a power law": (3 + 8 * (np.arange(50) + 1.0) ** -0.5, "improving"),
    "a jump that stays": (np.r_[0.72, np.full(14, 1.07)], "diverged"),
    "a tail of NaN": (np.r_[np.linspace(2.3, 1, 20), np.full(10, np.nan)], "diverged"),
    "five points": (np.linspace(2, 1, 5), "too_short"),
    "constant": (np.full(20, 0.693), "plateaued"),
}


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_has_the_state_an_engineer_would_give_it(name: str) -> None:
    values, state = CURVES[name]
    assert examined(a_run(values))[0] == state


def test_no_loss_no_metric_and_no_reward_is_not_a_training_run() -> None:
    assert examined(a_run(falling(50, 0.8, 0), role="other"))[0] == "not_a_training_run"


@pytest.mark.parametrize("every", [1, 2, 5])
def test_a_thinned_log_has_the_same_state_and_onset(every: int) -> None:
    values = falling(5000, 0.8, 0.05)
    state, plateaus = examined(a_run(values[::every], np.arange(5000)[::every]))
    assert state == "plateaued"
    assert plateaus[-1].start_step == pytest.approx(1400, abs=500)
    assert plateaus[-1].end_step >= 4995


def test_the_means_of_epochs_have_the_state_and_onset_of_the_steps() -> None:
    values = falling(5000, 0.8, 0.05)
    by_step, by_epoch = examined(a_run(values)), examined(a_run(values.reshape(50, 100).mean(axis=1)))
    assert by_step[0] == by_epoch[0] == "plateaued"
    assert by_step[1][-1].start_step / 100 == pytest.approx(by_epoch[1][-1].start_step, abs=6)


def test_rows_that_a_restart_rewrote_do_not_count() -> None:
    values = falling(60, 0.8, 0.005)
    plain = a_run(values)
    rewritten = a_run(np.r_[values[:40], np.full(10, 5.0), values[40:]], np.r_[0:40, 40:50, 40:60])
    rewritten.scalars.loc[40:49, "live"] = False
    assert examined(rewritten)[0] == examined(plain)[0] == "plateaued"
    assert examined(rewritten)[1][-1].start_step == examined(plain)[1][-1].start_step


def test_a_shelf_that_ends_by_itself_is_reported_and_the_run_improves() -> None:
    shelf = np.r_[np.linspace(2.3, 1.6, 15), np.full(20, 1.58), np.linspace(1.55, 0.5, 15)]
    state, plateaus = examined(a_run(shelf))
    assert state == "improving"
    assert [p.start_step for p in plateaus] == [pytest.approx(14, abs=2)]
    assert plateaus[0].level == pytest.approx(1.58, abs=0.03)


def test_a_spike_followed_by_steady_descent_is_no_plateau() -> None:
    values = np.linspace(2.3, 0.5, 50)
    values[20] = 9.0
    assert examined(a_run(values)) == ("improving", ())


def test_several_values_at_one_step_are_one_point() -> None:
    repeated = a_run(np.tile(falling(30, 0.8, 0.005), 3), np.tile(np.arange(30), 3))
    curve = curve_of(repeated, "train_loss")
    assert curve is not None
    assert len(curve.values) == 30


def test_a_rate_at_its_end_turns_a_plateau_into_convergence() -> None:
    run = a_run(falling(50, 1.0, 0.003))
    assert examined(run, rate_left=None)[0] == "plateaued"
    assert examined(run, rate_left=0.01)[0] == "converged"


def test_a_reward_is_judged_before_the_loss_of_an_agent() -> None:
    loss, reward = a_run(falling(30, 0.8, 0.01)), a_run(np.linspace(0, 100, 30), role="reward")
    both = Run("run", "run.csv", "csv", scalar_frame([*_rows(loss), *_rows(reward)]))
    curve = primary_curve(both)
    assert curve is not None
    assert curve.role == "reward"
    assert examined(both)[0] == "improving"


def _rows(run: Run) -> list[dict[str, object]]:
    return [{str(k): v for k, v in row.items()} for row in run.scalars.to_dict("records")]

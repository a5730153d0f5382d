"""The verdict: by interval and threshold, and wrong no more often than it may be."""

import math
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plateau_doctor.verdict import (
    ALPHA,
    LOSS,
    POINTS,
    Measure,
    Pair,
    alpha_by_worth,
    alpha_of_fix,
    alpha_of_look,
    effects,
    interval,
    judge,
    looks_of,
)

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
LOSSES = st.floats(1e-3, 1e3)
PAIRS = st.lists(st.builds(Pair, LOSSES, LOSSES), min_size=2, max_size=8)
calm = settings(deadline=None, max_examples=50)
ALPHAS = st.floats(1e-3, 0.2)


@calm
@given(PAIRS, ALPHAS)
def test_the_kind_follows_from_interval_and_threshold_alone(pairs: list[Pair], alpha: float) -> None:
    found = judge("lower_lr", pairs, LOSS, alpha)
    assert found.gain is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.gain < found.high
    assert (found.kind == "confirmed") == (found.low > 0 and found.gain >= LOSS.threshold)
    assert found.kind == "confirmed" or (found.kind == "refuted") == (found.high < LOSS.threshold)


@calm
@given(PAIRS, ALPHAS, st.floats(0.01, 100))
def test_the_unit_of_the_loss_does_not_matter(pairs: list[Pair], alpha: float, scale: float) -> None:
    scaled = [Pair(scale * one.control, scale * one.treated) for one in pairs]
    assert judge("f", scaled, LOSS, alpha).gain == pytest.approx(
        judge("f", pairs, LOSS, alpha).gain, abs=1e-9
    )


@calm
@given(PAIRS, ALPHAS)
def test_control_and_treated_exchanged_turn_the_interval_around(pairs: list[Pair], alpha: float) -> None:
    there = interval(effects(pairs, LOSS), LOSS, alpha)
    back = interval(effects([Pair(one.treated, one.control) for one in pairs], LOSS), LOSS, alpha)
    assert (back.low, back.high) == (pytest.approx(-there.high), pytest.approx(-there.low))


@calm
@given(PAIRS)
def test_less_error_to_spend_is_a_wider_interval(pairs: list[Pair]) -> None:
    deltas = effects(pairs, LOSS)
    wide, narrow = interval(deltas, LOSS, 0.01), interval(deltas, LOSS, 0.05)
    assert wide.low < narrow.low < narrow.high < wide.high


@calm
@given(st.lists(st.floats(0, 100), min_size=2, max_size=5), st.floats(-50, 50))
def test_seeds_that_agree_to_the_digit_still_have_a_spread(levels: list[float], gain: float) -> None:
    found = interval(effects([Pair(x, x + gain) for x in levels], POINTS), POINTS, 0.05)
    assert found.high - found.low > 1


@calm
@given(st.integers(2, 20), st.floats(1e-3, 0.3))
def test_the_looks_of_a_fix_spend_its_error_and_no_more(planned: int, alpha: float) -> None:
    looks = looks_of(planned)
    assert looks[0] == 2
    assert looks[-1] == planned
    assert all(one < other for one, other in pairwise(looks))
    spent = [alpha_of_look(seeds, planned, alpha) for seeds in looks]
    assert min(spent) > 0
    assert sum(spent) == pytest.approx(alpha)
    assert alpha_of_look(1, planned, alpha) == 0


@calm
@given(st.integers(1, 8))
def test_the_fixes_share_the_error_and_the_likeliest_has_the_most(fixes: int) -> None:
    shares = [alpha_of_fix(rank, fixes) for rank in range(fixes)]
    assert sum(shares) == pytest.approx(ALPHA)
    assert shares == sorted(shares, reverse=True)


def test_a_large_agreeing_gain_is_confirmed_and_a_large_loss_refuted() -> None:
    assert judge("f", [Pair(2.0, 1.0)] * 3, LOSS, 0.05).kind == "confirmed"
    assert judge("f", [Pair(1.0, 2.0)] * 3, LOSS, 0.05).kind == "refuted"
    assert judge("f", [Pair(60.0, 90.0)] * 3, POINTS, 0.05).kind == "confirmed"


def test_a_gain_below_the_threshold_is_never_confirmed() -> None:
    exact = Measure("log ratio", LOSS.threshold, 1e6, 1e-8)
    found = judge("f", [Pair(1.0, 0.97)] * 3, exact, 0.05)
    assert found.low is not None
    assert found.low > 0
    assert found.kind == "refuted", "all of the interval is below 5 %"
    assert judge("f", [Pair(1.0, 0.955)] * 3, Measure("log ratio", LOSS.threshold, 1e6, 4e-4), 0.05).kind == (
        "inconclusive"
    )


def test_without_a_pair_it_failed_and_with_one_it_is_inconclusive() -> None:
    assert judge("f", [], LOSS, 0.05).kind == "failed"
    one = judge("f", [Pair(2.0, 1.0)], LOSS, 0.05)
    assert (one.kind, one.seeds, one.low) == ("inconclusive", 1, None)
    assert one.gain == pytest.approx(math.log(2))


def test_a_control_without_the_trouble_or_a_seed_without_effect_leaves_it_open() -> None:
    pairs = [Pair(2.0, 1.0)] * 3
    gone = judge("f", pairs, LOSS, 0.05, reproduced=False)
    same = judge("f", pairs, LOSS, 0.05, effective=False)
    assert (gone.kind, gone.why.partition(":")[0]) == ("inconclusive", "not reproduced")
    assert (same.kind, same.why.partition(":")[0]) == ("inconclusive", "seed not effective")
    assert gone.gain is not None, "what was measured is told all the same"


@pytest.mark.parametrize("measure", [LOSS, POINTS], ids=["loss", "points"])
@pytest.mark.parametrize(("fixes", "seeds"), [(1, 3), (3, 3), (3, 8)])
def test_where_nothing_helps_a_confirmation_is_no_more_frequent_than_promised(
    measure: Measure, fixes: int, seeds: int
) -> None:
    """Effects have variances of the measured prior and mean 0; all looks are taken, fixes share controls."""
    rng = np.random.default_rng(0)
    runs = 4000
    spread = np.sqrt(measure.degrees * measure.variance / rng.chisquare(measure.degrees, runs) / 2)
    control = spread[:, None] * rng.standard_normal((runs, seeds))
    wrong = np.zeros(runs, dtype=bool)
    for rank in range(fixes):
        deltas = control - spread[:, None] * rng.standard_normal((runs, seeds))
        for look in looks_of(seeds):
            alpha = alpha_of_look(look, seeds, alpha_of_fix(rank, fixes))
            low, estimate = _lower(deltas[:, :look], measure, alpha)
            wrong |= (low > 0) & (estimate >= measure.threshold)
    nominal = ALPHA / 2  # of a two-sided interval, the side on which a fix seems to help
    assert wrong.mean() <= nominal + 3 * math.sqrt(nominal * (1 - nominal) / runs)


def _lower(deltas: np.ndarray, measure: Measure, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower ends and estimates of many intervals at once, and hold one of them against `interval`."""
    from scipy.stats import t

    n = deltas.shape[1]
    degrees = measure.degrees + n - 1
    variance = (measure.degrees * measure.variance + (n - 1) * deltas.var(axis=1, ddof=1)) / degrees
    low = deltas.mean(axis=1) - t.isf(alpha / 2, degrees) * np.sqrt(variance / n)
    assert low[0] == pytest.approx(interval(deltas[0], measure, alpha).low)
    return low, deltas.mean(axis=1)


def test_the_priors_are_those_that_the_corpus_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from seed_variance import effects as recorded
    from seed_variance import fit

    for column, measure in (("loss", LOSS), ("error", POINTS)):
        found = np.array([np.var(one, ddof=1) for one in recorded(column)])
        degrees, variance = fit(found[found > 0], 2)
        assert degrees == pytest.approx(measure.degrees, rel=0.02)
        assert variance == pytest.approx(measure.variance, rel=0.02)
    sys.modules.pop("seed_variance")


def test_the_error_shared_by_worth_is_all_of_it_and_none_is_left_without() -> None:
    shares = alpha_by_worth((0.7, 0.2, 0.0001), 0.05)
    assert sum(shares) == pytest.approx(0.05)
    assert list(shares) == sorted(shares, reverse=True)
    assert min(shares) > 0.05 / 15 * 0.99
    assert alpha_by_worth((0.3,), 0.02) == pytest.approx((0.02,))

"""Samples of arrays: what they visit and what they stand for."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from plateau_doctor.recorders.events import histogram
from plateau_doctor.recorders.sample import MOST, dead_units, norm_of_values, sampled, spread, stride_of


@given(st.lists(st.integers(1, 300), min_size=1, max_size=4))
def test_a_sample_is_small_and_its_step_shares_no_factor_with_a_side(shape: list[int]) -> None:
    stride = stride_of(shape)
    assert math.ceil(math.prod(shape) / stride) <= MOST
    assert stride == 1 or all(math.gcd(stride, side) == 1 for side in shape)


def test_a_sample_of_a_layer_visits_every_row_and_column() -> None:
    rows, columns = np.divmod(np.arange(512 * 512), 512)
    step = stride_of((512, 512))
    assert len(np.unique(rows[::step])) == len(np.unique(columns[::step])) == 512


def test_a_small_array_is_taken_whole_and_copied() -> None:
    values = np.arange(6.0).reshape(2, 3)
    one = sampled(values)
    values[:] = 0
    assert one.values.tolist() == [0, 1, 2, 3, 4, 5]
    assert one.size == 6


def test_a_histogram_of_a_sample_counts_the_whole() -> None:
    buckets = histogram(np.array([0.0, 1.0]), each=50.0)
    assert (buckets.num, buckets.sum, buckets.sum_squares, sum(buckets.bucket)) == (100, 50, 50, 100)


def test_a_norm_is_finite_where_its_squares_are_too_large_for_float32() -> None:
    assert norm_of_values(np.full(4, 1e30, dtype=np.float32)) == np.float32(2e30)


def test_a_unit_is_dead_where_it_gave_zero_for_all_of_a_batch() -> None:
    assert dead_units(np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]])) == 0.5
    assert dead_units(np.zeros(3)) is None


def test_places_are_spread_from_end_to_end() -> None:
    assert spread(100, 3).tolist() == [0, 49, 99]
    assert spread(2, 3).tolist() == [0, 1]

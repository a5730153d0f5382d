from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from making_events import HISTOGRAMS, curve, of_tensor, one_run, write
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.util.tensor_util import make_tensor_proto
from test_events_at_once import read_both

from plateau_doctor.readers.histograms import Histogram, from_message, from_rows, layer_and_kind, summary
from plateau_doctor.recorders.events import histogram
from plateau_doctor.run import HISTOGRAM_COLUMNS

RNG = np.random.default_rng(5)


def tf2_rows(values: np.ndarray, buckets: int = 30) -> np.ndarray:
    """Return the rows that TensorFlow 2 writes: buckets of equal width, and one alone for a constant."""
    if np.ptp(values) == 0:
        return np.array([[values[0] - 0.5, values[0] + 0.5, len(values)]])
    counts, edges = np.histogram(values, buckets)
    return np.stack([edges[:-1], edges[1:], counts], axis=1)


def legacy(values: np.ndarray) -> Histogram:
    raw = histogram(values).SerializeToString()
    return from_message(raw, 0, len(raw))


SAMPLES = {
    "normal": RNG.normal(0.1, 1, 5000),
    "relu": np.maximum(RNG.normal(0, 1, 5000), 0),
    "saturated": 1 / (1 + np.exp(-RNG.normal(0, 12, 5000))),
    "tiny": RNG.normal(0, 1e-5, 5000),
}


@pytest.mark.parametrize("name", list(SAMPLES))
@pytest.mark.parametrize("make", [legacy, lambda v: from_rows(tf2_rows(v))], ids=["legacy", "tensor"])
def test_summaries_come_close_to_those_of_the_values(name: str, make) -> None:
    values = SAMPLES[name]
    found = summary(make(values))
    spread = values.std()
    assert found["count"] == len(values)
    assert found["mean"] == pytest.approx(values.mean(), abs=0.02 * spread)
    assert found["std"] == pytest.approx(spread, rel=0.03)
    assert found["norm"] == pytest.approx(np.linalg.norm(values), rel=0.03)
    assert (found["low"], found["high"]) == pytest.approx((values.min(), values.max()))
    low, high = values.min() + 0.05 * np.ptp(values), values.max() - 0.05 * np.ptp(values)
    # a bucket near 1 of the legacy kind is 0.1 wide, twice the edge: where in it the mass lies cannot be told
    coarse = 0.2 if name == "saturated" else 0.05
    assert found["edge"] == pytest.approx(np.mean((values <= low) | (values >= high)), abs=coarse)
    assert found["zeros"] == pytest.approx(np.mean(values == 0), abs=0.05)


@pytest.mark.parametrize("make", [legacy, lambda v: from_rows(tf2_rows(v))], ids=["legacy", "tensor"])
def test_a_tensor_of_zeros_is_all_zeros(make) -> None:
    found = summary(make(np.zeros(64)))
    assert (found["zeros"], found["norm"], found["low"], found["high"]) == (1.0, 0.0, 0.0, 0.0)


def test_a_constant_is_not_taken_for_zero_because_tensorflow_widens_its_bin() -> None:
    found = summary(from_rows(tf2_rows(np.full(10, 0.3))))
    assert (found["zeros"], found["mean"], found["std"]) == pytest.approx((0.0, 0.3, 0.0), abs=1e-7)


def test_values_too_small_for_the_buckets_are_not_called_zeros() -> None:
    proto = HistogramProto(
        min=-1e-14, max=1e-14, num=9, sum=0, sum_squares=9e-28, bucket_limit=[0, 1e-12], bucket=[4, 5]
    )
    raw = proto.SerializeToString()
    assert np.isnan(summary(from_message(raw, 0, len(raw)))["zeros"])


def test_an_empty_histogram_has_a_count_of_zero_and_no_mean() -> None:
    for empty in (from_rows(np.zeros((30, 3))), from_message(b"", 0, 0), from_rows(np.empty((0, 3)))):
        found = summary(empty)
        assert found["count"] == 0
        assert np.isnan(found["mean"])


def test_infinite_edges_and_sums_give_no_warning_and_no_error(recwarn: pytest.WarningsRecorder) -> None:
    proto = HistogramProto(min=-1e308, max=1e308, num=2, sum=np.inf, sum_squares=np.nan)
    proto.bucket_limit.extend([0, 1.7e308])
    proto.bucket.extend([1, 1])
    raw = proto.SerializeToString()
    found = summary(from_message(raw, 0, len(raw)))
    assert np.isnan(found["norm"])
    assert not recwarn.list


@pytest.mark.parametrize(
    ("tag", "layer", "kind"),
    [
        ("gradients/00_conv2d/kernel", "00_conv2d/kernel", "gradient"),
        ("weights/00_conv2d/kernel", "00_conv2d/kernel", "weight"),
        ("activations/00_conv2d", "00_conv2d", "activation"),
        ("gradients/conv1.weight", "conv1.weight", "gradient"),
        ("grad/conv1.weight", "conv1.weight", "gradient"),
        ("conv1.weight_grad", "conv1.weight", "gradient"),
        ("conv1.weight/grad", "conv1.weight", "gradient"),
        ("grad_conv1.weight", "conv1.weight", "gradient"),
        ("fc1.bias.grad", "fc1.bias", "gradient"),
        ("conv1.weight", "conv1.weight", "weight"),
        ("parameters/conv1.weight", "conv1.weight", "weight"),
        ("conv2d/kernel_0", "conv2d/kernel", "weight"),
        ("conv2d/kernel_0/histogram", "conv2d/kernel", "weight"),
        ("conv2d_1/kernel/histogram", "conv2d_1/kernel", "weight"),
        ("dense/kernel:0", "dense/kernel", "weight"),
        ("conv1/gradients/weights", "conv1/weights", "gradient"),
        ("encoder.layer.0.output.dense.weight", "encoder.layer.0.output.dense.weight", "weight"),
        ("Environment/Cumulative Reward_hist", "Environment/Cumulative Reward", "other"),
        ("gradients", "gradients", "gradient"),
    ],
)
def test_layers_are_called_alike_whatever_writes_them(tag: str, layer: str, kind: str) -> None:
    assert layer_and_kind(tag) == (layer, kind)


def test_a_run_keeps_bins_and_summaries_together(tmp_path: Path) -> None:
    old = Summary(value=[Summary.Value(tag="gradients/fc/kernel", histo=histogram(SAMPLES["relu"]))])
    new = of_tensor(
        "fc/kernel_0/histogram", make_tensor_proto(tf2_rows(SAMPLES["normal"])), HISTOGRAMS, step=4
    )
    write(tmp_path / "train" / "events.out.tfevents.1", [Event(wall_time=1.0, step=3, summary=old), new])
    write(tmp_path / "validation" / "events.out.tfevents.1", curve("epoch_loss", range(3)))
    run = one_run(tmp_path)
    frame = run.histograms
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == HISTOGRAM_COLUMNS
    assert frame["layer"].tolist() == ["fc/kernel"] * 2
    assert frame["tag"].tolist() == ["train/gradients/fc/kernel", "train/fc/kernel_0/histogram"]
    assert frame["kind"].tolist() == ["gradient", "weight"]
    for row in frame.itertuples():
        bins = run.bins[row.first_bin : row.first_bin + row.n_bins]
        assert bins[:, 2].sum() == row.count == 5000
        assert (bins[0, 0], bins[-1, 1]) == (row.low, row.high)
    assert len(run.bins) == frame["n_bins"].sum()


@pytest.mark.parametrize(
    ("limits", "low", "high"),
    [
        ([1.0, 2.0, 3.0, 4.0], 0.5, 3.5),  # as they are written: the outermost two are cut
        ([1.0, 2.0, 3.0, 4.0], 2.5, 2.6),  # inner ones lie outside, too
        ([4.0, 1.0, 3.0, 2.0], 1.5, 2.5),  # they fall
        ([1.0, math.nan, 0.2, 4.0], 0.5, 3.5),
        ([1.0, 2.0, 3.0, math.inf], 5.0, -5.0),  # there are no bounds
        ([2.0], 2.0, 2.0),
    ],
)
def test_no_edge_lies_outside_the_smallest_and_largest_value(
    tmp_path: Path, limits: list[float], low: float, high: float
) -> None:
    odd = HistogramProto(min=low, max=high, num=4, bucket_limit=limits, bucket=[1] * len(limits))
    usual = HistogramProto(min=0, max=2, num=4, bucket_limit=[1, 2, 3], bucket=[1, 1, 0])
    held = [
        Event(wall_time=i, step=i, summary=Summary(value=[Summary.Value(tag="w", histo=one)]))
        for i, one in enumerate([usual, odd, usual])
    ]
    found = read_both(write(tmp_path / "events.out.tfevents.1", held)).histograms
    assert found[0].bins.tolist() == [[0, 1, 1], [1, 2, 1]]
    assert found[1].bins[0, 0] >= low or low > high

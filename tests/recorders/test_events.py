"""The event writer against tensorboard's own classes, which are the oracle here."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub import pywrap_tensorflow
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from plateau_doctor.recorders.events import FINE, ZERO_EDGE, EventWriter, histogram, masked_crc32c


def events_in(path: Path) -> list[Event]:
    """Read records one by one, checking both sums of each by tensorboard's own function."""
    data, at, events = path.read_bytes(), 0, []
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        payload = data[at + 12 : at + 12 + length]
        sums = struct.unpack_from("<I", data, at + 8) + struct.unpack_from("<I", data, at + 12 + length)
        assert sums == tuple(pywrap_tensorflow.masked_crc32c(part) for part in (data[at : at + 8], payload))
        events.append(Event.FromString(payload))
        at += 16 + length
    return events


def zeros_in(buckets) -> float:
    return sum(n for limit, n in zip(buckets.bucket_limit, buckets.bucket, strict=True) if limit == ZERO_EDGE)


@given(st.binary(max_size=200))
def test_the_checksum_is_the_one_tensorflow_wants(data: bytes) -> None:
    assert masked_crc32c(data) == pywrap_tensorflow.masked_crc32c(data)


def test_the_file_starts_with_its_version(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    writer.close()
    assert [event.file_version for event in events_in(writer.path)] == ["brain.Event:2"]


def test_scalars_and_histograms_come_back_as_written(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, clock=lambda: 7.0)
    writer.write(
        3,
        {"train/loss": 0.5, "nan": float("nan"), "huge": 1e300},
        {"weights/a": np.arange(6.0).reshape(2, 3)},
    )
    (_, event) = events_in(writer.path)  # before it is closed: a killed training leaves a whole file
    values = {value.tag: value for value in event.summary.value}
    assert (event.step, event.wall_time) == (3, 7.0)
    assert values["train/loss"].simple_value == 0.5
    assert np.isnan(values["nan"].simple_value)
    assert values["huge"].simple_value == float("inf")
    kept = values["weights/a"].histo
    assert (kept.min, kept.max, kept.num, kept.sum, kept.sum_squares) == (0, 5, 6, 15, 55)


def test_a_second_writer_appends_and_repeats_no_version(tmp_path: Path) -> None:
    for step in (1, 2):
        writer = EventWriter(tmp_path, name="events.out.tfevents.1")
        writer.write(step, {"a": step})
        writer.close()
    assert [event.step for event in events_in(writer.path)] == [0, 1, 2]


def test_exact_zeros_have_a_bucket_of_their_own() -> None:
    tiny = np.array([0.0, -0.0, 0.0, 1.5e-45, -1.5e-45, 1e-30, -1e-30], dtype=np.float32)
    assert zeros_in(histogram(tiny)) == 3
    assert zeros_in(histogram(tiny[3:])) == 0


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=50),
    st.sampled_from([FINE, FINE**6]),
)
def test_each_value_lies_in_the_bucket_that_counts_it(values: list[float], growth: float) -> None:
    buckets = histogram(np.array(values), growth)
    limits = np.array(buckets.bucket_limit)
    lows = np.r_[-np.inf, limits[:-1]]
    array = np.array(values)
    expected = [np.sum((array >= low) & (array < high)) for low, high in zip(lows, limits, strict=True)]
    assert list(buckets.bucket) == expected
    assert sum(buckets.bucket) == len(values)


def test_only_needed_buckets_are_kept_and_their_edges_stay() -> None:
    buckets = histogram(np.array([1.0, 1.0]))
    assert list(buckets.bucket) == [0, 2]
    assert buckets.bucket_limit[1] / buckets.bucket_limit[0] == pytest.approx(FINE)


def test_what_is_not_finite_is_counted_beside_the_histogram(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    writer.write(1, None, {"gradients/00_a/kernel": np.array([1.0, np.nan, np.inf, -np.inf])})
    values = {value.tag: value for value in events_in(writer.path)[1].summary.value}
    assert values["nonfinite/gradients/00_a/kernel"].simple_value == 3
    assert values["gradients/00_a/kernel"].histo.num == 1


def test_a_tensor_of_nothing_but_nan_still_has_a_histogram(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    writer.write(1, None, {"weights/a": np.full(4, np.nan)})
    histo = events_in(writer.path)[1].summary.value[0].histo
    assert histo.num == 0
    assert len(histo.bucket) == len(histo.bucket_limit) == 1


def test_settings_are_read_by_the_hparams_plugin(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    writer.settings({"learning_rate": 0.1, "optimizer": "sgd", "nesterov": True, "classes": None})
    (value,) = events_in(writer.path)[1].summary.value
    assert value.tag == "_hparams_/session_start_info"
    assert value.metadata.plugin_data.plugin_name == "hparams"
    found = HParamsPluginData.FromString(value.metadata.plugin_data.content).session_start_info.hparams
    assert found["learning_rate"].number_value == 0.1
    assert found["optimizer"].string_value == "sgd"
    assert found["nesterov"].bool_value is True
    assert "classes" not in found


def test_tensorboard_reads_the_file(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    writer = EventWriter(tmp_path)
    for step in range(5):
        writer.write(step, {"train/loss": 1 / (step + 1)}, {"weights/a": np.linspace(-1, 1, 30)})
    writer.settings({"learning_rate": 0.1})
    writer.close()
    read = accumulator.EventAccumulator(str(tmp_path))
    read.Reload()
    assert [e.step for e in read.Scalars("train/loss")] == list(range(5))
    assert sum(read.Histograms("weights/a")[0].histogram_value.bucket) == 30
    assert "hparams" in read.summary_metadata["_hparams_/session_start_info"].plugin_data.plugin_name


def test_an_unwritable_folder_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        EventWriter(tmp_path / "file")

"""Writes TensorBoard event files without TensorFlow: scalars, histograms and settings.

A file is a row of records: length, masked CRC of the length, payload, masked CRC of the payload. It is only
ever appended to, one write a burst, so that a killed training leaves a file that is whole up to its last
burst.
"""

from __future__ import annotations

import math
import os
import struct
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.plugins.hparams import plugin_data_pb2

from plateau_doctor.recorders.sample import Sample

__all__ = ["FINE", "ZERO_EDGE", "EventWriter", "histogram", "masked_crc32c"]

FINE = 1.1  # growth of TensorFlow's and tensorboardX's buckets
ZERO_EDGE = (
    2.0**-149
)  # smallest positive float32: the bucket [0, ZERO_EDGE) holds exact zeros and nothing else
SMALLEST, LARGEST = 1e-12, 1e20  # the range of TensorFlow's buckets
FARTHEST = sys.float_info.max
Setting = float | str | bool


class EventWriter:
    """An open event file.

    Args:
        folder: Where the file goes; made if it is not there.
        name: Its name; by default one that sorts by time. TensorBoard reads names that hold `tfevents`.
        clock: Gives the wall time of a record, in seconds since 1970.

    Raises:
        OSError: The folder or the file cannot be written.
    """

    def __init__(
        self,
        folder: str | Path,
        name: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.path = Path(folder) / (name or f"events.out.tfevents.{time.time():.6f}.{os.getpid()}")
        self._file = self.path.open("ab", buffering=0)
        if self._file.tell() == 0:
            self._append(Event(wall_time=self._clock(), file_version="brain.Event:2"))

    def write(
        self,
        step: int,
        scalars: Mapping[str, float] | None = None,
        histograms: Mapping[str, np.ndarray | Sample] | None = None,
        growth: float = FINE,
    ) -> None:
        """Append one burst of values at one step; tags map to numbers, and to arrays of any shape or samples of them.

        NaN and Inf have no place in a histogram: it holds the finite part, and the scalar
        `nonfinite/<tag>` the count of the others, so `nonfinite/gradients/00_conv2d/kernel`.
        """
        event = Event(wall_time=self._clock(), step=step)
        for tag, value in (scalars or {}).items():
            event.summary.value.add(tag=tag, simple_value=_single(value))
        for tag, values in (histograms or {}).items():
            _add_histogram(event.summary, tag, values, growth)
        if event.summary.value:
            self._append(event)

    def settings(self, settings: Mapping[str, Setting | None], group: str = "") -> None:
        """Append the run's settings, as TensorBoard's HPARAMS tab reads them; None is left out."""
        start = plugin_data_pb2.SessionStartInfo(group_name=group, start_time_secs=self._clock())
        for name, value in settings.items():
            if isinstance(value, bool):
                start.hparams[name].bool_value = value
            elif isinstance(value, str):
                start.hparams[name].string_value = value
            elif value is not None:
                start.hparams[name].number_value = float(value)
        content = plugin_data_pb2.HParamsPluginData(version=0, session_start_info=start)
        metadata = SummaryMetadata()
        metadata.plugin_data.plugin_name = "hparams"
        metadata.plugin_data.content = content.SerializeToString()
        event = Event(wall_time=self._clock())
        event.summary.value.add(tag="_hparams_/session_start_info", metadata=metadata)
        self._append(event)

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        self._file.close()

    def _append(self, event: Event) -> None:
        payload = event.SerializeToString()
        length = struct.pack("<Q", len(payload))
        checks = (struct.pack("<I", masked_crc32c(data)) for data in (length, payload))
        self._file.write(length + next(checks) + payload + next(checks))


def histogram(values: np.ndarray, growth: float = FINE, each: float = 1.0) -> HistogramProto:
    """Return the histogram of finite `values`, of any shape, in exponential buckets; each value counts `each` times.

    The edges are ±1e-12·growth^k, as TensorFlow and tensorboardX have them for 1.1, and one more: the bucket
    [0, 2^-149) holds the exact zeros of a float32 tensor, so that their share can be read back. Runs of
    empty buckets are merged into one, as TensorFlow does; the edges of the others stay.
    """
    # to sort short numbers and look up a few edges in them costs a fraction of looking up each number among the edges
    flat = np.sort(np.asarray(values).ravel()).astype(np.float64)
    if not flat.size:
        return HistogramProto(bucket_limit=[FARTHEST], bucket=[0.0])
    edges = _edges(growth)
    below = np.searchsorted(flat, edges, side="left")
    counts = np.diff(below, prepend=0, append=flat.size)
    limits = np.append(edges, FARTHEST)
    kept = (counts > 0) | np.append(
        counts[1:] > 0, False
    )  # also the empty one that ends where a full one begins
    return HistogramProto(
        min=flat[0],
        max=flat[-1],
        num=flat.size * each,
        sum=flat.sum() * each,
        sum_squares=(flat @ flat) * each,
        bucket_limit=limits[kept].tolist(),
        bucket=(counts[kept] * each).tolist(),
    )


def masked_crc32c(data: bytes) -> int:
    """Return the CRC-32C of `data`, rotated and shifted as TensorFlow's record files want it."""
    crc, table = 0xFFFFFFFF, _crc_table()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _add_histogram(summary: Summary, tag: str, values: np.ndarray | Sample, growth: float) -> None:
    whole = values if isinstance(values, Sample) else Sample(np.asarray(values).ravel(), np.size(values))
    each = whole.size / max(1, whole.values.size)
    finite = whole.values[np.isfinite(whole.values)]
    summary.value.add(tag=tag, histo=histogram(finite, growth, each))
    if finite.size < whole.values.size:
        summary.value.add(tag=f"nonfinite/{tag}", simple_value=(whole.values.size - finite.size) * each)


def _single(value: float) -> float:
    number = float(value)
    return number if abs(number) < 3.4e38 or math.isnan(number) else math.copysign(math.inf, number)


@cache
def _edges(growth: float) -> np.ndarray:
    powers = np.arange(math.ceil(math.log(LARGEST / SMALLEST) / math.log(growth)))
    positive = SMALLEST * growth**powers
    return np.concatenate([-positive[::-1], [0.0, ZERO_EDGE], positive])


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)  # Castagnoli's polynomial, bits reversed
        table.append(crc)
    return tuple(table)

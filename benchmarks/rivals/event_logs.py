"""Makes the event files that the readers are timed on, of bytes that do not depend on the machine."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.util.tensor_util import make_tensor_proto

from plateau_doctor.readers.crc import crc32c_of_ranges, masked

__all__ = ["TAGS", "images", "legacy_histograms", "many_tags", "scalars", "tf2_histograms", "write"]

TAGS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "lr")
HISTOGRAMS = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="histograms"))
LAYERS = tuple(f"conv{i}/{part}" for i in range(10) for part in ("kernel", "bias"))
BEGUN = 1.7e9
AT_ONCE = 20_000  # records framed together


def write(path: Path, payloads: Iterator[bytes]) -> int:
    """Write payloads as a record file behind a file version; return its size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = [Event(wall_time=BEGUN, file_version="brain.Event:2").SerializeToString()]
    with path.open("wb") as file:
        for payload in payloads:
            waiting.append(payload)
            if len(waiting) == AT_ONCE:
                file.write(_framed(waiting))
                waiting = []
        file.write(_framed(waiting))
        return file.tell()


def scalars(count: int, seed: int = 0, tags: Sequence[str] = TAGS, first: int = 0) -> Iterator[bytes]:
    """Yield so many scalars of the first kind, as PyTorch and TensorFlow 1 write them, from a step on, one an event."""
    rng = np.random.default_rng(seed)
    for step in range(first, first - (-count // len(tags))):
        numbers = np.float32(2.0 / (1 + 0.001 * step) + 0.1 * rng.standard_normal(len(tags))).tolist()
        for place, (tag, value) in enumerate(zip(tags, numbers, strict=True)):
            yield _scalar(tag.encode(), step, BEGUN + 0.731 * step + 0.001 * place, value)


def many_tags(tags: int, points: int) -> Iterator[bytes]:
    """Yield so many points of each of so many tags, step by step."""
    return scalars(tags * points, tags=[f"layer{i}/norm" for i in range(tags)])


def legacy_histograms(count: int) -> Iterator[bytes]:
    """Yield histograms with TensorFlow's exponential buckets, about 220 of them full, as PyTorch writes them."""
    rng = np.random.default_rng(1)
    edges = 1e-12 * 1.1 ** np.arange(1, 775)
    limits = np.concatenate([-edges[::-1], [0.0], edges])
    for i in range(count):
        values = rng.normal(0.001, 0.05, 4000)
        counts, _ = np.histogram(values, np.concatenate([[-np.inf], limits]))
        full = np.flatnonzero(counts)
        kept = slice(full[0], full[-1] + 1)
        message = HistogramProto(
            min=values.min(), max=values.max(), num=len(values), sum=values.sum(), sum_squares=values @ values
        )
        message.bucket_limit.extend(limits[kept].tolist())
        message.bucket.extend(counts[kept].tolist())
        value = Summary.Value(tag=LAYERS[i % len(LAYERS)], histo=message)
        yield _event(i // len(LAYERS), value)


def tf2_histograms(count: int) -> Iterator[bytes]:
    """Yield histograms of 30 buckets, as TensorFlow 2 and Keras write them."""
    rng = np.random.default_rng(2)
    for i in range(count):
        counts, edges = np.histogram(rng.normal(0.001, 0.05, 2000), 30)
        rows = np.stack([edges[:-1], edges[1:], counts], axis=1)
        tag = f"{LAYERS[i % len(LAYERS)]}/histogram"
        yield _event(
            i // len(LAYERS), Summary.Value(tag=tag, tensor=make_tensor_proto(rows), metadata=HISTOGRAMS)
        )


def images(size: int) -> Iterator[bytes]:
    """Yield images of 100 to 400 kB, about `size` bytes of them, with ten scalars between each two."""
    rng = np.random.default_rng(3)
    written, step = 0, 0
    while written < size:
        picture = Summary.Image(
            height=256, width=256, colorspace=3, encoded_image_string=rng.bytes(rng.integers(1e5, 4e5))
        )
        payload = _event(step, Summary.Value(tag="samples/image", image=picture))
        yield payload
        yield from scalars(10, step, first=step)
        written, step = written + len(payload), step + 2


def _event(step: int, value: Summary.Value) -> bytes:
    event = Event(wall_time=BEGUN + step, step=step, summary=Summary(value=[value]))
    return bytes(event.SerializeToString())


def _scalar(tag: bytes, step: int, time: float, value: float) -> bytes:
    """Return what protobuf makes of such an event, which takes it six times as long."""
    held = b"\x0a" + _varint(len(tag)) + tag + b"\x15" + struct.pack("<f", value)
    summary = b"\x0a" + _varint(len(held)) + held
    steps = b"\x10" + _varint(step) if step else b""
    return b"\x09" + struct.pack("<d", time) + steps + b"\x2a" + _varint(len(summary)) + summary


def _varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def _framed(payloads: Sequence[bytes]) -> bytes:
    """Return payloads as records: length, its checksum, payload, its checksum."""
    lengths = np.array([len(payload) for payload in payloads], dtype=np.int64)
    ends = np.cumsum(lengths)
    whole = np.frombuffer(b"".join(payloads), dtype=np.uint8)
    checks = masked(crc32c_of_ranges(whole, ends - lengths, ends)).astype("<u4")
    heads = lengths.astype("<u8").view(np.uint8)
    places = np.arange(len(lengths)) * 8
    head_checks = masked(crc32c_of_ranges(heads, places, places + 8)).astype("<u4")
    parts = []
    for i, payload in enumerate(payloads):
        parts += [heads[8 * i : 8 * i + 8].tobytes(), head_checks[i].tobytes(), payload, checks[i].tobytes()]
    return b"".join(parts)

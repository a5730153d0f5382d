"""The reader against TensorBoard's own classes, on generated files and on real ones."""

from __future__ import annotations

import math
import os
import random
import struct
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from making_events import SCALARS, of_tensor, scalar, write
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.compat.proto.types_pb2 import DataType
from tensorboard.util.tensor_util import make_ndarray, make_tensor_proto
from test_events_values import DTYPES, FLOATS, same

from plateau_doctor.readers.event_file import EventFile, read_event_file


def mixed_events(seed: int, count: int = 300) -> list[Event]:
    """Return events of every kind in random order, several values an event."""
    rng = random.Random(seed)
    held: list[Event] = []
    for i in range(count):
        event = Event(wall_time=rng.choice([1e9 + i, 0.0, math.nan, -1.0]), step=rng.randrange(-5, 10**6))
        for _ in range(rng.randrange(0, 4)):
            event.summary.value.append(_random_value(rng))
        if rng.random() < 0.1:
            event = Event(graph_def=rng.randbytes(rng.randrange(5000)))
        held.append(event)
    return held


def _random_value(rng: random.Random) -> Summary.Value:
    tag = rng.choice(["loss", "val/loss", "Verlust ä", "", "x" * 200])
    kind = rng.randrange(4)
    if kind == 0:
        number = rng.choice([*FLOATS, rng.uniform(-9, 9)])
        return Summary.Value(
            tag=tag, simple_value=number if abs(number) < 3e38 or number != number else math.inf
        )
    if kind == 1:
        name = rng.choice(
            [n for n in DTYPES if n not in ("uint32", "uint64")]
        )  # TensorBoard cannot read these
        proto = make_tensor_proto(np.array(rng.choice(DTYPES[name][1]), dtype=name))
        return Summary.Value(tag=tag, tensor=proto)
    if kind == 2:
        return Summary.Value(
            tag=tag, histo=HistogramProto(num=1, bucket_limit=[1, 2], bucket=[0, rng.random()])
        )
    return Summary.Value(tag=tag, image=Summary.Image(encoded_image_string=rng.randbytes(50)))


def by_protobuf(path: Path) -> list[tuple[str, int, float, float]]:
    """Return the scalars of a sound file, decoded with TensorBoard's classes."""
    data, at, rows = path.read_bytes(), 0, []
    plugins: dict[str, str] = {}
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        event = Event.FromString(data[at + 12 : at + 12 + length])
        at += length + 16
        for value in event.summary.value:
            plugins[value.tag] = value.metadata.plugin_data.plugin_name or plugins.get(value.tag, "")
            if value.WhichOneof("value") == "simple_value":
                rows.append((value.tag, event.step, event.wall_time, value.simple_value))
            elif value.WhichOneof("value") == "tensor" and plugins[value.tag] in ("", "scalars"):
                text = value.tensor.dtype == DataType.Value("DT_STRING")
                array = np.empty(0) if text else make_ndarray(value.tensor)
                if array.size == 1:
                    rows.append((value.tag, event.step, event.wall_time, float(array.item())))
    return rows


def rows_of(found: EventFile) -> list[tuple[str, int, float, float]]:
    columns = (found.scalars.steps, found.scalars.times, found.values)
    return list(zip(found.scalars.tags, *(column.tolist() for column in columns), strict=True))


def assert_same_scalars(found: EventFile, expected: list[tuple[str, int, float, float]]) -> None:
    rows = rows_of(found)
    assert len(rows) == len(expected)
    for mine, theirs in zip(rows, expected, strict=True):
        assert mine[:2] == theirs[:2]
        assert same(mine[2], theirs[2])
        assert same(mine[3], theirs[3])


@pytest.mark.parametrize("seed", range(8))
def test_mixed_files_read_as_protobuf_reads_them(tmp_path: Path, seed: int) -> None:
    path = write(tmp_path / "events.out.tfevents.1", mixed_events(seed))
    found = read_event_file(path)
    assert not found.problems
    assert_same_scalars(found, by_protobuf(path))
    assert len(found.binned) > 20


@pytest.fixture
def accumulator(monkeypatch: pytest.MonkeyPatch):
    """Give TensorBoard's EventAccumulator, held off TensorFlow by the switch that TensorBoard has for it."""
    monkeypatch.setitem(sys.modules, "tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return lambda path: EventAccumulator(str(path), {"scalars": 0, "tensors": 0}).Reload()


def test_the_event_accumulator_sees_the_same_points(tmp_path: Path, accumulator) -> None:
    names = ("loss", "val/loss", "Verlust ä")
    held = [scalar(random.Random(i).choice(names), i, random.Random(-i).uniform(-1, 1)) for i in range(400)]
    held += [
        of_tensor("v2", make_tensor_proto(np.float32(i / 7)), SCALARS if i == 0 else None, step=i)
        for i in range(50)
    ]
    path = write(tmp_path / "events.out.tfevents.1", held)
    oracle, found = accumulator(path), read_event_file(path)
    for tag in oracle.Tags()["scalars"]:
        points = [(e.step, e.wall_time, e.value) for e in oracle.Scalars(tag)]
        assert [r[1:] for r in rows_of(found) if r[0] == tag] == points
    tensors = [make_ndarray(e.tensor_proto).item() for e in oracle.Tensors("v2")]
    assert [r[3] for r in rows_of(found) if r[0] == "v2"] == tensors


def real_files() -> list[Path]:
    folder = os.environ.get("PLATEAU_DOCTOR_REAL_LOGS")
    found = sorted(p for p in Path(folder).rglob("*tfevents*") if p.is_file()) if folder else []
    return [p for p in found if p.open("rb").read(7) != b"version"]


@pytest.mark.skipif(not real_files(), reason="PLATEAU_DOCTOR_REAL_LOGS names no folder of event files")
def test_real_files_read_as_protobuf_reads_them() -> None:
    for path in real_files():
        found = read_event_file(path)
        assert not found.problems, path
        assert_same_scalars(found, by_protobuf(path))

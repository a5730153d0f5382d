from __future__ import annotations

import contextlib
import math
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making_events import (
    HISTOGRAMS,
    SCALARS,
    VERSION,
    hparams,
    of_tensor,
    record,
    scalar,
    session_start,
    write,
)
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.util.tensor_util import make_tensor_proto

from plateau_doctor.readers.event_file import EventFile, read_event_file
from plateau_doctor.readers.wire import WireError, fields, tensor

FLOATS = [0.0, -0.0, 1.5, -3.25, 1e-45, -1e-40, 5e-324, 3.4e38, math.nan, math.inf, -math.inf]
DTYPES = {
    "float16": (19, FLOATS[:4] + FLOATS[-3:] + [6e-8]),
    "float32": (1, FLOATS),
    "float64": (2, [*FLOATS, 1e300]),
    "int8": (6, [-128, -1, 0, 127]),
    "int16": (5, [-(2**15), -1, 7]),
    "int32": (3, [-(2**31), -1, 2**31 - 1]),
    "int64": (9, [-(2**53), -1, 2**53]),
    "uint8": (4, [0, 255]),
    "uint16": (17, [0, 65535]),
    "uint32": (22, [0, 2**32 - 1]),
    "uint64": (23, [0, 2**53]),
    "bool": (10, [False, True]),
}
TYPED = {19: "half_val", 1: "float_val", 2: "double_val", 9: "int64_val", 10: "bool_val", 22: "uint32_val"}
CASES = [(name, value) for name, (_, held) in DTYPES.items() for value in held]


def same(a: float, b: float) -> bool:
    return struct.pack("<d", a) == struct.pack("<d", b) or (math.isnan(a) and math.isnan(b))


def decoded(path: Path, held: list[Event]) -> EventFile:
    found = read_event_file(write(path / "events.out.tfevents.1", held))
    assert not found.problems
    return found


def shaped(code: int, dims: list[int]) -> TensorProto:
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in dims])
    return TensorProto(dtype=code, tensor_shape=shape)


@pytest.mark.parametrize(("name", "value"), CASES)
@pytest.mark.parametrize("dims", [[], [1]])
def test_tensor_scalars_of_every_type_are_read_from_bytes_and_from_typed_fields(
    tmp_path: Path, name: str, value: float, dims: list[int]
) -> None:
    code = DTYPES[name][0]
    element = np.array(value, dtype=name)
    packed, typed = shaped(code, dims), shaped(code, dims)
    packed.tensor_content = element.tobytes()
    held = [int(element.view(np.uint16))] if name == "float16" else [element.item()]
    field = TYPED.get(code, "uint64_val" if code == 23 else "int_val")
    getattr(typed, field).extend(held)
    found = decoded(tmp_path, [of_tensor("x", packed, SCALARS), of_tensor("x", typed, step=1)])
    assert found.scalars.tags == ["x", "x"]
    assert all(same(v, float(element)) for v in found.values)


@pytest.mark.parametrize("value", [0.0, 1.0, -2.5, math.inf, math.nan])
def test_bfloat16_is_read_from_bytes_and_from_half_val(tmp_path: Path, value: float) -> None:
    bits = struct.unpack("<I", struct.pack("<f", value))[0] >> 16
    packed, typed = shaped(14, []), shaped(14, [])
    packed.tensor_content = struct.pack("<H", bits)
    typed.half_val.append(bits)
    found = decoded(tmp_path, [of_tensor("x", packed), of_tensor("x", typed)])
    assert all(same(v, value) for v in found.values)


@pytest.mark.parametrize("value", FLOATS)
def test_simple_values_are_read_to_the_last_bit(tmp_path: Path, value: float) -> None:
    single = float(np.float32(value))
    assert same(decoded(tmp_path, [scalar("x", 3, single)]).values[0], single)


@pytest.mark.parametrize("step", [0, 1, 2**31, 2**53, -1, -(2**40)])
def test_steps_keep_their_sign_and_size(tmp_path: Path, step: int) -> None:
    event = scalar("x", 0, 1.0)
    event.step = step
    assert decoded(tmp_path, [event]).scalars.steps.tolist() == [step]


def test_a_plugin_named_once_holds_for_the_tags_later_values(tmp_path: Path) -> None:
    curves = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="pr_curves"))
    one = make_tensor_proto(1.0, dtype=np.float32)
    found = decoded(
        tmp_path, [of_tensor("pr", one, curves), of_tensor("pr", one, step=1), of_tensor("loss", one)]
    )
    assert found.scalars.tags == ["loss"]
    assert found.others == Counter(pr_curves=2)


def test_texts_images_audio_and_graphs_are_counted_and_not_decoded(tmp_path: Path) -> None:
    text = make_tensor_proto(np.array([b"lr is 3"], dtype=object))
    image = Summary.Value(tag="i", image=Summary.Image(encoded_image_string=b"not a png"))
    audio = Summary.Value(tag="a", audio=Summary.Audio(encoded_audio_string=b"not a wav"))
    held = [
        of_tensor("t", text),
        Event(summary=Summary(value=[image, audio])),
        Event(graph_def=b"\xff no graph"),
        Event(meta_graph_def=b"\xff"),
    ]
    found = decoded(tmp_path, held)
    assert not len(found.scalars)
    assert found.others == {"tensor that is no scalar": 1, "image": 1, "audio": 1, "graph": 2}


def test_settings_keep_their_types(tmp_path: Path) -> None:
    given_settings = {"lr": 0.1, "optimizer": "adam", "nesterov": True, "amp": False}
    found = decoded(tmp_path, [hparams(given_settings)]).settings
    assert found == given_settings
    assert type(found["nesterov"]) is bool


def test_session_starts_are_noted_between_the_scalars(tmp_path: Path) -> None:
    held = [session_start(0), scalar("x", 1, 1.0), scalar("x", 2, 1.0), session_start(2), scalar("x", 3, 1.0)]
    assert decoded(tmp_path, held).session_starts == [0, 2]


def test_a_record_that_is_no_event_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "events.out.tfevents.1", [scalar("x", 1, 1.0)])
    begin = path.stat().st_size
    bad = record(b"\x09\x00")
    path.write_bytes(path.read_bytes() + bad + record(scalar("x", 2, 2.0).SerializeToString()))
    found = read_event_file(path)
    assert found.scalars.steps.tolist() == [1, 2]
    assert [(p.offset, p.length) for p in found.problems] == [(begin, len(bad))]


def test_unknown_fields_and_groups_are_skipped() -> None:
    group = b"\x9b\x06\x08\x01\x9b\x06\x9c\x06\x9c\x06"  # field 99: a group that holds a varint and a group
    assert list(fields(group + b"\x08\x05", 0, len(group) + 2)) == [(1, 0, 5, len(group) + 2)]


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01",
        b"\x08",
        b"\x08" + b"\xff" * 11,
        b"\x0a\x05ab",
        b"\x09\x00",
        b"\x0e",
        b"\x0b",
        b"\x0b\x14",
        b"\x0c",
    ],
    ids="zero-number cut-varint long-varint cut-bytes cut-double bad-kind open-group crossed-group lone-end".split(),
)
def test_bytes_that_are_no_message_are_an_error(data: bytes) -> None:
    with pytest.raises(WireError):
        list(fields(data, 0, len(data)))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_random_bytes_are_a_message_or_a_named_error(data: bytes) -> None:
    for walk in (lambda: list(fields(data, 0, len(data))), lambda: tensor(data, 0, len(data))):
        with contextlib.suppress(WireError):  # any other error fails the test
            walk()


@pytest.mark.parametrize("dims", [[2**62], [2**31, 2**31, 2**31]])
def test_a_tensor_that_claims_to_be_huge_takes_no_memory(dims: list[int]) -> None:
    proto = shaped(1, dims)
    proto.float_val.append(1.0)
    raw = proto.SerializeToString()
    assert tensor(raw, 0, len(raw)) is None


@pytest.mark.parametrize("dims", [[-1], [-5, -5], [0], [2, -1]])
def test_a_shape_that_cannot_be_is_an_error(dims: list[int]) -> None:
    proto = shaped(1, dims)
    proto.float_val.append(1.0)
    raw = proto.SerializeToString()
    with pytest.raises(WireError, match="shape"):
        tensor(raw, 0, len(raw))


def test_version_and_first_time_are_noted(tmp_path: Path) -> None:
    found = read_event_file(write(tmp_path / "events.out.tfevents.1", [scalar("x", 1, 1.0)], VERSION))
    assert found.versioned
    assert found.begun == 1.0
    assert not read_event_file(write(tmp_path / "b", [scalar("x", 1, 1.0)], None)).versioned


def test_a_histogram_tensor_needs_its_plugin(tmp_path: Path) -> None:
    rows = np.array([[0.0, 1.0, 3.0], [1.0, 2.0, 4.0]])
    proto = make_tensor_proto(rows)
    found = decoded(tmp_path, [of_tensor("h", proto, HISTOGRAMS), of_tensor("points", proto)])
    assert found.binned.tags == ["h"]
    assert found.histograms[0].bins.tolist() == rows.tolist()

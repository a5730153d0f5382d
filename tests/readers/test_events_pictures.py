"""Passing over pictures gives what reading every byte gives; see `plateau_doctor/readers/bulk/shells.py`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from making_damage import damaged
from making_events import SCALARS, VERSION, curve, of_tensor, scalar, session_start
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.util.tensor_util import make_tensor_proto
from test_events_at_once import read_both
from test_events_damage import quick_record as record

from plateau_doctor.readers.batches import LARGE, LONG
from plateau_doctor.readers.event_file import read_event_file
from plateau_doctor.recorders.events import histogram

RNG = np.random.default_rng(12)
SIZE = LONG + 5_000
IMAGES = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="images"))


def write(path: Path, held: Sequence[Event]) -> Path:
    path.write_bytes(b"".join(record(one.SerializeToString()) for one in [VERSION, *held]))
    return path


def value(tag: str, size: int = SIZE) -> Summary.Value:
    return Summary.Value(tag=tag, image=Summary.Image(height=9, encoded_image_string=RNG.bytes(size)))


def event(values: Sequence[Summary.Value], step: int = 3) -> Event:
    return Event(wall_time=1000.0 + step, step=step, summary=Summary(value=values))


def picture(step: int = 3, size: int = SIZE) -> Event:
    return event([value("image", size)], step)


def tf2_picture(step: int, metadata: SummaryMetadata | None = IMAGES) -> Event:
    return of_tensor("samples", make_tensor_proto([b"9", b"9", RNG.bytes(SIZE)]), metadata, step)


def album(count: int = 8) -> list[Event]:
    """Return pictures and all else that is passed over, between scalars."""
    held = [Event(wall_time=2.0, graph_def=bytes(SIZE))]
    for i in range(count):
        held += [picture(i), tf2_picture(i, IMAGES if i % 2 else None)]
        held += curve("loss", range(10 * i, 10 * i + i % 4))
        held += [event([value("a"), value("b", 50)], i), picture(i, 500)]
        held.append(event([Summary.Value(tag="s", audio=Summary.Audio(encoded_audio_string=bytes(SIZE)))]))
    return held


def size_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many bytes of a file are asked for."""
    asked = []
    of = "plateau_doctor.readers.records._Search.bytes_at"
    monkeypatch.setattr(of, lambda search, at, count: asked.append(count) or _bytes(search, at, count))
    read_event_file(path)
    return sum(asked)


def _bytes(search: object, at: int, count: int) -> bytes:
    file: io.BufferedReader = search._file  # type: ignore[attr-defined]
    file.seek(at)
    return file.read(min(count, search.size - at))  # type: ignore[attr-defined]


def test_an_album_holds_what_it_holds_read_in_full(tmp_path: Path) -> None:
    found = read_both(write(tmp_path / "events.out.tfevents.1", album()))
    assert len(found.scalars) == 12
    assert found.others == {"graph": 1, "image": 32, "images": 7, "audio": 8, "tensor that is no scalar": 1}


def test_the_bytes_of_pictures_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = [one for i in range(12) for one in (picture(i, 400_000), *curve("loss", range(i, i + 3)))]
    path = write(tmp_path / "events.out.tfevents.1", held)
    assert size_read(path, monkeypatch) < LARGE + 12 * 10_000


@pytest.mark.parametrize(
    "kept",
    [
        Summary.Value(tag="loss", simple_value=0.5),
        Summary.Value(tag="loss", tensor=make_tensor_proto(np.float32(0.5)), metadata=SCALARS),
        Summary.Value(tag="weights", histo=histogram(RNG.normal(size=50))),
    ],
    ids=["scalar", "tensor", "histogram"],
)
def test_what_is_kept_beside_a_picture_is_read_and_its_checksum_held(
    tmp_path: Path, kept: Summary.Value
) -> None:
    path = tmp_path / "events.out.tfevents.1"
    for values in ([value("a"), kept], [kept, value("a")], [value("a"), kept, value("b")]):
        held = [*curve("acc", range(5)), event(values), *curve("acc", range(5, 9))]
        write(path, held)
        found = read_both(path)
        assert len(found.scalars) + len(found.binned) == 10
        data = bytearray(path.read_bytes())
        data[data.index(values[-1].SerializeToString()[-60:])] ^= 1
        path.write_bytes(data)
        found = read_both(path)
        assert len(found.scalars) == 9
        assert "checksum" in found.problems[0].why


def test_a_session_that_starts_in_a_long_event_is_not_missed(tmp_path: Path) -> None:
    frames = [record(one.SerializeToString()) for one in (*curve("acc", range(5)), picture())]
    start = session_start(5).SerializeToString() + picture(5).SerializeToString()  # one event by hand
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(b"".join([*frames, record(start), frames[-1]]))
    found = read_both(path)
    assert found.session_starts == [5]


@pytest.mark.parametrize("change", ["cut", "insert", "cut at the end"])
def test_a_picture_that_lost_or_won_bytes_is_named_and_no_scalar_lost(tmp_path: Path, change: str) -> None:
    held = [picture(1), *curve("acc", range(5)), picture(2), *curve("acc", range(5, 9)), picture(3)]
    frames = [record(one.SerializeToString()) for one in held]
    hurt = 6 if change != "cut at the end" else 11
    at = len(frames[hurt]) // 2
    frames[hurt] = frames[hurt][:at] + (b"more" if change == "insert" else b"") + frames[hurt][at + 1 :]
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(b"".join(frames))
    found = read_both(path)
    assert len(found.scalars) == 9
    assert [(p.offset, p.length) for p in found.problems] == [
        (sum(map(len, frames[:hurt])), len(frames[hurt]))
    ]


def test_damage_within_a_picture_costs_nothing_that_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "events.out.tfevents.1", [*curve("a", range(5)), picture(), *curve("a", [5, 6])])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    found = read_event_file(path)
    assert found.scalars.steps.tolist() == list(range(7))
    assert not found.problems
    assert "checksum" in read_event_file(path, at_once=False).problems[0].why


@pytest.mark.parametrize("seed", range(16))
def test_no_scalar_is_lost_by_damage_between_pictures(tmp_path: Path, seed: int) -> None:
    held = [Event(wall_time=1.0, graph_def=bytes(SIZE)), *curve("acc", range(5)), tf2_picture(2)]
    held += [
        tf2_picture(3),
        *curve("acc", range(5, 20)),
        event([value("a"), Summary.Value(tag="loss", simple_value=3)]),
    ]
    path = write(tmp_path / "events.out.tfevents.1", held * 2)
    path.write_bytes(damaged(path.read_bytes(), seed))
    quick, plain = read_event_file(path), read_event_file(path, at_once=False)
    assert quick.scalars.tags == plain.scalars.tags
    assert quick.values.tolist() == plain.values.tolist()
    assert len(quick.problems) <= len(plain.problems)


def test_a_record_that_is_no_event_is_named_with_its_place_behind_pictures(tmp_path: Path) -> None:
    frames = [
        record(one.SerializeToString()) for one in (scalar("a", 1, 1.0), picture(), scalar("a", 2, 2.0))
    ]
    frames.append(record(b"\x09" + bytes(8) + b"\x2a\x7f"))
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(b"".join(frames))
    found = read_event_file(path)
    assert [(p.offset, p.length) for p in found.problems] == [(sum(map(len, frames[:3])), len(frames[3]))]

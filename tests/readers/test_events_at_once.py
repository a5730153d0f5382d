"""Reading all records at once gives what reading one after another gives; see `plateau_doctor/readers/bulk`."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making_damage import damaged
from making_events import HISTOGRAMS, SCALARS, VERSION, curve, of_tensor, record, scalar, session_start, write
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.util.tensor_util import make_tensor_proto
from test_events_oracle import mixed_events

from plateau_doctor.readers.bulk.buckets import of_tables
from plateau_doctor.readers.bulk.checks import FEW_TERMS, LONG, all_hold
from plateau_doctor.readers.bulk.cursors import padded
from plateau_doctor.readers.bulk.frames import followed
from plateau_doctor.readers.bulk.summaries import summaries
from plateau_doctor.readers.bulk.tags import distinct
from plateau_doctor.readers.crc import POLYNOMIAL
from plateau_doctor.readers.event_file import EventFile, read_event_file
from plateau_doctor.readers.framing import walk
from plateau_doctor.readers.histograms import Histogram, Histograms, from_rows, summary
from plateau_doctor.readers.small_files import SMALL, read_event_files
from plateau_doctor.recorders.events import histogram

RNG = np.random.default_rng(11)
CURVES = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="pr_curves"))


def same_file(one: EventFile, other: EventFile) -> bool:
    """Whether two readings of a file hold the same, to the last bit."""
    for a, b in ((one.scalars, other.scalars), (one.binned, other.binned)):
        assert a.tags == b.tags
        assert a.steps.tolist() == b.steps.tolist()
        assert a.times.tobytes() == b.times.tobytes()
    assert np.array_equal(one.values, other.values, equal_nan=True)
    assert len(one.histograms) == len(other.histograms) == len(one.binned)
    for mine, theirs in zip(one.histograms, other.histograms, strict=True):
        assert mine.bins.tobytes() == theirs.bins.tobytes()
        assert repr((mine.total, mine.squares)) == repr((theirs.total, theirs.squares))
    names = ("versioned", "settings", "session_starts", "others", "problems")
    assert [getattr(one, name) for name in names] == [getattr(other, name) for name in names]
    return repr(one.begun) == repr(other.begun)


def read_both(path: Path) -> EventFile:
    found = read_event_file(path)
    assert same_file(found, read_event_file(path, at_once=False))
    return found


def keras_events(count: int) -> list[Event]:
    """Return scalars and histograms as TensorFlow 2 writes them, with metadata in each."""
    held = []
    for i in range(count):
        value = make_tensor_proto(np.float32(RNG.normal()))
        held.append(of_tensor("epoch_loss", value, SCALARS, step=i))
        packed = make_tensor_proto(RNG.normal(size=1).astype(np.float64))
        held.append(of_tensor("epoch_accuracy", packed, SCALARS if i == 0 else None, step=i))
        rows = np.sort(RNG.normal(size=(30, 3)), axis=1)
        held.append(of_tensor(f"conv/kernel_{i % 3}", make_tensor_proto(rows), HISTOGRAMS, step=i))
    return held


def merged_events(count: int) -> list[Event]:
    """Return summaries of several values each, as TensorFlow 1 merges them."""
    held = []
    for i in range(count):
        values = [Summary.Value(tag=f"loss_{k}", simple_value=i + k) for k in range(1 + i % 4)]
        values.insert(i % len(values), Summary.Value(tag="weights", histo=histogram(RNG.normal(size=50))))
        held.append(Event(wall_time=1000.0 + i, step=i * 100, summary=Summary(value=values)))
    return held


def odd_events(count: int) -> list[Event]:
    """Return events of every other kind between plain scalars."""
    node = Event(wall_time=5.0, step=3, summary=Summary(value=[Summary.Value(node_name="n", simple_value=1)]))
    image = Event(wall_time=6.0, summary=Summary(value=[Summary.Value(tag="i", image=Summary.Image())]))
    empty = Event(
        wall_time=7.0, step=-1, summary=Summary(value=[Summary.Value(tag="h", histo=HistogramProto())])
    )
    others = [node, image, empty, session_start(3), Event(), Event(wall_time=9.0, summary=Summary())]
    held = []
    for i in range(count):
        held += [scalar("loss", i, i / 7), others[i % len(others)], scalar("x" * (1 + i % 40), i**5, 1.0)]
    return held


MAKERS: dict[str, Callable[[], list[Event]]] = {
    "curves": lambda: [e for tag in ("loss", "acc", "lr" * 70) for e in curve(tag, range(700))],
    "mixed": lambda: mixed_events(1),
    "keras": lambda: keras_events(200),
    "merged": lambda: merged_events(300),
    "odd": lambda: odd_events(200),
    "many tags": lambda: [scalar(f"tag/{i}", 3, i) for i in range(2000)],
}


@pytest.mark.parametrize("name", list(MAKERS))
def test_a_file_read_at_once_holds_what_it_holds_read_plainly(tmp_path: Path, name: str) -> None:
    found = read_both(write(tmp_path / "events.out.tfevents.1", MAKERS[name]()))
    assert len(found.scalars) > 100


@pytest.mark.parametrize("name", list(MAKERS))
def test_so_does_a_damaged_file(tmp_path: Path, name: str) -> None:
    whole = write(tmp_path / "events.out.tfevents.1", MAKERS[name]()).read_bytes()
    for seed in range(12):
        path = tmp_path / "events.out.tfevents.2"
        path.write_bytes(damaged(whole, seed))
        read_both(path)


@pytest.mark.parametrize("seed", range(6))
def test_a_plugin_that_changes_on_the_way_is_heeded_in_order(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    tensors = [make_tensor_proto(np.float32(3)), make_tensor_proto(np.ones((2, 3)))]
    tensors += [make_tensor_proto(np.int64(3))] if seed % 2 else []  # which is left to the walk
    held = [
        of_tensor(
            rng.choice("ab"), rng.choice(tensors), rng.choice([None, None, SCALARS, HISTOGRAMS, CURVES]), i
        )
        for i in range(300)
    ]
    read_both(write(tmp_path / "events.out.tfevents.1", held))


@pytest.mark.parametrize("name", list(MAKERS))
def test_small_files_read_together_hold_what_each_holds(tmp_path: Path, name: str) -> None:
    held = MAKERS[name]()
    paths = [
        write(tmp_path / f"{i}", held[40 * i : 40 * i + 40 - i % 3], VERSION if i % 4 else None)
        for i in range(9)
    ]
    paths.insert(4, write(tmp_path / "empty", [], None))
    paths.insert(6, write(tmp_path / "large", held * (1 + SMALL // 2_000)))
    for one, path in zip(read_event_files(paths), paths, strict=True):
        assert isinstance(one, EventFile)
        assert same_file(one, read_event_file(path, at_once=False))


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_file_among_small_ones_spoils_no_other(tmp_path: Path, seed: int) -> None:
    paths = [write(tmp_path / f"{i}", curve("loss", range(40))) for i in range(6)]
    paths[seed % 6].write_bytes(damaged(paths[seed % 6].read_bytes(), seed))
    paths.insert(3, tmp_path / "missing")
    found = list(read_event_files(paths))
    assert isinstance(found.pop(3), FileNotFoundError)
    paths.pop(3)
    for one, path in zip(found, paths, strict=True):
        assert isinstance(one, EventFile)
        assert same_file(one, read_event_file(path, at_once=False))


def test_nearly_all_usual_events_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walked = []
    monkeypatch.setattr(
        "plateau_doctor.readers.event_file.take_event", lambda *given: walked.append(given[1])
    )
    for name in ("curves", "keras", "merged", "many tags"):
        read_event_file(write(tmp_path / "events.out.tfevents.1", MAKERS[name]()))
    assert len(walked) < 120


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.binary(max_size=60).map(lambda b: b"\x09" + b), max_size=20), st.integers(0, 10**6), st.data()
)
def test_frames_are_those_of_the_walk(payloads: list[bytes], seed: int, draw: st.DataObject) -> None:
    nested = [p if i % 5 else b"\x0a" + record(p) * 2 for i, p in enumerate(payloads)]
    data = b"".join(record(payload) for payload in nested)
    data = damaged(data, seed) if seed % 3 == 0 and data else data
    data = data[: draw.draw(st.integers(0, len(data)))]
    left = len(data) + draw.draw(st.integers(0, 200))
    starts, ends, wanted = followed(data, left)
    assert (starts.tolist(), ends.tolist(), wanted) == walk(data, left)


def test_frames_are_those_of_the_walk_across_pieces_and_long_records() -> None:
    sizes = [40, 60_000, 30, 30, 20_000, 9, 300_000, 50] * 2
    data = b"".join(record(b"\x09" + bytes(size % 7) + RNG.bytes(size)) for size in sizes)
    data += b"".join([record(b"\x09" + bytes(50)), record(b"\x10" + bytes(50))] * 200) * 40
    for cut in (0, 7, 70_000):
        starts, ends, wanted = followed(data[: len(data) - cut], len(data))
        assert (starts.tolist(), ends.tolist(), wanted) == walk(data[: len(data) - cut], len(data))


@pytest.mark.parametrize("terms", [LONG, FEW_TERMS])
def test_the_multiples_are_multiples_of_the_checksums_polynomial(terms: tuple[int, ...]) -> None:
    modulus = (1 << 32) | int(f"{POLYNOMIAL:032b}"[::-1], 2)
    number = sum(1 << term for term in (*terms, 0))
    while number.bit_length() > 32:
        number ^= modulus << (number.bit_length() - 33)
    assert number == 0


@pytest.mark.parametrize("size", [1, 3, 40, 2_000])
def test_the_sweep_passes_sound_records_and_no_others(size: int) -> None:
    payloads = [RNG.bytes(4 + i * 7 % 90) for i in range(size)]
    data = b"".join(record(payload) for payload in payloads)
    starts, ends, _ = walk(data, len(data))
    bounds = np.array(starts), np.array(ends)
    raw = np.frombuffer(data, dtype=np.uint8)
    assert all_hold(raw, *bounds)
    assert all_hold(raw[bounds[0][0] - 12 :], *bounds)
    heads = {at for start in starts for at in range(start - 12, start)}  # they are checked by themselves
    for at in RNG.choice(sorted(set(range(len(data))) - heads), 20).tolist():
        hurt = raw.copy()
        hurt[at] ^= 1 << RNG.integers(8)
        assert not all_hold(hurt, *bounds)


def test_two_records_that_changed_places_with_their_checksums_alone_do_not_pass() -> None:
    payloads = [RNG.bytes(40) for _ in range(2000)]
    data = b"".join(record(payload) for payload in payloads)
    starts, ends, _ = walk(data, len(data))
    raw = np.frombuffer(data, dtype=np.uint8).copy()
    a, b = ends[3], ends[900]
    raw[a : a + 4], raw[b : b + 4] = raw[b : b + 4].copy(), raw[a : a + 4].copy()
    assert not all_hold(raw, np.array(starts), np.array(ends))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=20) | st.binary(min_size=30, max_size=40), max_size=60))
def test_equal_stretches_and_no_others_have_equal_numbers(stretches: list[bytes]) -> None:
    ends = np.cumsum([len(one) for one in stretches], dtype=np.int64)
    at = ends - np.array([len(one) for one in stretches], dtype=np.int64)
    codes, firsts = distinct(padded(b"".join(stretches), sum(map(len, stretches))), at, ends)
    assert [stretches[firsts[code]] for code in codes.tolist()] == stretches
    assert len(firsts) == len(set(stretches))


def test_stretches_whose_hashes_clash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plateau_doctor.readers.bulk.tags._ODD", np.zeros(4, dtype="<u8"))
    data = b"".join(b"%08d" % (i % 7) + b"same end" for i in range(50))  # the first words are hashed away
    at = np.arange(50) * 16
    codes, firsts = distinct(padded(data, len(data)), at, at + 16)
    assert len(firsts) == 7
    assert [int(data[firsts[code] * 16 :][:8]) for code in codes.tolist()] == [i % 7 for i in range(50)]


def tables() -> np.ndarray:
    rows = np.sort(RNG.normal(size=(300, 6, 3)), axis=2)
    rows[:, :, 2] = RNG.integers(0, 4, size=(300, 6))
    rows[::3, :, :2] = np.sort(RNG.integers(-2, 3, size=(100, 6, 2)), axis=2)
    rows[::7, RNG.integers(6), 1] = np.nan
    rows[::11, :, 2] = 0
    rows[5::13, 1:] = np.inf
    rows[5, 0] = [0.25, 1.25, 4]
    rows[::17, :, :2] *= 1e-12
    rows[1::17, :, :2] *= 1e300
    return rows


def test_many_tables_become_the_histograms_that_each_becomes() -> None:
    rows = tables()
    found = of_tables(rows)
    assert {len(one.bins) for one in found} == {0, 1, 2, 3, 4, 5, 6}
    for mine, table in zip(found, rows, strict=True):
        assert mine.bins.tobytes() == from_rows(table).bins.tobytes()


def test_many_summaries_are_those_of_each() -> None:
    single = [from_rows(table) for table in tables()]
    single += [
        Histogram(one.bins, *sums)
        for one, sums in zip(single, RNG.normal(size=(300, 2)).tolist(), strict=True)
    ]
    single += [Histogram(one.bins, np.inf, np.nan) for one in single[:30]]
    single += [Histogram(one.bins, 0.0, 0.0) for one in single[:40]]
    found = summaries(Histograms.of(single))
    each = [summary(one) for one in single]
    assert any(np.isnan(one["zeros"]) for one in each if one["count"])
    for name, values in found.items():
        assert values == pytest.approx([one[name] for one in each], rel=1e-9, abs=1e-12, nan_ok=True), name

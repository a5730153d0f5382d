from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making_events import VERSION, curve, read, record, scalar, write

from plateau_doctor.readers.crc import masked_crc32c
from plateau_doctor.readers.event_file import read_event_file
from plateau_doctor.readers.records import Gap, read_records

Change = tuple[str, float, int]
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "zero", "repeat"]), st.floats(0, 1), st.integers(0, 120)
    ),
    max_size=4,
)
# not 8 bytes: the head of such a record, twice in a row, is itself a record of 8 bytes with sound checksums
PAYLOADS = st.binary(max_size=90).filter(lambda payload: len(payload) != 8)


def payloads_and_gaps(data: bytes) -> tuple[list[bytes], list[Gap], int]:
    """Return payloads, gaps, and how many bytes both cover; each piece begins where the last one ended."""
    payloads: list[bytes] = []
    gaps: list[Gap] = []
    at = 0
    for piece in read_records(io.BytesIO(data), len(data)):
        assert piece.offset == at
        if isinstance(piece, Gap):
            gaps.append(piece)
            at += piece.length
        else:
            payloads += [piece.data[a:b] for a, b in zip(piece.starts, piece.ends, strict=True)]
            at += piece.ends[-1] + 4
    return payloads, gaps, at


def damaged(frames: list[bytes], changes: list[Change]) -> bytes:
    file = bytearray(b"".join(frames))
    for kind, where, count in changes:
        at = int(where * len(file))
        if kind == "flip" and file:
            file[min(at, len(file) - 1)] ^= 1 << count % 8
        elif kind == "cut":
            del file[at : at + count]
        elif kind == "insert":
            file[at:at] = random.Random(count).randbytes(count)
        elif kind == "zero":
            file[at : at + count] = bytes(len(file[at : at + count]))
        elif kind == "repeat":
            file[at:at] = file[at : at + count]
    return bytes(file)


def intact(data: bytes, frames: list[bytes]) -> list[bytes]:
    """Return the payloads of the frames that stand whole in `data`, in order, found by their known bytes alone."""
    known = {frame[:12]: set[bytes]() for frame in frames}
    for frame in frames:
        known[frame[:12]].add(frame)
    found, at = [], 0
    while at < len(data):
        frame = next((f for f in known.get(data[at : at + 12], ()) if data.startswith(f, at)), None)
        if frame is not None:
            found.append(frame[12:-4])
        at += len(frame) if frame is not None else 1
    return found


@settings(max_examples=300, deadline=None)
@given(st.lists(PAYLOADS, max_size=12), CHANGES)
def test_every_intact_record_survives_damage_and_every_gap_is_named(
    payloads: list[bytes], changes: list[Change]
) -> None:
    frames = [record(p) for p in payloads]
    data = damaged(frames, changes)
    found, gaps, covered = payloads_and_gaps(data)
    assert found == intact(data, frames)
    assert covered == len(data)
    assert all(gap.why and gap.length > 0 for gap in gaps)
    assert bool(gaps) == (sum(len(p) + 16 for p in found) < len(data))


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 60), CHANGES)
def test_records_of_one_length_survive_a_cut_of_just_that_length(count: int, changes: list[Change]) -> None:
    frames = [record(scalar("loss", 10 + i, i).SerializeToString()) for i in range(count)]
    data = damaged(frames, [*changes, ("cut", 0.3, len(frames[0]))])
    assert payloads_and_gaps(data)[0] == intact(data, frames)


def test_a_flipped_bit_is_named_with_its_offset_and_length(tmp_path: Path) -> None:
    path = write(tmp_path / "events.out.tfevents.1", curve("loss", range(1, 100)))
    frame = len(record(scalar("loss", 1, 1.0).SerializeToString()))
    start = len(record(VERSION.SerializeToString())) + 40 * frame
    data = bytearray(path.read_bytes())
    data[start + 20] ^= 4
    path.write_bytes(data)
    found = read_event_file(path)
    assert found.scalars.steps.tolist() == [s for s in range(1, 100) if s != 41]
    assert [(p.offset, p.length) for p in found.problems] == [(start, frame)]
    assert "checksum" in found.problems[0].why


def test_a_half_written_last_record_is_named_with_its_size(tmp_path: Path) -> None:
    path = write(tmp_path / "events.out.tfevents.1", curve("loss", range(100)))
    path.write_bytes(path.read_bytes()[:-5])
    found = read_event_file(path)
    frame = len(record(scalar("loss", 99, 99.0).SerializeToString()))
    assert found.scalars.steps.tolist() == list(range(99))
    assert found.problems[0].why == f"the last record is cut: {frame - 5} bytes of {frame}"


def test_a_zero_tail_is_one_named_gap(tmp_path: Path) -> None:
    path = write(tmp_path / "events.out.tfevents.1", curve("loss", range(50)))
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + bytes(70_000))
    found = read_event_file(path)
    assert len(found.scalars) == 50
    assert [(p.offset, p.length, p.why) for p in found.problems] == [(size, 70_000, "zero bytes, no record")]


def test_damage_reaches_the_run_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "a" / "events.out.tfevents.1", curve("loss", range(50)))
    data = path.read_bytes()
    path.write_bytes(data[:510] + b"some bytes that do not belong here" + data[510:])
    (run,), problems = read(tmp_path)
    assert len(run.scalars) == 49
    assert len(run.problems) == 1
    assert not problems


def test_a_length_that_lies_costs_no_memory_and_no_record() -> None:
    lie = (1 << 62).to_bytes(8, "little") + b"\0\0\0\0"
    good = record(b"\x09" + bytes(8))
    found, gaps, _ = payloads_and_gaps(good + lie + good)
    assert found == [b"\x09" + bytes(8)] * 2
    assert [(g.offset, g.length) for g in gaps] == [(len(good), len(lie))]


def quick_record(payload: bytes) -> bytes:
    length = len(payload).to_bytes(8, "little")
    return length + check_of(length) + payload + check_of(payload)


@pytest.mark.parametrize("size", [100, 20_000, 3_000_000, 17_000_000])
def test_records_larger_than_what_is_read_at_once_come_whole(size: int) -> None:
    payloads = [b"\x09" + bytes(8), bytes(size), b"\x09" + bytes(8)]
    found, gaps, _ = payloads_and_gaps(b"".join(map(quick_record, payloads)))
    assert found == payloads
    assert not gaps


def test_nested_false_starts_cannot_make_the_search_quadratic() -> None:
    count = 5_000
    heads = b""
    for i in range(count):  # each claims all the bytes behind it, and none has a payload whose checksum holds
        length = (12 * (count - i - 1)).to_bytes(8, "little")
        heads += length + check_of(length)
    reads = CountingFile(heads + bytes(64))
    for _ in read_records(reads, len(heads) + 64):
        pass
    assert reads.count < 6 * len(heads) + (2 << 20)  # 150 MB if every false start were followed


def check_of(data: bytes) -> bytes:
    return masked_crc32c(data).to_bytes(4, "little")


class CountingFile(io.BytesIO):
    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data

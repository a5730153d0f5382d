"""Weights & Biases' own file, `run-<id>.wandb`: curves, the histograms of `wandb.watch`, and the configuration.

The file is a log of LevelDB (blocks of 32 KiB; a record is CRC-32 of type and data, length, type) whose records
are protobuf messages, and the values in them JSON. Source: wandb/sdk/internal/datastore.py, wandb_internal.proto.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from plateau_doctor.readers.event_rows import Rows
from plateau_doctor.readers.event_run import histograms_of
from plateau_doctor.readers.event_walk import HistogramRow
from plateau_doctor.readers.histograms import Histograms, from_rows
from plateau_doctor.readers.json_text import curves_of_records, parsed
from plateau_doctor.readers.records import Gap
from plateau_doctor.readers.texts import few, name_below, writable
from plateau_doctor.readers.wire import BYTES, VARINT, WireError, fields, signed
from plateau_doctor.run import Problem, Run

__all__ = ["NAME", "ORDER", "SUFFIXES", "read", "sniff"]

NAME = "wandb"
ORDER = 5
SUFFIXES = frozenset({".wandb"})

MAGIC = b":W&B"
START, BLOCK, HEAD = 7, 1 << 15, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
HISTORY, CONFIG, RUN = 2, 5, 17  # fields of a Record
RUN_CONFIG = 4  # field of a RunRecord
KEY, NESTED_KEY, VALUE = 1, 2, 16  # fields of an item
DEEPEST = 6  # tables within tables
AXES = frozenset({"_step", "_timestamp"})
DIARIES = frozenset({"debug.log", "debug-core.log", "debug-internal.log"})
TRIES = 1_000  # false starts of a record that are followed in one block
NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


@dataclass
class _Log:
    """What one file holds."""

    records: list[dict[str, object]] = field(default_factory=list)
    histograms: list[HistogramRow] = field(default_factory=list)
    settings: dict[str, float | str | bool] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def sniff(path: Path, head: bytes) -> bool:
    """Whether it begins as these files do, or is what the writer notes for itself beside them."""
    return head.startswith(MAGIC) or _is_diary(path)


def read(paths: Sequence[Path], root: Path) -> Iterator[Run | Problem]:
    """Yield one Run a file; bytes that are no whole record are named."""
    for path in paths:
        if _is_diary(path):
            if path == root:
                yield Problem(
                    str(path),
                    "not a training log",
                    "what W&B notes for itself; the run is in the .wandb file",
                )
            continue
        try:
            log = _decoded(path, path.read_bytes())
        except OSError as error:
            yield Problem(str(path), "cannot be read", error.strerror or str(error))
            continue
        scalars = curves_of_records(log.records)
        if scalars.empty:
            why = "no step was logged"
            yield from log.problems or [Problem(str(path), "not a training log", why)]
            continue
        tags, steps, times = ([getattr(h, n) for h in log.histograms] for n in ("tag", "step", "wall_time"))
        single = Histograms.of([h.histogram for h in log.histograms])
        table, bins = histograms_of([(Rows.of(tags, steps, times), single, str)])
        yield Run(
            name_below(path, root),
            str(path),
            NAME,
            scalars,
            table,
            bins,
            log.settings,
            tuple(few(log.problems)),
        )


def _is_diary(path: Path) -> bool:
    return path.name in DIARIES and path.parent.name == "logs"


def _decoded(path: Path, data: bytes) -> _Log:
    log = _Log()
    for piece in _messages(data):
        if isinstance(piece, Gap):
            what = f"{piece.length} bytes could not be read"
            log.problems.append(Problem(str(path), what, piece.why, piece.offset, piece.length))
            continue
        offset, message = piece
        try:
            _take(log, message)
        except WireError as error:
            what = "one record is no message, though its checksum holds"
            log.problems.append(Problem(str(path), what, str(error), offset, len(message)))
    return log


def _messages(data: bytes) -> Iterator[tuple[int, bytes] | Gap]:
    """Yield (offset, message) for each whole record, and what lies between them."""
    parts: list[bytes] = []
    begun = 0
    for piece in _chunks(data):
        kind = 0 if isinstance(piece, Gap) else piece[1]
        if parts and kind not in (MIDDLE, LAST):
            yield Gap(begun, sum(map(len, parts)), "the rest of the record is missing")
            parts = []
        if isinstance(piece, Gap):
            yield piece
            continue
        offset, _, chunk = piece
        if kind == FULL:
            yield offset, chunk
        elif kind == FIRST:
            begun, parts = offset, [chunk]
        elif not parts:
            yield Gap(offset, len(chunk), "the beginning of the record is missing")
        elif kind == MIDDLE:
            parts.append(chunk)
        else:
            yield begun, b"".join([*parts, chunk])
            parts = []
    if parts:
        yield Gap(begun, sum(map(len, parts)), "the last record is cut")


def _chunks(data: bytes) -> Iterator[tuple[int, int, bytes] | Gap]:
    """Yield (offset, kind, bytes) for each piece of a record whose checksum holds, and the gaps between."""
    at = START
    while at < len(data):
        left = BLOCK - at % BLOCK
        if left < HEAD and not any(data[at : at + left]):
            at += left
            continue
        end = _end_of_chunk(data, at)
        if end:
            yield at, data[at + 6], data[at + HEAD : end]
            at = end
            continue
        behind = _next_chunk(data, at + 1)
        yield Gap(at, behind - at, _why(data, at, behind))
        at = behind


def _end_of_chunk(data: bytes, at: int) -> int:
    """Return where the piece of a record at `at` ends, 0 where there is none."""
    if at + HEAD > len(data) or BLOCK - at % BLOCK < HEAD:
        return 0
    check, length, kind = struct.unpack_from("<IHB", data, at)
    end = at + HEAD + int(length)
    if not FULL <= kind <= LAST or end > min(len(data), at - at % BLOCK + BLOCK):
        return 0
    return end if zlib.crc32(memoryview(data)[at + 6 : end]) == check else 0


def _next_chunk(data: bytes, at: int) -> int:
    """Return where the next sound piece begins; a block of too many false starts is passed over."""
    tries = 0
    while at < len(data):
        if at % BLOCK == 0:
            tries = 0
        if at + 6 < len(data) and FULL <= data[at + 6] <= LAST:
            tries += 1
            if _end_of_chunk(data, at):
                return at
        at += 1 if tries < TRIES else BLOCK - at % BLOCK
    return len(data)


def _why(data: bytes, at: int, behind: int) -> str:
    if not any(data[at : min(behind, at + BLOCK)]):
        return "zero bytes, no record"
    if behind == len(data):
        return "the last record is cut or damaged"
    return "the checksum of the record does not match"


def _take(log: _Log, message: bytes) -> None:
    for number, kind, a, b in fields(message, 0, len(message)):
        if kind != BYTES:
            continue
        if number == HISTORY:
            _take_history(log, message, a, b)
        elif number == CONFIG:
            _take_settings(log, message, a, b)
        elif number == RUN:
            for inner, inner_kind, c, d in fields(message, a, b):
                if inner == RUN_CONFIG and inner_kind == BYTES:
                    _take_settings(log, message, c, d)


def _take_history(log: _Log, message: bytes, start: int, end: int) -> None:
    held: dict[str, object] = {}
    for number, kind, a, b in fields(message, start, end):
        if number == 1 and kind == BYTES:
            _put(held, *_item(message, a, b))
        elif number == 2 and kind == BYTES:
            for inner, inner_kind, c, _ in fields(message, a, b):
                if inner == 1 and inner_kind == VARINT:
                    held.setdefault("_step", signed(c))
    step, clock = (_number(held.get(name)) for name in ("_step", "_timestamp"))
    record: dict[str, object] = {}
    for name, value in _leaves(held):
        if isinstance(value, dict):
            rows = _rows_of_histogram(value)
            if rows is not None:
                log.histograms.append(HistogramRow(name, int(step or 0), clock or 0.0, from_rows(rows)))
        elif name in AXES or not name.startswith("_"):
            record[name] = NOT_FINITE.get(value, value) if isinstance(value, str) else value
    if record.keys() - AXES:
        log.records.append(record)


def _put(held: dict[str, object], path: Sequence[str], value: object) -> None:
    """Put a value where it belongs: newer writers take tables, and so histograms, apart into paths of names."""
    for name in path[:-1]:
        inner = held.get(name)
        if not isinstance(inner, dict):
            inner = held[name] = {}
        held = inner
    held[path[-1]] = value


def _leaves(held: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield (name, value), tables taken apart with a dot between the names, but for those that have a type."""
    stack = [iter([(name, value) for name, value in held.items()])]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
            continue
        name, value = found
        if isinstance(value, dict) and "_type" not in value and len(stack) <= DEEPEST:
            stack.append(iter([(f"{name}.{key}", inner) for key, inner in value.items()]))
        else:
            yield name, value


def _number(value: object) -> float | None:
    """Return a finite number that is no larger than a step can be."""
    return float(value) if isinstance(value, (int, float)) and abs(value) < 2**63 else None


def _rows_of_histogram(value: Mapping[str, object]) -> np.ndarray | None:
    edges, counts = value.get("bins"), value.get("values")
    if value["_type"] != "histogram" or not isinstance(edges, list) or not isinstance(counts, list):
        return None
    if len(edges) != len(counts) + 1 or any(_number(v) is None for v in [*edges, *counts]):
        return None
    sides = np.array(edges, dtype=np.float64)
    return np.stack([sides[:-1], sides[1:], np.array(counts, dtype=np.float64)], axis=1)


def _take_settings(log: _Log, message: bytes, start: int, end: int) -> None:
    held: dict[str, object] = {}
    for number, kind, a, b in fields(message, start, end):
        if number == 1 and kind == BYTES:
            _put(held, *_item(message, a, b))
    for name, value in _leaves(held):
        name = writable(name)
        if name.startswith("_"):
            continue
        if isinstance(value, (bool, str)):
            log.settings[name] = value
        elif (number_of := _number(value)) is not None:
            log.settings[name] = number_of


def _item(message: bytes, start: int, end: int) -> tuple[list[str], object | None]:
    """Return the path of names and the value of an item; what lies too deep is joined by dots."""
    path, value = [], None
    for number, kind, a, b in fields(message, start, end):
        if kind != BYTES:
            continue
        text = message[a:b].decode("utf-8", "replace")
        if number in (KEY, NESTED_KEY):
            path.append(text)
        elif number == VALUE:
            value = parsed(text)
    return [*path[:DEEPEST], ".".join(path[DEEPEST:])] if len(path) > DEEPEST else path or [""], value

"""One TensorBoard event file, decoded: scalars, histograms, settings, and what else it holds."""

from __future__ import annotations

import math
import re
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from plateau_doctor.readers.histograms import Histogram, from_message, from_rows
from plateau_doctor.readers.records import Batch, Gap, read_records
from plateau_doctor.readers.wire import BYTES, FIXED32, FIXED64, VARINT, WireError, fields, signed, tensor
from plateau_doctor.run import Problem

__all__ = ["EventFile", "HistogramRow", "read_event_file"]

Setting = float | str | bool

START = 1  # SessionLog.START
OTHER_EVENTS = {4: "graph", 6: "log message", 8: "run metadata", 9: "graph"}
OTHER_VALUES = {3: "old histogram", 4: "image", 6: "audio"}
SESSION = "_hparams_/session_start_info"
_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")


@dataclass(frozen=True, eq=False)
class HistogramRow:
    """One histogram as logged."""

    tag: str
    step: int
    wall_time: float
    histogram: Histogram


@dataclass(eq=False)
class EventFile:
    """What one file holds; the four lists of scalars are parallel, in the order logged.

    Attributes:
        path: The file.
        begun: Wall time of its first event, NaN where it has none.
        versioned: Whether it begins as TensorFlow's writers do, with a file version.
        session_starts: Numbers of scalars that were read before each SessionLog START.
        others: What else it holds, counted by name: images, graphs ...
    """

    path: Path
    begun: float = math.nan
    versioned: bool = False
    tags: list[str] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    histograms: list[HistogramRow] = field(default_factory=list)
    settings: dict[str, Setting] = field(default_factory=dict)
    session_starts: list[int] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    plugins: dict[str, str] = field(default_factory=dict)

    @property
    def order(self) -> tuple[float, list[tuple[int, str]]]:
        """Sorts the files of a folder by the time they were begun, then by the numbers in their names."""
        pieces = re.split(r"(\d+)", self.path.name)
        natural = [(int(p), "") if p.isdecimal() and len(p) < 300 else (-1, p) for p in pieces]
        return (self.begun if math.isfinite(self.begun) else math.inf, natural)


def read_event_file(path: Path) -> EventFile:
    """Read a file; what of it is no event is named in its `problems`.

    Raises:
        OSError: The file cannot be read.
    """
    found = EventFile(path)
    with path.open("rb") as file:
        for piece in read_records(file, path.stat().st_size):
            if isinstance(piece, Gap):
                what = f"{piece.length} bytes could not be read"
                found.problems.append(Problem(str(path), what, piece.why, piece.offset, piece.length))
            else:
                _take_batch(found, piece)
    return found


def _take_batch(into: EventFile, batch: Batch) -> None:
    for start, end in zip(batch.starts, batch.ends, strict=True):
        try:
            _take_event(into, batch.data, start, end)
        except WireError as error:
            what = "one record is no event, though its checksum holds"
            into.problems.append(
                Problem(str(into.path), what, str(error), batch.offset + start - 12, end - start + 16)
            )


def _take_event(into: EventFile, data: bytes, start: int, end: int) -> None:
    wall_time, step = 0.0, 0
    later: list[tuple[int, int, int]] = []
    for number, kind, a, b in fields(data, start, end):
        if number == 1 and kind == FIXED64:
            wall_time = _DOUBLE.unpack_from(data, a)[0]
        elif number == 2 and kind == VARINT:
            step = signed(a)
        elif number == 3 and kind == BYTES:
            into.versioned = True
        elif number in (5, 7) and kind == BYTES:
            later.append((number, a, b))
        elif number in OTHER_EVENTS:
            into.others[OTHER_EVENTS[number]] += 1
    if into.begun != into.begun:
        into.begun = wall_time
    for number, a, b in later:
        if number == 5:
            for inner, kind, c, d in fields(data, a, b):
                if inner == 1 and kind == BYTES:
                    _take_value(into, data, c, d, step, wall_time)
        elif any(inner[:3] == (1, VARINT, START) for inner in fields(data, a, b)):
            into.session_starts.append(len(into.tags))


def _take_value(into: EventFile, data: bytes, start: int, end: int, step: int, wall_time: float) -> None:
    tag, node, metadata = "", "", None
    held: tuple[int, int, int] | None = None  # the last of simple_value, image, histo, audio, tensor
    for number, kind, a, b in fields(data, start, end):
        if number == 1 and kind == BYTES:
            tag = data[a:b].decode("utf-8", "replace")
        elif (number, kind) in ((2, FIXED32), (3, BYTES), (4, BYTES), (5, BYTES), (6, BYTES), (8, BYTES)):
            held = (number, a, b)
        elif number == 7 and kind == BYTES:
            node = data[a:b].decode("utf-8", "replace")
        elif number == 9 and kind == BYTES:
            metadata = (a, b)
    tag = tag or node
    if metadata is not None:
        _take_metadata(into, data, *metadata, tag)
    if held is None:
        return
    number, a, b = held
    if number == 2:
        _add_scalar(into, tag, step, wall_time, _FLOAT.unpack_from(data, a)[0])
    elif number == 5:
        into.histograms.append(HistogramRow(tag, step, wall_time, from_message(data, a, b)))
    elif number == 8:
        _take_tensor(into, data, a, b, tag, step, wall_time)
    else:
        into.others[OTHER_VALUES[number]] += 1


def _take_tensor(into: EventFile, data: bytes, a: int, b: int, tag: str, step: int, wall_time: float) -> None:
    plugin = into.plugins.get(tag, "")
    if plugin not in ("", "scalars", "histograms"):
        into.others[plugin] += 1
        return
    values = tensor(data, a, b)
    if values is not None and plugin == "histograms" and values.ndim == 2 and values.shape[1] == 3:
        into.histograms.append(HistogramRow(tag, step, wall_time, from_rows(values)))
    elif values is not None and plugin != "histograms" and values.size == 1:
        _add_scalar(into, tag, step, wall_time, float(values.ravel()[0]))
    else:
        into.others["tensor that is no scalar"] += 1


def _add_scalar(into: EventFile, tag: str, step: int, wall_time: float, value: float) -> None:
    into.tags.append(tag)
    into.steps.append(step)
    into.times.append(wall_time)
    into.values.append(value)


def _take_metadata(into: EventFile, data: bytes, start: int, end: int, tag: str) -> None:
    """Note the plugin that a tag belongs to, which is written with its first value only, and the settings."""
    plugin, content = "", None
    for number, kind, a, b in fields(data, start, end):
        if number == 1 and kind == BYTES:
            for inner, inner_kind, c, d in fields(data, a, b):
                if inner == 1 and inner_kind == BYTES:
                    plugin = data[c:d].decode("utf-8", "replace")
                elif inner == 2 and inner_kind == BYTES:
                    content = (c, d)
    if plugin:
        into.plugins[tag] = plugin
    if plugin == "hparams" and tag == SESSION and content is not None:
        into.settings.update(_settings(data, *content))


def _settings(data: bytes, start: int, end: int) -> dict[str, Setting]:
    """Return the hparams map of an HParamsPluginData; lists and structures in it are left out."""
    found: dict[str, Setting] = {}
    for number, kind, a, b in fields(data, start, end):
        if number != 3 or kind != BYTES:  # session_start_info
            continue
        for inner, inner_kind, c, d in fields(data, a, b):
            if inner == 1 and inner_kind == BYTES:
                name, value = _setting(data, c, d)
                if value is not None:
                    found[name] = value
    return found


def _setting(data: bytes, start: int, end: int) -> tuple[str, Setting | None]:
    name, value = "", None
    for number, kind, a, b in fields(data, start, end):
        if number == 1 and kind == BYTES:
            name = data[a:b].decode("utf-8", "replace")
        elif number == 2 and kind == BYTES:
            value = _plain_value(data, a, b)
    return name, value


def _plain_value(data: bytes, start: int, end: int) -> Setting | None:
    value: Setting | None = None
    for number, kind, a, b in fields(data, start, end):
        if number == 2 and kind == FIXED64:
            value = float(_DOUBLE.unpack_from(data, a)[0])
        elif number == 3 and kind == BYTES:
            value = data[a:b].decode("utf-8", "replace")
        elif number == 4 and kind == VARINT:
            value = bool(a)
    return value

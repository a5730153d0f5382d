"""What single events hold, taken plainly: one event after another, field by field.

`bulk/usual.py` is the quick twin for events of the usual shape.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field

from plateau_doctor.readers.histograms import Histogram, from_message, from_rows
from plateau_doctor.readers.hparams import Setting, plugin_of, settings_in
from plateau_doctor.readers.wire import BYTES, FIXED32, FIXED64, VARINT, WireError, fields, signed, tensor

__all__ = ["HistogramRow", "Taken", "begun", "take_event"]

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
class Taken:
    """What was taken from events so far; the five lists of scalars are parallel.

    Attributes:
        plugins: tag -> the plugin it belongs to, which is written with its first value only.
        events: The number of the event that a scalar is of.
        histogram_events: ... that a histogram is of.
        sessions: Numbers of the events that are a SessionLog START.
        asked: Tags whose plugin mattered, or was told.
        changed: Whether a tag's plugin was told to be another than before.
    """

    plugins: dict[str, str] = field(default_factory=dict)
    events: list[int] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    histograms: list[HistogramRow] = field(default_factory=list)
    histogram_events: list[int] = field(default_factory=list)
    settings: dict[str, Setting] = field(default_factory=dict)
    sessions: list[int] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    asked: set[str] = field(default_factory=set)
    versioned: bool = False
    changed: bool = False


def take_event(into: Taken, event: int, data: bytes, start: int, end: int) -> None:
    """Take what the event in `data[start:end]` holds; `event` is its number.

    Raises:
        WireError: The bytes are no event. What was taken before the fault is kept.
    """
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
    for number, a, b in later:
        if number == 5:
            for inner, kind, c, d in fields(data, a, b):
                if inner == 1 and kind == BYTES:
                    _take_value(into, event, data, c, d, step, wall_time)
        elif any(inner[:3] == (1, VARINT, START) for inner in fields(data, a, b)):
            into.sessions.append(event)


def begun(data: bytes, start: int, end: int) -> float | None:
    """Return the wall time of the event in `data[start:end]`, 0 where none was written, None if it is no event."""
    try:
        found = [a for number, kind, a, _ in fields(data, start, end) if (number, kind) == (1, FIXED64)]
    except WireError:
        return None
    return float(_DOUBLE.unpack_from(data, found[-1])[0]) if found else 0.0


def _take_value(
    into: Taken, event: int, data: bytes, start: int, end: int, step: int, wall_time: float
) -> None:
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
        _add_scalar(into, event, tag, step, wall_time, _FLOAT.unpack_from(data, a)[0])
    elif number == 5:
        _add_histogram(into, event, HistogramRow(tag, step, wall_time, from_message(data, a, b)))
    elif number == 8:
        _take_tensor(into, event, data, a, b, tag, step, wall_time)
    else:
        into.others[OTHER_VALUES[number]] += 1


def _take_tensor(
    into: Taken, event: int, data: bytes, a: int, b: int, tag: str, step: int, wall_time: float
) -> None:
    into.asked.add(tag)
    plugin = into.plugins.get(tag, "")
    if plugin not in ("", "scalars", "histograms"):
        into.others[plugin] += 1
        return
    values = tensor(data, a, b)
    if values is not None and plugin == "histograms" and values.ndim == 2 and values.shape[1] == 3:
        _add_histogram(into, event, HistogramRow(tag, step, wall_time, from_rows(values)))
    elif values is not None and plugin != "histograms" and values.size == 1:
        _add_scalar(into, event, tag, step, wall_time, float(values.ravel()[0]))
    else:
        into.others["tensor that is no scalar"] += 1


def _add_scalar(into: Taken, event: int, tag: str, step: int, wall_time: float, value: float) -> None:
    into.events.append(event)
    into.tags.append(tag)
    into.steps.append(step)
    into.times.append(wall_time)
    into.values.append(value)


def _add_histogram(into: Taken, event: int, row: HistogramRow) -> None:
    into.histogram_events.append(event)
    into.histograms.append(row)


def _take_metadata(into: Taken, data: bytes, start: int, end: int, tag: str) -> None:
    """Note the plugin that a tag belongs to, which is written with its first value only, and the settings."""
    plugin, content = plugin_of(data, start, end)
    into.asked.add(tag)
    if plugin:
        into.changed = into.changed or into.plugins.get(tag, "") not in ("", plugin)
        into.plugins[tag] = plugin
    if plugin == "hparams" and tag == SESSION and content is not None:
        into.settings.update(settings_in(data, *content))

"""Writes event files for tests with TensorBoard's own protobuf classes and its own checksum."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

from plateau_doctor.readers import events
from plateau_doctor.run import Problem, Run

SCALARS = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))
HISTOGRAMS = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="histograms"))
VERSION = Event(wall_time=1.0, file_version="brain.Event:2")


def record(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return (
        length
        + struct.pack("<I", masked_crc32c(length))
        + payload
        + struct.pack("<I", masked_crc32c(payload))
    )


def scalar(tag: str, step: int, value: float, time: float | None = None) -> Event:
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
    return Event(wall_time=1000.0 + step if time is None else time, step=step, summary=summary)


def of_tensor(tag: str, tensor: TensorProto, metadata: SummaryMetadata | None = None, step: int = 0) -> Event:
    value = Summary.Value(tag=tag, tensor=tensor)
    if metadata is not None:
        value.metadata.CopyFrom(metadata)
    return Event(wall_time=1000.0 + step, step=step, summary=Summary(value=[value]))


def curve(tag: str, steps: Iterable[int], time: float = 1000.0, value: float | None = None) -> list[Event]:
    """One event a step; the value is the step itself unless given."""
    return [
        scalar(tag, step, float(step) if value is None else value, time + i) for i, step in enumerate(steps)
    ]


def session_start(step: int) -> Event:
    return Event(wall_time=1000.0 + step, step=step, session_log=SessionLog(status=SessionLog.START))


def hparams(settings: Mapping[str, float | str | bool]) -> Event:
    info = SessionStartInfo()
    for name, value in settings.items():
        kind = {bool: "bool_value", str: "string_value"}.get(type(value), "number_value")
        setattr(info.hparams[name], kind, value)
    metadata = SummaryMetadata()
    metadata.plugin_data.plugin_name = "hparams"
    metadata.plugin_data.content = HParamsPluginData(session_start_info=info).SerializeToString()
    value = Summary.Value(tag="_hparams_/session_start_info", metadata=metadata)
    return Event(wall_time=1.0, summary=Summary(value=[value]))


def write(path: Path, held: Sequence[Event], version: Event | None = VERSION) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"".join(record(e.SerializeToString()) for e in ([version] if version else []) + list(held))
    )
    return path


def read(root: Path) -> tuple[list[Run], list[Problem]]:
    """Read every file below a folder that is sniffed as an event file."""
    paths = [p for p in root.rglob("*") if p.is_file() and events.sniff(p, p.read_bytes()[: 1 << 16])]
    found = list(events.read(paths, root))
    return [f for f in found if isinstance(f, Run)], [f for f in found if isinstance(f, Problem)]


def one_run(root: Path) -> Run:
    runs, problems = read(root)
    assert len(runs) == 1
    assert not problems
    return runs[0]


def values(run: Run, tag: str) -> list[float]:
    return list(run.scalars[run.scalars["tag"] == tag]["value"])

"""Reads event files with one reader; run by the Python of the environment that the reader is installed in.

    python reading.py READER KIND PATH TIMES

KIND is `scalars` or `histograms`. Prints one JSON object: `seconds`, the CPU time of each of TIMES readings from the
file to pandas frames, user and system, of this process and of a server; `loads`, that of the server until it had
everything; `rows`, how many it found; `memory`, the peak of the process and what the imports alone took, in MB; or
`missing`, the package that is not installed. A first reading of a small file is not counted: it pays for imports.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Frames = list[pd.DataFrame]
EVERYTHING = {"scalars": 0, "histograms": 0, "tensors": 0, "images": 4}
OPTIONS = [("grpc.max_receive_message_length", -1)]


def ours(path: Path, kind: str) -> Frames:
    from plateau_doctor.readers import read

    return [run.histograms if kind == "histograms" else run.scalars for run in read(path)]


def one_by_one(path: Path, kind: str) -> Frames:
    from plateau_doctor.readers.event_file import read_event_file

    found = [read_event_file(file, at_once=False) for file in _files(path)]
    return [pd.DataFrame(index=range(len(f.binned if kind == "histograms" else f.scalars))) for f in found]


def event_accumulator(path: Path, kind: str) -> Frames:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    frames = []
    for folder in sorted({file.parent for file in _files(path)}):
        held = EventAccumulator(str(folder), EVERYTHING).Reload()
        for tag in held.Tags()["scalars" if kind == "scalars" else "histograms"]:
            events = held.Scalars(tag) if kind == "scalars" else held.Histograms(tag)
            frames.append(pd.DataFrame(events))
    return frames


def tbparse(path: Path, kind: str) -> Frames:
    from tbparse import SummaryReader

    return [getattr(SummaryReader(str(path), event_types={kind}), kind)]


def protobuf(path: Path, _: str) -> Frames:
    from tensorboard.compat.proto.event_pb2 import Event

    frames = []
    for file in _files(path):
        data, at, rows = file.read_bytes(), 0, []
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            payload = data[at + 12 : at + 12 + length]
            _check(payload, data, at + 12 + length)
            event = Event.FromString(payload)
            at += length + 16
            rows += [(v.tag, event.step, event.wall_time, v.simple_value) for v in event.summary.value]
        frames.append(pd.DataFrame(rows, columns=["tag", "step", "wall_time", "value"]))
    return frames


def bytes_alone(path: Path, _: str) -> Frames:
    """Read the bytes and take a checksum of all, in C: no reader can be quicker."""
    import zlib

    try:
        from google_crc32c import value as checksum
    except ImportError:
        checksum = zlib.crc32
    for file in _files(path):
        checksum(file.read_bytes())
    return []


def _check(payload: bytes, data: bytes, at: int) -> None:
    """Check a payload's checksum in C, where there is one to be had; else this is left out, to the rival's favor."""
    try:
        from google_crc32c import value
    except ImportError:
        return
    crc = value(payload)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    if masked != int.from_bytes(data[at : at + 4], "little"):
        raise ValueError("a checksum fails")


def data_server(path: Path, kind: str, times: int) -> dict[str, Any]:
    """Time the Rust server and what it takes to make frames of its answers; it is started anew each time."""
    seconds, loads, rows = [], [], 0
    for _ in range(times):
        with Serving(path) as (process, stub):
            began = time.process_time()
            _wait(process)
            loads.append(_cpu_of(process.pid))
            rows = sum(len(frame) for frame in _frames_of(stub, kind))
            seconds.append(time.process_time() - began + _cpu_of(process.pid))
    return {"seconds": seconds, "loads": loads, "rows": rows}


class Serving:
    """A server that has been started on a folder, and is ended again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> tuple[subprocess.Popen[bytes], Any]:
        import grpc
        import tensorboard_data_server
        from tensorboard.data.proto import data_provider_pb2_grpc

        self._folder = tempfile.TemporaryDirectory()
        port = Path(self._folder.name) / "port"
        command = [tensorboard_data_server.server_binary(), "--logdir", str(self._path), "--port", "0"]
        command += ["--port-file", str(port), "--reload", "once", "--checksum"]
        command += ["--samples-per-plugin", "scalars=all,histograms=all,images=4"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while not (port.exists() and port.read_text().endswith("\n")):
            time.sleep(0.005)
        channel = grpc.insecure_channel(f"localhost:{port.read_text().strip()}", options=OPTIONS)
        return self._process, data_provider_pb2_grpc.TensorBoardDataProviderStub(channel)

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Wait until the server has worked off everything: its CPU time no longer grows."""
    still, before = 0, -1.0
    while still < 10:
        time.sleep(0.05)
        now = _cpu_of(process.pid)
        still, before = (still + 1 if now == before else 0), now


def _frames_of(stub: Any, kind: str) -> Iterator[pd.DataFrame]:
    from tensorboard.data.proto import data_provider_pb2 as pb
    from tensorboard.util.tensor_util import make_ndarray

    wanted = {
        "experiment_id": "x",
        "plugin_filter": pb.PluginFilter(plugin_name=kind),
        "downsample": pb.Downsample(num_points=10**9),
    }
    if kind == "scalars":
        answer = stub.ReadScalars(pb.ReadScalarsRequest(**wanted))
    else:
        answer = stub.ReadTensors(pb.ReadTensorsRequest(**wanted))
    for run in answer.runs:
        for tag in run.tags:
            held = tag.data
            values = list(held.value) if kind == "scalars" else [make_ndarray(one) for one in held.value]
            columns = {"step": np.array(held.step), "wall_time": np.array(held.wall_time), "value": values}
            yield pd.DataFrame({"run": run.run_name, "tag": tag.tag_name, **columns})


def _cpu_of(pid: int) -> float:
    """Return the CPU seconds, user and system, that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*tfevents*") if p.is_file())


READERS: dict[str, Callable[[Path, str], Frames]] = {
    "ours": ours,
    "one by one": one_by_one,
    "EventAccumulator": event_accumulator,
    "tbparse": tbparse,
    "protobuf": protobuf,
    "bytes": bytes_alone,
}


def timed(
    reader: Callable[[Path, str], Frames], path: Path, kind: str, times: int, small: Path
) -> dict[str, Any]:
    reader(small, kind)
    before = _peak()
    seconds, rows = [], 0
    for _ in range(times):
        began = time.process_time()
        frames = reader(path, kind)
        seconds.append(time.process_time() - began)
        rows = sum(len(frame) for frame in frames)
        del frames
    return {"seconds": seconds, "rows": rows, "memory": [_peak(), before]}


def _peak() -> float:
    """Return the most memory the process has had, in MB; `ru_maxrss` would count its parent's before the start."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main() -> None:
    name, kind, path, times, small = sys.argv[1:]
    try:
        if name == "data server":
            found = data_server(Path(path), kind, int(times))
        else:
            found = timed(READERS[name], Path(path), kind, int(times), Path(small))
    except ImportError as error:
        found = {"missing": str(error.name or error)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()

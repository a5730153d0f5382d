"""Small logs of every format, damage to them, and what of a log must be found again after it.

Each row of a log has a value that no other row has. A row whose bytes still stand in a damaged file must be
read, or the file must be named: that is the whole contract.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from making_events import HISTOGRAMS, SCALARS, VERSION, hparams, of_tensor, record, scalar
from making_wandb import HEADER, config, file_of, history
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.util.tensor_util import make_tensor_proto

from plateau_doctor.run import Problem, Run

__all__ = ["SAMPLES", "Sample", "damaged", "lost", "write"]

ROWS = 12
VALUES = [round(2.3 - 0.1 * i + 0.0001 * i, 4) for i in range(ROWS)]
HOSTILE = [
    *(b"nan", b"-inf", b"1e400", b"-1", b"9" * 400, b"9" * 5000, b"1e-320", b"0x1p3", b"1_0", b"-", b"--1"),
    *(b'"', b"'", b",,,,", b";", b"\t", b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b"\0\0\0\0", b"#", b"\\"),
    *(b"[" * 2000, b'{"a":' * 600, b"}", b"]", b"{}", b"[]", b"null", b"true", b'"\\ud800"', b":", b", "),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b", b"PK\x03\x04", b"\x80", b"\xb2\x31\xb2\x31"),
    *(b"step", b"epoch", b"loss", b"Step", b"a - Step", b"a - loss", b"Wall time", b"nan,nan,nan"),
    *(b"\xe2\x80\xa8", b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\xd9\xa3", b" ", b"   ", b"%", b"=cmd()"),
    *(b"\xff" * 9 + b"\x01", b"\x80" * 12, (1 << 63).to_bytes(8, "little"), (1 << 62).to_bytes(8, "little")),
    *(b"version https://git-lfs", b"x" * 3000, b",1" * 3000, b'"' + b"y" * 140_000),
]


@dataclass(frozen=True)
class Sample:
    """A sound log.

    Attributes:
        name: What it is called in a test.
        path: Where the file lies below the folder that is read.
        content: Its bytes.
        rows: What each row is known by: its bytes with their delimiters, and the value in it.
    """

    name: str
    path: str
    content: bytes
    rows: tuple[tuple[bytes, float], ...]


def damaged(content: bytes, seed: int) -> bytes:
    """Return the content with one to four wounds; the same seed gives the same."""
    rng = random.Random(seed)
    file = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 4])):
        _wound(file, rng)
    return bytes(file)


def lost(sample: Sample, content: bytes, found: Iterable[Run | Problem]) -> list[float]:
    """Return the values of intact rows that were not read although nothing is named as a problem."""
    read: set[float] = set()
    for one in found:
        if isinstance(one, Problem) or one.problems:
            return []
        read |= set(np.round(one.scalars["value"].to_numpy(), 4).tolist())
    return [value for row, value in sample.rows if row in content and value not in read]


def _wound(file: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(file) + 1)
    size = min(rng.choice([1, 1, 2, 5, 20, 100, 1000]), len(file) - at)
    kind = rng.choice(
        ["flip", "byte", "cut", "tail", "insert", "word", "word", "zero", "zeros", "repeat", "swap"]
    )
    if kind == "flip" and at < len(file):
        file[at] ^= 1 << rng.randrange(8)
    elif kind == "byte" and at < len(file):
        file[at] = rng.randrange(256)
    elif kind == "cut":
        del file[at : at + size]
    elif kind == "tail":
        del file[at:]
    elif kind == "insert":
        file[at:at] = rng.randbytes(size)
    elif kind == "word":
        file[at : at + rng.choice([0, 0, 1, 4])] = rng.choice(HOSTILE)
    elif kind == "zero":
        file[at : at + size] = bytes(size)
    elif kind == "zeros":
        file += bytes(rng.choice([1, 16, 600, 70_000]))
    elif kind == "repeat":
        file[at:at] = file[at : at + size] * rng.choice([1, 3])
    elif kind == "swap":
        other = rng.randrange(len(file) + 1)
        piece = file[at : at + size]
        del file[at : at + size]
        file[other:other] = piece


def _lines(
    head: str, line: str, end: str = "\n", encoding: str = "utf-8"
) -> tuple[bytes, tuple[tuple[bytes, float], ...]]:
    """Return a file of a head and one line a row, and how its rows are known."""
    held = [line.format(i=i, v=v, w=round(v + 5, 4)) for i, v in enumerate(VALUES)]
    whole = head + end + "".join(one + end for one in held)
    content = whole.encode(encoding)
    bare = "utf-16-le" if encoding == "utf-16" else encoding
    rows = tuple(((end + one + end).encode(bare), v) for one, v in zip(held, VALUES, strict=True))
    return content, rows


def _text(name: str, path: str, head: str, line: str, **how: str) -> Sample:
    return Sample(name, path, *_lines(head, line, **how))


def _document(name: str, path: str, value: object, row: str) -> Sample:
    rows = tuple((row.format(i=i, j=i + 1, t=10 * i, v=v).encode(), v) for i, v in enumerate(VALUES))
    return Sample(name, path, json.dumps(value).encode(), rows)


def _events(name: str, held: Iterable[Event]) -> Sample:
    frames = [record(event.SerializeToString()) for event in [VERSION, *held]]
    rows = []
    for frame, event in zip(frames[1:], held, strict=True):
        for value in event.summary.value:
            if value.tag == "loss":
                rows.append((frame, round(float(value.simple_value or value.tensor.float_val[0]), 4)))
    return Sample(name, "run/events.out.tfevents.1", b"".join(frames), tuple(rows))


def _wandb() -> Sample:
    rows = [history({"loss": v, "_timestamp": 1000.5 + i}, i) for i, v in enumerate(VALUES)]
    known = tuple((file_of([row])[len(HEADER) :], v) for row, v in zip(rows, VALUES, strict=True))
    return Sample("W&B's own file", "wandb/run-a/run-a.wandb", file_of([config({"lr": 0.1}), *rows]), known)


def _mixed() -> list[Event]:
    held: list[Event] = [hparams({"lr": 0.1, "optimizer": "adam"})]
    for i, v in enumerate(VALUES):
        held.append(of_tensor("loss", make_tensor_proto(np.float32(v)), SCALARS, step=i))
        rows = np.array([[0.0, 1.0, 3.0], [1.0, 2.0, 4.0]])
        held.append(of_tensor("fc/kernel/histogram", make_tensor_proto(rows), HISTOGRAMS, step=i))
        old = HistogramProto(min=-1, max=1, num=3, sum=1, sum_squares=2, bucket_limit=[0, 1], bucket=[1, 2])
        both = [
            Summary.Value(tag="gradients/fc/kernel", histo=old),
            Summary.Value(tag="lr", simple_value=0.1),
        ]
        held.append(Event(wall_time=1000.0 + i, step=i, summary=Summary(value=both)))
    return held


_RECORDS = [{"epoch": i + 1, "loss": v, "step": 10 * i} for i, v in enumerate(VALUES)]
_RECORD = '{{"epoch": {j}, "loss": {v}, "step": {t}}}'

SAMPLES = (
    _wandb(),
    _events("event file of scalars", [scalar("loss", i, v) for i, v in enumerate(VALUES)]),
    _events("event file of everything", _mixed()),
    _text("Keras CSV", "history.csv", "epoch,accuracy,loss,val_loss", "{i},0.5,{v},{w}"),
    _text("CSV of Windows", "history.csv", "epoch;loss;val_loss", "{i};{v};{w}", end="\r\n"),
    _text("tabs in UTF-16", "history.tsv", "epoch\tloss\tval_loss", "{i}\t{v}\t{w}", encoding="utf-16"),
    _text("CSV in GB18030", "history.csv", "epoch,loss,备注", "{i},{v},{w}", encoding="gb18030"),
    _text("blanks", "train.log", "epoch  loss  val_loss", "{i}  {v}  {w}"),
    _text("Lightning CSV", "metrics.csv", "epoch,step,train_loss,val_loss", "{i},{i}9,{v},\n{i},{i}9,,{w}"),
    _text(
        "Ultralytics CSV", "results.csv", "  epoch,  train/box_loss,  val/box_loss,  ", "  {i},  {v},  {w},  "
    ),
    _text("W&B export", "wandb.csv", '"Step","a - loss","a - loss__MIN"', '"{i}","{v}","{w}"'),
    _text("TensorBoard export", "run-a-tag-loss.csv", "Wall time,Step,Value", "16000{i},{i},{v}"),
    _text(
        "JSON lines",
        "metrics.json",
        '{"epoch": 0, "total_loss": 2.31}',
        '{{"epoch": {i}, "total_loss": {v}}}',
    ),
    _document("Chainer's list", "log", _RECORDS, _RECORD),
    _document("a trainer's state", "trainer_state.json", {"log_history": _RECORDS}, _RECORD),
    _document("Keras JSON", "history.json", {"loss": VALUES, "acc": [0.5] * ROWS}, " {v},"),
    _text("MLflow metric", "run1/metrics/val_loss", "1691409747700 2.31 0", "16914097477{i:02} {v} {i}"),
    _text("nanoGPT", "train.log", "number of parameters: 10M", "step {i}: train loss {v}, val loss {w}"),
    _text("llm.c", "main.log", "s:0 tel:10.9", "s:{i} trl:{v}"),
    _text(
        "Caffe", "caffe.log", "I0821 solver.cpp:1] Solving", "I0821 solver.cpp:2] Iteration {i}, loss = {v}"
    ),
)


def write(sample: Sample, content: bytes, folder: Path) -> Path:
    """Write content where the sample's file belongs."""
    path = folder / sample.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path

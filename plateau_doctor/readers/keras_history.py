"""A Keras History saved as JSON: name -> list of one value an epoch (or pandas' name -> {row: value})."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from plateau_doctor.readers.axes import curves
from plateau_doctor.readers.json_text import parsed, table_of
from plateau_doctor.run import Problem, Run

__all__ = ["NAME", "ORDER", "read", "sniff"]

NAME = "keras_history"
ORDER = 20


def sniff(path: Path, head: bytes) -> bool:
    """Whether it is one JSON object that names a loss or a metric with a list or table under it."""
    start = head.lstrip()
    if start[:1] != b"{" or path.suffix.lower() not in (".json", ".txt", ".log", ""):
        return False
    lines = start.split(b"\n", 2)
    one_object = len(lines) < 2 or not lines[1].lstrip().startswith(b"{")
    packed = b"".join(start[:4096].split())
    return one_object and any(mark in packed for mark in (b'loss":[', b'loss":{', b'acc":[', b'accuracy":['))


def read(paths: Sequence[Path], root: Path) -> Iterator[Run | Problem]:
    """Yield one Run a file."""
    for path in paths:
        try:
            history = parsed(path.read_text(encoding="utf-8", errors="replace"))
        except OSError as error:
            yield Problem(str(path), "cannot be read", error.strerror or str(error))
            continue
        if isinstance(history, dict) and isinstance(history.get("history"), dict):
            history = history["history"]
        columns = {str(k): _values(v) for k, v in history.items()} if isinstance(history, dict) else {}
        longest = max((len(values) for values in columns.values()), default=0)
        rows = [{k: v[i] for k, v in columns.items() if i < len(v)} for i in range(longest)]
        scalars = curves(table_of(rows))
        if scalars.empty:
            yield Problem(str(path), "not read", "the JSON is cut or damaged, or holds no lists of numbers")
            continue
        name = path.name if path == root else str(path.relative_to(root))
        yield Run(name, str(path), NAME, scalars)


def _values(column: object) -> list[object]:
    if isinstance(column, dict):
        return list(column.values())
    return column if isinstance(column, list) else []

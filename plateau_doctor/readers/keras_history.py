"""A Keras History saved as JSON: name -> list of one value an epoch (or pandas' name -> {row: value})."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from plateau_doctor.readers.json_text import curves_of_records, parsed
from plateau_doctor.readers.texts import as_utf8, clipped, name_below, text_in
from plateau_doctor.run import Problem, Run

__all__ = ["NAME", "ORDER", "read", "sniff"]

NAME = "keras_history"
ORDER = 20


def sniff(path: Path, head: bytes) -> bool:
    """Whether it is one JSON object that names a loss or a metric with a list or table under it."""
    start = as_utf8(head).lstrip()
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
            history = parsed(text_in(path))
        except OSError as error:
            yield Problem(str(path), "cannot be read", error.strerror or str(error))
            continue
        if isinstance(history, dict) and isinstance(history.get("history"), dict):
            history = history["history"]
        columns = {str(k): _values(v) for k, v in history.items()} if isinstance(history, dict) else {}
        rows: list[dict[str, object]] = [{} for _ in range(max(map(len, columns.values()), default=0))]
        for name, values in columns.items():
            for row, value in zip(rows, values, strict=False):
                row[name] = value
        scalars = curves_of_records(rows)
        problems = (*_odd_cells(path, columns), *_short_lists(path, columns))
        if scalars.empty:
            yield Problem(str(path), "not read", "the JSON is cut or damaged, or holds no lists of numbers")
            continue
        yield Run(name_below(path, root), str(path), NAME, scalars, problems=problems)


def _values(column: object) -> list[object]:
    """Return one value an epoch; numbers in quotes, as `json.dump(..., default=str)` leaves them, are numbers."""
    held = list(column.values()) if isinstance(column, dict) else column if isinstance(column, list) else []
    return [_number(value) if isinstance(value, str) else value for value in held]


def _odd_cells(path: Path, columns: Mapping[str, Sequence[object]]) -> Iterator[Problem]:
    """Name what is no number among numbers; null is what was not logged."""
    for name, values in columns.items():
        odd = [value for value in values if value is not None and not isinstance(value, (int, float))]
        if 0 < len(odd) < len(values):
            what = f"{len(odd)} values of {clipped(name)!r} are no numbers"
            yield Problem(str(path), what, clipped(str(odd[0])))


def _short_lists(path: Path, columns: Mapping[str, Sequence[object]]) -> Iterator[Problem]:
    """Name lists that are shorter than others: which epochs their values are of is not known."""
    lengths = {name: len(values) for name, values in columns.items() if values}
    longest = max(lengths.values(), default=0)
    short = [f"{clipped(name)!r} {n}" for name, n in lengths.items() if n < longest]
    if short:
        why = f"of {longest} epochs, taken for the first ones: {', '.join(short[:3])}{' ...' if short[3:] else ''}"
        yield Problem(str(path), "lists of unequal length", why)


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text

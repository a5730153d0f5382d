"""What the JSON formats share: safe parsing, and the curves of records of numbers."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from plateau_doctor.readers.axes import curves_of

__all__ = ["Columns", "curves_of_records", "numbers_of", "parsed"]

DEEPEST = 4


def parsed(text: str) -> object | None:
    """Return the value of a JSON text (bare NaN and Infinity are read), None where it is none.

    Nesting that would exhaust the stack counts as no JSON.
    """
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def numbers_of(record: Mapping[str, object], prefix: str = "", depth: int = 0) -> dict[str, float]:
    """Return the numbers of a record by name; those of an inner table as `outer/inner`, lists and texts left out."""
    found: dict[str, float] = {}
    for key, value in record.items():
        if isinstance(value, bool):
            continue
        if isinstance(value, (int, float)):
            found[f"{prefix}{key}"] = _float(value)
        elif isinstance(value, dict) and depth < DEEPEST:
            found.update(numbers_of(value, f"{prefix}{key}/", depth + 1))
    return found


def curves_of_records(records: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Return the `scalars` frame of records, a step or an epoch each; what a record does not name was not logged."""
    columns = Columns()
    for record in records:
        columns.add(record)
    return columns.curves()


class Columns:
    """Records as columns: of each name, the rows that have it and its values in them."""

    def __init__(self) -> None:
        self._columns: dict[str, tuple[array[int], array[float]]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, record: Mapping[str, object]) -> None:
        """Add a record below the others."""
        for name, value in numbers_of(record).items():
            rows, values = self._columns.setdefault(name, (array("q"), array("d")))
            rows.append(self._size)
            values.append(value)
        self._size += 1

    def drop_last(self) -> None:
        """Take the last record away again."""
        self._size -= 1
        for name, (rows, values) in list(self._columns.items()):
            if rows[-1] == self._size:
                rows.pop()
                values.pop()
            if not rows:
                del self._columns[name]

    def curves(self) -> pd.DataFrame:
        """Return the `scalars` frame of the records so far."""
        arrays = {name: (np.array(rows), np.array(values)) for name, (rows, values) in self._columns.items()}
        return curves_of(arrays, self._size)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")

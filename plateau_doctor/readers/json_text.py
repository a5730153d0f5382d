"""What the JSON formats share: safe parsing, and the curves of records of numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from plateau_doctor.readers.axes import curves_of

__all__ = ["curves_of_records", "numbers_of", "parsed"]

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
    columns: dict[str, tuple[list[int], list[float]]] = {}
    size = 0
    for row, record in enumerate(records):
        size = row + 1
        for name, value in numbers_of(record).items():
            logged, values = columns.setdefault(name, ([], []))
            logged.append(row)
            values.append(value)
    arrays = {name: (np.array(at), np.array(values, dtype=float)) for name, (at, values) in columns.items()}
    return curves_of(arrays, size)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")

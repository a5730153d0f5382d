"""What the JSON formats share: safe parsing, and records of numbers as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import pandas as pd

from plateau_doctor.readers.axes import BLANK

__all__ = ["numbers_of", "parsed", "table_of"]

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


def table_of(records: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Return records as a table of floats, a row each, `BLANK` where a record lacks a name."""
    rows = [numbers_of(record) for record in records]
    names = dict.fromkeys(name for row in rows for name in row)
    return pd.DataFrame({name: [row.get(name, BLANK) for row in rows] for name in names}, dtype="float64")


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")

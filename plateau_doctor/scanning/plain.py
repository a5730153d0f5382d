"""Dataclasses as plain JSON values and back, for the journal of a scan: what was kept by one scan is read by another.

No pickle: a journal may come from anywhere.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from plateau_doctor.run import Problem, Run, scalar_frame

__all__ = ["from_plain", "to_plain"]

Made = TypeVar("Made")


def to_plain(value: object) -> Any:
    """Return a value of dataclasses, tuples, mappings and scalars as JSON has it; of a Run its tags and settings."""
    if isinstance(value, Run):
        roles = zip(value.scalars["tag"], value.scalars["role"], strict=True)
        return {
            "name": value.name,
            "source": value.source,
            "format": value.format,
            "roles": dict(roles),
            "settings": to_plain(value.settings),
            "problems": to_plain(value.problems),
        }
    if is_dataclass(value):
        return {one.name: to_plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(held) for key, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(held) for held in value]
    return value.item() if isinstance(value, np.generic) else value


def from_plain(kind: type[Made], value: Any) -> Made:
    """Return the value of a type that `to_plain` made plain.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: It is not of this type.
    """
    made: Made = _made(kind, value)
    return made


def _made(kind: Any, value: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        several = [one for one in inner if one is not type(None)]
        return value if value is None or len(several) > 1 else _made(several[0], value)
    if origin is tuple:
        kinds = inner[:1] * len(value) if inner[1:] == (...,) else inner
        return tuple(_made(one, held) for one, held in zip(kinds, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _made(inner[1], held) for key, held in value.items()}
    if kind is Run:
        return _run(value)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _made(hints[name], held) for name, held in value.items()})
    return value


def _run(value: Mapping[str, Any]) -> Run:
    return Run(
        value["name"],
        value["source"],
        value["format"],
        scalar_frame([{"tag": tag, "role": role} for tag, role in value["roles"].items()]),
        settings=value["settings"],
        problems=_made(tuple[Problem, ...], value["problems"]),
    )


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)

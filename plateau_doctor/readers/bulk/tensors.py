"""Takes the numbers out of many tensors at once: the quick twin of `wire.tensor`.

Tensors of as many bytes mostly differ in their numbers alone. The first is read plainly, to see where its numbers
stand; all that are equal to it but for these are of its layout.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from plateau_doctor.readers.bulk.cursors import Bytes, Places
from plateau_doctor.readers.bulk.tags import rows_of
from plateau_doctor.readers.hparams import plugin_of
from plateau_doctor.readers.wire import (
    BYTES,
    DTYPES,
    FIXED_WIDTH,
    LARGEST,
    VARINT,
    WireError,
    as_doubles,
    fields,
    shape_of,
)

__all__ = ["Alike", "tensors_of"]

TENSOR, METADATA = 8, 9  # fields of a Summary.Value
DTYPE, SHAPE, CONTENT = 1, 2, 4  # fields of a TensorProto
LAYOUTS = 8  # tried among tensors of as many bytes


@dataclass(frozen=True, eq=False)
class Alike:
    """Tensors of one layout.

    Attributes:
        members: Which of the given places they are at.
        numbers: What they hold, shape (n, *shape).
        plugin: Whom their metadata say they are for, None where they carry none.
    """

    members: Places
    numbers: np.ndarray
    plugin: str | None


@dataclass(frozen=True)
class _Layout:
    begin: int
    end: int
    dtype: str
    shape: tuple[int, ...]
    plugin: str | None


def tensors_of(raw: Bytes, at: Places, ends: Places) -> Iterator[Alike]:
    """Yield the tensors that stand between `at` and `ends`, with their metadata, in groups; odd ones are left out."""
    sizes = ends - at
    order = np.argsort(sizes, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(sizes[order])) + 1):
        if not len(members):
            continue
        size = int(sizes[members[0]])
        rows = rows_of(raw, at[members], size).view(np.uint8)
        for _ in range(LAYOUTS):
            layout = _layout_of(rows[0, :size].tobytes())
            if layout is None:
                break
            alike = np.ones(len(rows), dtype=bool)
            for fixed in (slice(0, layout.begin), slice(layout.end, None)):
                alike &= (rows[:, fixed] == rows[0, fixed]).all(axis=1)
            found = rows[:, layout.begin : layout.end]
            found = found if alike.all() else found[alike]
            numbers = as_doubles(found, layout.dtype).reshape(len(found), *layout.shape)
            yield Alike(members[alike], numbers, layout.plugin)
            rows, members = rows[~alike], members[~alike]
            if not len(members):
                break


def _layout_of(data: bytes) -> _Layout | None:
    try:
        parts = list(fields(data, 0, len(data)))
        if [part[:2] for part in parts] not in ([(TENSOR, BYTES)], [(TENSOR, BYTES), (METADATA, BYTES)]):
            return None
        plugin = plugin_of(data, *parts[1][2:])[0] if len(parts) > 1 else None
        return _numbers_in(data, *parts[0][2:], plugin)
    except WireError:
        return None


def _numbers_in(data: bytes, start: int, end: int, plugin: str | None) -> _Layout | None:
    """Return the layout of a tensor that holds all its numbers in one piece."""
    code, shape, held = 0, None, None
    for number, kind, a, b in fields(data, start, end):
        if (number, kind) == (DTYPE, VARINT) and not code:
            code = a
        elif (number, kind) == (SHAPE, BYTES) and shape is None:
            shape = shape_of(data, a, b)
        elif held is None and (
            (number, kind) == (CONTENT, BYTES) or (number in FIXED_WIDTH and kind != VARINT)
        ):
            held = (number, a, b)
        else:
            return None
    if code not in DTYPES or held is None:
        return None
    dtype, typed = DTYPES[code]
    if held[0] not in (CONTENT, typed):
        return None
    dtype = dtype if held[0] == CONTENT else FIXED_WIDTH[typed]
    width = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
    shape = shape or ()
    count = math.prod(shape)
    if min(shape, default=1) < 1 or count > LARGEST or count * width != held[2] - held[1]:
        return None
    return _Layout(held[1], held[2], dtype, shape, plugin)

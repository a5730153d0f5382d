"""The protobuf wire format, as much of it as event files need: a walk over fields, and tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np

__all__ = [
    "BYTES",
    "DTYPES",
    "FIXED32",
    "FIXED64",
    "FIXED_WIDTH",
    "LARGEST",
    "VARINT",
    "WireError",
    "as_doubles",
    "doubles",
    "fields",
    "shape_of",
    "signed",
    "tensor",
]

VARINT, FIXED64, BYTES, GROUP, GROUP_END, FIXED32 = range(6)
LARGEST = 1 << 20  # elements of a tensor that is worth unpacking here: a scalar, or the rows of a histogram
LEFT_OUT = 512  # ... of which this many may be left out, lest a few bytes stand for megabytes

# TensorFlow's DataType -> (element in tensor_content, number of its *_val field)
DTYPES = {
    1: ("<f4", 5),
    2: ("<f8", 6),
    3: ("<i4", 7),
    4: ("u1", 7),
    5: ("<i2", 7),
    6: ("i1", 7),
    9: ("<i8", 10),
    10: ("?", 11),
    11: ("i1", 7),
    12: ("u1", 7),
    13: ("<i4", 7),
    14: ("bfloat16", 13),
    15: ("<i2", 7),
    16: ("<u2", 7),
    17: ("<u2", 7),
    19: ("<f2", 13),
    22: ("<u4", 16),
    23: ("<u8", 17),
}
FIXED_WIDTH = {5: "<f4", 6: "<f8"}


class WireError(ValueError):
    """Bytes that are no protobuf message."""


class Indexed(Protocol):
    """Bytes that are asked for one by one."""

    def __getitem__(self, at: int, /) -> int: ...


def fields(data: Indexed, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (number, kind, a, b) for each field of the message in `data[start:end]`.

    `a` is the value of a VARINT, unsigned; of the other kinds the payload is `data[a:b]`, which is not looked at.
    Groups are skipped.

    Raises:
        WireError: The bytes are no message.
    """
    at = start
    while at < end:
        key = data[at]
        at += 1
        if key > 127:
            key, at = _varint(data, at - 1, end)
        kind = key & 7
        if key < 8:
            raise WireError("a field has the number 0")
        if kind == VARINT:
            value, at = _varint(data, at, end)
            yield key >> 3, kind, value, at
            continue
        length = 8
        if kind == BYTES:
            length, at = _varint(data, at, end)
        elif kind == FIXED32:
            length = 4
        elif kind == GROUP:
            at = _after_group(data, at, end, key >> 3)
            continue
        elif kind != FIXED64:
            raise WireError(f"a field has the wire type {kind}")
        if length > end - at:
            raise WireError("a field reaches beyond its message")
        yield key >> 3, kind, at, at + length
        at += length


def signed(value: int) -> int:
    """Return the int64 that the unsigned varint stands for."""
    return value - (1 << 64) if value >> 63 else value


def doubles(data: bytes, kind: int, a: int, b: int) -> np.ndarray:
    """Return the doubles of one occurrence of a repeated field, packed or single.

    Raises:
        WireError: The bytes are no doubles.
    """
    if kind not in (BYTES, FIXED64) or (b - a) % 8:
        raise WireError("a field of doubles holds something else")
    return np.frombuffer(data, dtype="<f8", count=(b - a) // 8, offset=a)


def tensor(data: bytes, start: int, end: int) -> np.ndarray | None:
    """Return the TensorProto in `data[start:end]` as float64 in its shape.

    None for what is no number (strings, complex, resources) and for tensors of more than a million elements.

    Raises:
        WireError: The bytes are no TensorProto, or its shape does not fit its values.
    """
    code, content = 0, None
    shape: tuple[int, ...] = ()
    typed: list[tuple[int, int, int, int]] = []
    for field in fields(data, start, end):
        number, kind, a, b = field
        if number == 1 and kind == VARINT:
            code = a
        elif number == 2 and kind == BYTES:
            shape += shape_of(data, a, b)
        elif number == 4 and kind == BYTES:
            content = (a, b)
        else:
            typed.append(field)
    if code not in DTYPES or math.prod(shape) > LARGEST:
        return None
    name, value_field = DTYPES[code]
    if content is not None and content[1] > content[0]:
        values = _content(data, *content, name)
    else:
        values = _typed_values(data, [f for f in typed if f[0] == value_field], name)
    return _filled(values, shape)


def _filled(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the values in their shape; the last one stands for all that were left out, as in TensorFlow."""
    count = math.prod(shape)
    if len(values) > count or min(shape, default=0) < 0:
        raise WireError(f"a tensor of shape {shape} holds {len(values)} values")
    if count - len(values) > LEFT_OUT:
        raise WireError(f"a tensor of shape {shape} holds only {len(values)} values")
    if len(values) < count:
        last = values[-1] if len(values) else 0.0
        values = np.concatenate([values, np.full(count - len(values), last)])
    return values.reshape(shape)


def as_doubles(rows: np.ndarray, name: str) -> np.ndarray:
    """Return the float64 numbers that rows of bytes hold as elements of a type, shape (n, elements)."""
    rows = np.ascontiguousarray(rows)
    if name == "bfloat16":
        return _bfloat16(rows.view("<u2"))
    return rows.view(name).astype(np.float64, copy=False)


def _content(data: bytes, a: int, b: int, name: str) -> np.ndarray:
    if name == "bfloat16":
        return _bfloat16(_whole(data, a, b, "<u2"))
    return _whole(data, a, b, name).astype(np.float64)


def _whole(data: bytes, a: int, b: int, name: str) -> np.ndarray:
    size = np.dtype(name).itemsize
    if (b - a) % size:
        raise WireError("a tensor's bytes are no whole number of elements")
    return np.frombuffer(data, dtype=name, count=(b - a) // size, offset=a)


def _typed_values(data: bytes, found: list[tuple[int, int, int, int]], name: str) -> np.ndarray:
    numbers: list[np.ndarray] = []
    for number, kind, a, b in found:
        if number in FIXED_WIDTH:
            numbers.append(_whole(data, a, b, FIXED_WIDTH[number]).astype(np.float64))
        else:
            whole = [a] if kind == VARINT else _varints(data, a, b)
            numbers.append(_from_varints(whole, name))
    return np.concatenate(numbers) if numbers else np.empty(0)


def _from_varints(values: list[int], name: str) -> np.ndarray:
    if name in ("bfloat16", "<f2"):  # half_val: the low 16 bits hold the number's own
        bits = np.array([v & 0xFFFF for v in values], dtype="<u2")
        return _bfloat16(bits) if name == "bfloat16" else bits.view("<f2").astype(np.float64)
    unsigned = name in ("<u4", "<u8", "?")
    return np.array([float(v if unsigned else signed(v)) for v in values], dtype=np.float64)


def _bfloat16(bits: np.ndarray) -> np.ndarray:
    return (bits.astype("<u4") << np.uint32(16)).view("<f4").astype(np.float64)


def shape_of(data: bytes, start: int, end: int) -> tuple[int, ...]:
    """Return the sizes in the TensorShapeProto in `data[start:end]`.

    Raises:
        WireError: The bytes are no TensorShapeProto.
    """
    sizes = []
    for number, kind, a, b in fields(data, start, end):
        if number == 2 and kind == BYTES:
            size = 0
            for inner, inner_kind, value, _ in fields(data, a, b):
                if inner == 1 and inner_kind == VARINT:
                    size = signed(value)
            sizes.append(size)
    return tuple(sizes)


def _varints(data: bytes, a: int, b: int) -> list[int]:
    values = []
    while a < b:
        value, a = _varint(data, a, b)
        values.append(value)
    return values


def _varint(data: Indexed, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise WireError("a number is cut or too long")


def _after_group(data: Indexed, at: int, end: int, number: int) -> int:
    """Return where the group ends that was just entered; inner groups are counted, not recursed into."""
    open_groups = [number]
    while open_groups:
        key, at = _varint(data, at, end)
        kind = key & 7
        if kind == GROUP:
            open_groups.append(key >> 3)
        elif kind == GROUP_END:
            if open_groups.pop() != key >> 3:
                raise WireError("a group is closed by another's end")
        elif kind == VARINT:
            _, at = _varint(data, at, end)
        elif kind == BYTES:
            length, at = _varint(data, at, end)
            at += length
        else:
            at += {FIXED64: 8, FIXED32: 4}.get(kind, end)
        if at > end:
            raise WireError("a group reaches beyond its message")
    return at

"""Writes Weights & Biases' own files for tests, byte for byte as its writer does."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping

__all__ = ["HEADER", "config", "file_of", "history"]

HEADER = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
BLOCK, HEAD = 1 << 15, 7


def varint(value: int) -> bytes:
    held = bytearray()
    while value > 127:
        held.append(value & 127 | 128)
        value >>= 7
    return bytes([*held, value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def item(name: str, value: object) -> bytes:
    keys = (
        b"".join(field(2, key.encode()) for key in name.split("."))
        if "." in name
        else field(1, name.encode())
    )
    return field(1, keys + field(16, json.dumps(value).encode()))


def history(values: Mapping[str, object], step: int | None = None) -> bytes:
    """A Record with one row of the history."""
    held = b"".join(item(name, value) for name, value in values.items())
    return field(2, held + (field(2, b"\x08" + varint(step)) if step is not None else b""))


def config(values: Mapping[str, object], inside_run: bool = False) -> bytes:
    """A Record with settings: an update of the configuration, or the one that a run begins with."""
    held = b"".join(item(name, value) for name, value in values.items())
    return field(17, field(1, b"abc") + field(4, held)) if inside_run else field(5, held)


def file_of(records: Iterable[bytes]) -> bytes:
    """A whole file: each record in one piece where it fits into its block, else in several."""
    file = bytearray(HEADER)
    for record in records:
        left, kind = BLOCK - len(file) % BLOCK, 1
        if left < HEAD:
            file += bytes(left)
            left = BLOCK
        while len(record) + HEAD > left:
            file += piece(record[: left - HEAD], 2 if kind == 1 else 3)
            record, kind, left = record[left - HEAD :], 4, BLOCK
        file += piece(record, kind)
    return bytes(file)


def piece(content: bytes, kind: int) -> bytes:
    return struct.pack("<IHB", zlib.crc32(bytes([kind]) + content), len(content), kind) + content

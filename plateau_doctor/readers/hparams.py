"""What the metadata of a value tell: the plugin that its tag belongs to, and the settings of a run."""

from __future__ import annotations

import struct

from plateau_doctor.readers.wire import BYTES, FIXED64, VARINT, fields

__all__ = ["Setting", "plugin_of", "settings_in"]

Setting = float | str | bool

_DOUBLE = struct.Struct("<d")


def plugin_of(data: bytes, start: int, end: int) -> tuple[str, tuple[int, int] | None]:
    """Return the plugin's name in a SummaryMetadata, and where its content stands.

    Raises:
        WireError: The bytes are no SummaryMetadata.
    """
    plugin, content = "", None
    for number, kind, a, b in fields(data, start, end):
        if number == 1 and kind == BYTES:
            for inner, inner_kind, c, d in fields(data, a, b):
                if inner == 1 and inner_kind == BYTES:
                    plugin = data[c:d].decode("utf-8", "replace")
                elif inner == 2 and inner_kind == BYTES:
                    content = (c, d)
    return plugin, content


def settings_in(data: bytes, start: int, end: int) -> dict[str, Setting]:
    """Return the hparams map of an HParamsPluginData; lists and structures in it are left out.

    Raises:
        WireError: The bytes are no HParamsPluginData.
    """
    found: dict[str, Setting] = {}
    for number, kind, a, b in fields(data, start, end):
        if number != 3 or kind != BYTES:  # session_start_info
            continue
        for inner, inner_kind, c, d in fields(data, a, b):
            if inner == 1 and inner_kind == BYTES:
                name, value = _setting(data, c, d)
                if value is not None:
                    found[name] = value
    return found


def _setting(data: bytes, start: int, end: int) -> tuple[str, Setting | None]:
    name, value = "", None
    for number, kind, a, b in fields(data, start, end):
        if number == 1 and kind == BYTES:
            name = data[a:b].decode("utf-8", "replace")
        elif number == 2 and kind == BYTES:
            value = _plain_value(data, a, b)
    return name, value


def _plain_value(data: bytes, start: int, end: int) -> Setting | None:
    value: Setting | None = None
    for number, kind, a, b in fields(data, start, end):
        if number == 2 and kind == FIXED64:
            value = float(_DOUBLE.unpack_from(data, a)[0])
        elif number == 3 and kind == BYTES:
            value = data[a:b].decode("utf-8", "replace")
        elif number == 4 and kind == VARINT:
            value = bool(a)
    return value

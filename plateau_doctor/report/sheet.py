"""One picture on its way to SVG: Altair makes the specification, vl-convert compiles and draws it.

Altair's charts (`alt.Chart` and the like) copy all that they hold at every call, and check it against a schema of
36,000 lines. Made of its plain classes, unchecked, a picture takes a third of the time: 0.02 s less for each of the
3,000 of a thousand runs. A test checks what is made here.

Two more things were measured to cost as much again. Vega-Lite compiles each specification to Vega, so what differs
from run to run (rows, and values named in expressions) is kept out of it: pictures of one make are compiled once.
And vl-convert opens the font four times for each letter that Vega measures, so labels are few and short, and without
the limits and overlaps that make Vega measure them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

__all__ = ["Sheet", "blank_sheet"]

FONT = "system-ui, sans-serif"
KINDS = 256  # compiled pictures that are kept, about 10 KB each


@contextmanager
def blank_sheet() -> Iterator[Sheet]:
    """Give a sheet to draw on; while it is in use Altair does not check each object that it makes."""
    import altair  # half a second that text and JSON need not pay
    from altair.utils.schemapi import debug_mode

    with debug_mode(False):
        yield Sheet(altair)


class Sheet:
    """Altair's classes of a specification (`alt`), and the rows and values of one picture beside them."""

    def __init__(self, alt: Any) -> None:
        self.alt = alt
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._values: dict[str, Any] = {}

    def layer(self, rows: list[dict[str, Any]], mark: dict[str, Any], **channels: Any) -> Any:
        """Return one layer: a mark at each of some rows."""
        name = f"n{len(self._rows)}"
        self._rows[name] = rows
        return self.alt.UnitSpec(
            data=self.alt.NamedData(name=name),
            mark=self.alt.MarkDef(aria=False, **mark),
            encoding=self.alt.Encoding(**channels),
        )

    def value(self, value: Any) -> str:
        """Return the name by which an expression refers to a value of this picture: a number, text or list."""
        name = f"v{len(self._values)}"
        self._values[name] = value
        return name

    def svg(self, *plots: Any) -> str:
        """Return the picture of plots, one below the other, that share their horizontal axis."""
        import vl_convert

        spec = {
            "$schema": self.alt.SCHEMA_URL,
            "config": _config(),
            "params": [{"name": name, "value": None} for name in self._values],
            "datasets": {name: [] for name in self._rows},
            "vconcat": [plot.to_dict(validate=False) for plot in plots],
            "spacing": 16,
            "bounds": "flush",
            "resolve": {"scale": {"x": "shared"}},
        }
        drawn = dict(_compiled(json.dumps(spec)))
        drawn["data"] = [_filled(one, "values", self._rows) for one in drawn["data"]]
        drawn["signals"] = [_filled(one, "value", self._values) for one in drawn["signals"]]
        return str(vl_convert.vega_to_svg(drawn))


@lru_cache(maxsize=KINDS)
def _compiled(spec: str) -> Mapping[str, Any]:
    """Return the Vega that Vega-Lite compiles a specification to."""
    import vl_convert

    compiled: Mapping[str, Any] = vl_convert.vegalite_to_vega(spec)
    return compiled


def _filled(one: Mapping[str, Any], key: str, contents: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a data set or signal of a compiled picture with what the sheet has for it."""
    return {**one, key: contents[one["name"]]} if one["name"] in contents else one


@lru_cache(maxsize=1)
def _config() -> Mapping[str, Any]:
    """Return what all pictures look like."""
    import altair as alt

    text: dict[str, Any] = {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "labelFontSize": 12.5,
        "titleFontSize": 12.5,
        "labelLimit": 0,
        "titleLimit": 0,
        "labelOverlap": False,
        "labelFlush": False,
    }
    quiet: dict[str, Any] = {
        "domainColor": "currentColor",
        "domainOpacity": 0.4,
        "tickColor": "currentColor",
        "tickOpacity": 0.4,
    }
    grid: dict[str, Any] = {"gridColor": "currentColor", "gridOpacity": 0.1}
    config = alt.Config(
        font=FONT,
        background="transparent",
        padding=2,
        axis=alt.AxisConfig(aria=False, titleFontWeight="normal", **text, **quiet, **grid),
        view=alt.ViewConfig(stroke=None),
        line=alt.LineConfig(strokeWidth=1.8, strokeJoin="round"),
    )
    made: Mapping[str, Any] = config.to_dict()
    return made

"""One picture on its way to SVG: Altair makes the specification, vl-convert draws it.

Altair's charts (`alt.Chart` and the like) copy all that they hold at every call, and check it against a schema of
36,000 lines. Made of its plain classes, unchecked, a picture takes a third of the time: 0.02 s less for each of the
3,000 of a thousand runs. A test checks what is made here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Sheet", "blank_sheet"]

FONT = "system-ui, sans-serif"


@contextmanager
def blank_sheet() -> Iterator[Sheet]:
    """Give a sheet to draw on; while it is in use Altair does not check each object that it makes."""
    import altair  # half a second that text and JSON need not pay
    from altair.utils.schemapi import debug_mode

    with debug_mode(False):
        yield Sheet(altair)


class Sheet:
    """Altair's classes of a specification (`alt`), and the numbers of one picture beside them."""

    def __init__(self, alt: Any) -> None:
        self.alt = alt
        self.numbers: dict[str, list[dict[str, Any]]] = {}

    def layer(self, rows: list[dict[str, Any]], mark: dict[str, Any], **channels: Any) -> Any:
        """Return one layer: a mark at each of some rows."""
        name = f"n{len(self.numbers)}"
        self.numbers[name] = rows
        return self.alt.UnitSpec(
            data=self.alt.NamedData(name=name),
            mark=self.alt.MarkDef(aria=False, **mark),
            encoding=self.alt.Encoding(**channels),
        )

    def svg(self, *plots: Any) -> str:
        """Return the picture of plots, one below the other, that share their horizontal axis."""
        import vl_convert

        spec = {
            "$schema": self.alt.SCHEMA_URL,
            "config": _config(self.alt).to_dict(),
            "datasets": self.numbers,
            "vconcat": [plot.to_dict(validate=False) for plot in plots],
            "spacing": 10,
            "bounds": "flush",
            "resolve": {"scale": {"x": "shared"}},
        }
        return str(vl_convert.vegalite_to_svg(spec))


def _config(alt: Any) -> Any:
    text = {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "labelFontSize": 12.5,
        "titleFontSize": 12.5,
    }
    quiet = {
        "domainColor": "currentColor",
        "domainOpacity": 0.4,
        "tickColor": "currentColor",
        "tickOpacity": 0.4,
    }
    grid = {"gridColor": "currentColor", "gridOpacity": 0.1}
    return alt.Config(
        font=FONT,
        background="transparent",
        padding=2,
        axis=alt.AxisConfig(aria=False, titleFontWeight="normal", **text, **quiet, **grid),
        view=alt.ViewConfig(stroke=None),
        line=alt.LineConfig(strokeWidth=1.8, strokeJoin="round"),
    )

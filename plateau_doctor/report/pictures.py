"""Drawings as static SVG: Altair makes the specification, vl-convert the picture.

Colors are CSS variables with a fallback, so that one picture serves light, dark and print; the font is named,
since vl-convert measures the labels with it. No clip paths or gradients: their ids would collide on one page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["LOOKS", "Band", "Drawing", "Stroke", "curves", "heat_map"]

WIDTH, HEIGHT, STRIP = 420, 200, 48  # pixels of the plot, without axes
LABELS = 46  # pixels kept for the labels of a vertical axis, so that stacked plots line up
ROW, SHORTEST = 15, 80  # pixels of one layer in the heat map, and of the map at least
LONGEST_NAME, WIDE_LETTER = 120, 7.5  # pixels; a browser's font may be wider than the one measured with
DENSE = 150  # points from which a line is drawn thin and whole
FONT = "system-ui, sans-serif"
LOOKS = {
    "train": ("var(--s1,#2a6fdb)", [1, 0]),
    "validation": ("var(--s2,#b4530a)", [5, 3]),
    "control": ("var(--s1,#2a6fdb)", [1, 0]),
    "treated": ("var(--s2,#b4530a)", [5, 3]),
    "rate": ("currentColor", [1, 0]),
}
LOST = "\N{MULTIPLICATION SIGN}"  # stands where a number is NaN or Inf
BAD = "var(--bad,#c0262d)"


@dataclass(frozen=True, eq=False)
class Stroke:
    """One line: x and y of shape (n,), and its look."""

    x: np.ndarray
    y: np.ndarray
    look: str


@dataclass(frozen=True)
class Band:
    """A shaded stretch of the horizontal axis."""

    start: float
    end: float


@dataclass(frozen=True, eq=False)
class Drawing:
    """A plot of curves: its axes, lines, shaded bands, places of lost points, and a strip below or None."""

    title: str
    axis: str
    strokes: tuple[Stroke, ...]
    bands: tuple[Band, ...]
    lost: tuple[float, ...]
    log: bool
    strip: Stroke | None


def curves(drawing: Drawing) -> str:
    """Return the SVG of a plot of curves."""
    alt = _altair()
    layers = [_band(alt, drawing)] if drawing.bands else []
    layers += [_line(alt, stroke, drawing) for stroke in drawing.strokes]
    layers += [_lost(alt, drawing)] if drawing.lost else []
    main = alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)
    if drawing.strip is None:
        return _svg(alt, main)
    strip = _strip(alt, drawing.strip, drawing).properties(width=WIDTH, height=STRIP)
    return _svg(alt, alt.vconcat(main, strip, spacing=10, bounds="flush").resolve_scale(x="shared"))


def heat_map(
    logs: np.ndarray, steps: Sequence[float], layers: Sequence[str], ends: tuple[float, float]
) -> str:
    """Return the SVG of log10 norms of shape (steps, layers), colored between `ends`; NaN is a cross."""
    alt = _altair()
    cells = [
        {"x": i, "layer": j, "value": float(logs[i, j])}
        for i in range(len(steps))
        for j in range(len(layers))
    ]
    low, high = ends if ends[0] < ends[1] else (ends[0] - 0.5, ends[0] + 0.5)
    across = alt.X("x:O", title="step", axis=_axis_of_names(alt, [f"{step:.0f}" for step in steps], 5, 80))
    down = alt.Y("layer:O", title=None, axis=_axis_of_names(alt, layers, len(layers), LONGEST_NAME))
    color = alt.Color(
        "value:Q", legend=None, scale=alt.Scale(domain=[low, high], scheme="viridis", clamp=True)
    )
    known = alt.Data(values=[cell for cell in cells if math.isfinite(cell["value"])])
    lost = alt.Data(values=[{**cell, "value": None} for cell in cells if not math.isfinite(cell["value"])])
    rects = alt.Chart(known).mark_rect(aria=False).encode(x=across, y=down, color=color)
    cross = alt.Chart(lost).mark_text(text=LOST, color=BAD, aria=False).encode(x=across, y=down)
    size = {
        "width": WIDTH + LABELS - _extent(layers, LONGEST_NAME),
        "height": max(SHORTEST, ROW * len(layers)),
    }
    return _svg(alt, alt.layer(rects, cross).properties(**size))


def _altair() -> Any:
    """Import Altair when a chart is drawn; half a second that text and JSON need not pay."""
    import altair

    return altair


def _axis_of_names(alt: Any, names: Sequence[str], most: int, limit: int) -> Any:
    """Return an axis that stands at 0, 1, 2 ... and is labeled with at most `most` of the names."""
    every = max(1, math.ceil(len(names) / most))
    return alt.Axis(
        values=list(range(0, len(names), every)),
        labelExpr=f"({_quoted(names)})[datum.value]",
        labelLimit=limit,
        labelAngle=0,
        labelPadding=6,
        ticks=False,
        domain=False,
        **({"minExtent": _extent(names, limit)} if every == 1 and most == len(names) else {}),
    )


def _extent(names: Sequence[str], limit: int) -> float:
    """Return the pixels that the longest name takes, at most `limit`."""
    return min(float(limit), WIDE_LETTER * max(len(name) for name in names)) + 8


def _quoted(names: Sequence[str]) -> str:
    """Return names as a list of Vega's expression language; JSON is one, and ends every text safely."""
    import json

    return json.dumps(list(names))


def _x(alt: Any, drawing: Drawing, labels: bool) -> Any:
    last = max(float(stroke.x[-1]) for stroke in drawing.strokes)
    short = {"format": "~s"} if last >= 1e4 else {}
    axis = alt.Axis(labels=labels, ticks=labels, tickCount=6, grid=False, **short)
    return alt.X(
        "x:Q", title=drawing.axis if labels else None, scale=alt.Scale(zero=False, nice=False), axis=axis
    )


def _y(alt: Any, drawing: Drawing) -> Any:
    low = min(float(stroke.y.min()) for stroke in drawing.strokes)
    high = max(float(stroke.y.max()) for stroke in drawing.strokes)
    largest = max(abs(low), abs(high))
    marks: dict[str, Any] = {"tickCount": 5}
    if drawing.log:
        marks = {"values": _powers_of_ten(low, high), "format": "~g"}
    elif largest >= 1e5 or largest < 1e-2:
        marks = {"tickCount": 5, "format": ".1~e"}
    axis = alt.Axis(minExtent=LABELS, maxExtent=LABELS, **marks)
    scale = alt.Scale(type="log" if drawing.log else "linear", zero=False, nice=not drawing.log)
    return alt.Y("y:Q", title=drawing.title, axis=axis, scale=scale)


def _powers_of_ten(low: float, high: float) -> list[float]:
    """Return at most about six powers of ten between two positive numbers."""
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    return [10.0**power for power in range(first, last + 1, max(1, math.ceil((last - first) / 6)))]


def _line(alt: Any, stroke: Stroke, drawing: Drawing) -> Any:
    color, dash = LOOKS[stroke.look]
    dense = len(stroke.x) > DENSE
    look = {"strokeWidth": 1} if dense else {"strokeDash": dash}
    x = _x(alt, drawing, labels=drawing.strip is None)
    return (
        alt.Chart(_points(alt, stroke))
        .mark_line(color=color, aria=False, **look)
        .encode(x=x, y=_y(alt, drawing))
    )


def _strip(alt: Any, stroke: Stroke, drawing: Drawing) -> Any:
    low, high = float(stroke.y.min()), float(stroke.y.max())
    log = low > 0 and high > 30 * low
    domain = [low, high] if high > low else [low - abs(low) / 2 - 1e-12, low + abs(low) / 2 + 1e-12]
    axis = alt.Axis(
        values=sorted({low, high}), format=".2~g", minExtent=LABELS, maxExtent=LABELS, labelOverlap="greedy"
    )
    y = alt.Y(
        "y:Q",
        title="rate",
        axis=axis,
        scale=alt.Scale(type="log" if log else "linear", domain=domain, nice=False),
    )
    mark = alt.Chart(_points(alt, stroke)).mark_line(
        color=LOOKS["rate"][0], interpolate="step-after", aria=False
    )
    return mark.encode(x=_x(alt, drawing, labels=True), y=y)


def _band(alt: Any, drawing: Drawing) -> Any:
    data = alt.Data(values=[{"x": band.start, "x2": band.end} for band in drawing.bands])
    x = _x(alt, drawing, labels=drawing.strip is None)
    return alt.Chart(data).mark_rect(color="currentColor", opacity=0.08, aria=False).encode(x=x, x2="x2:Q")


def _lost(alt: Any, drawing: Drawing) -> Any:
    data = alt.Data(values=[{"x": x} for x in drawing.lost])
    mark = alt.Chart(data).mark_text(text=LOST, color=BAD, fontSize=13, aria=False)
    return mark.encode(x=_x(alt, drawing, labels=drawing.strip is None), y=alt.value(6))


def _points(alt: Any, stroke: Stroke) -> Any:
    pairs = zip(stroke.x.tolist(), stroke.y.tolist(), strict=True)
    return alt.Data(values=[{"x": x, "y": y} for x, y in pairs])


def _svg(alt: Any, chart: Any) -> str:
    import vl_convert

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
    config = alt.Config(
        font=FONT,
        background="transparent",
        padding=2,
        axis=alt.AxisConfig(aria=False, titleFontWeight="normal", **text, **quiet, **grid),
        view=alt.ViewConfig(stroke=None),
        line=alt.LineConfig(strokeWidth=1.8, strokeJoin="round"),
    )
    chart.config = config
    return str(vl_convert.vegalite_to_svg(chart.to_dict(validate=False)))

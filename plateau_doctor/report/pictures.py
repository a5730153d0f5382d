"""Drawings as static SVG: Altair makes the specification, vl-convert the picture.

Colors are CSS variables with a fallback, so that one picture serves light, dark and print; the font is named,
since vl-convert measures the labels with it. No clip paths or gradients: their ids would collide on one page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from plateau_doctor.report.sheet import Sheet, blank_sheet

__all__ = ["LOOKS", "Band", "Drawing", "Mark", "Other", "Stroke", "curves", "heat_map"]

WIDTH, HEIGHT, STRIP = 420, 200, 48  # pixels of the plot, without axes
LABELS = 54  # pixels kept for the labels of a vertical axis, so that stacked plots line up
ROW, SHORTEST = 15, 80  # pixels of one layer in the heat map, and of the map at least
WIDE_LETTER = 7.5  # pixels; a browser's font may be wider than the one measured with
TICKS = 4  # about so many labels an axis; each costs a millisecond
DENSE = 150  # points from which a line is drawn thin and whole
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
    """One line: x and y of shape (n,), its look, and whether it stays faint behind a smoother one."""

    x: np.ndarray
    y: np.ndarray
    look: str
    faint: bool = False


@dataclass(frozen=True)
class Band:
    """A shaded stretch of the horizontal axis."""

    start: float
    end: float


@dataclass(frozen=True)
class Mark:
    """Something that happened at a place: a circle at (x, y) for the best point, else a line from top to bottom."""

    kind: Literal["best", "restart", "rate"]
    x: float
    y: float = 0.0


@dataclass(frozen=True)
class Other:
    """The axis that is not drawn, told below the one that is: its name, and its value as start + slope x."""

    name: str
    start: float
    slope: float


@dataclass(frozen=True, eq=False)
class Drawing:
    """A plot of curves: its axes, lines, shaded bands, places of lost points, and a strip below or None.

    The vertical axis is named by what stands above the picture.
    """

    axis: str
    strokes: tuple[Stroke, ...]
    bands: tuple[Band, ...]
    lost: tuple[float, ...]
    log: bool
    strip: Stroke | None
    marks: tuple[Mark, ...] = ()
    other: Other | None = None


def curves(drawing: Drawing) -> str:
    """Return the SVG of a plot of curves."""
    with blank_sheet() as sheet:
        plots = [sheet.alt.LayerSpec(layer=_layers(sheet, drawing), width=WIDTH, height=HEIGHT)]
        if drawing.strip is not None:
            strip = _strip(sheet, drawing.strip, _x(sheet, drawing, labels=True))
            plots.append(sheet.alt.LayerSpec(layer=[strip], width=WIDTH, height=STRIP))
        return sheet.svg(*plots)


def _layers(sheet: Sheet, drawing: Drawing) -> list[Any]:
    """Return what lies over each other in the main plot, the backmost first."""
    x, y = _x(sheet, drawing, labels=drawing.strip is None), _y(sheet, drawing)
    layers = [_band(sheet, drawing, x)] if drawing.bands else []
    layers += [_rule(sheet, mark, x) for mark in drawing.marks if mark.kind != "best"]
    layers += [_line(sheet, stroke, x, y) for stroke in drawing.strokes]
    layers += [_best(sheet, mark, x, y) for mark in drawing.marks if mark.kind == "best"]
    return layers + ([_lost(sheet, drawing, x)] if drawing.lost else [])


def heat_map(
    logs: np.ndarray, steps: Sequence[float], layers: Sequence[str], ends: tuple[float, float]
) -> str:
    """Return the SVG of log10 norms of shape (steps, layers), colored between `ends`; NaN is a cross."""
    low, high = ends if ends[0] < ends[1] else (ends[0] - 0.5, ends[0] + 0.5)
    columns, rows = logs.shape
    cells = [{"x": i, "layer": j, "value": float(logs[i, j])} for i in range(columns) for j in range(rows)]
    known = [cell for cell in cells if math.isfinite(cell["value"])]
    lost = [{**cell, "value": None} for cell in cells if not math.isfinite(cell["value"])]
    width = max(1, round((WIDTH + LABELS - _extent(layers)) / columns)) * columns  # no fractions
    height = max(SHORTEST, ROW * rows)
    with blank_sheet() as sheet:
        alt = sheet.alt
        below = _axis_of_names(sheet, [f"{step:.{_digits(steps)}f}" for step in steps], 5)
        beside = _axis_of_names(sheet, layers, rows)
        x = alt.X(field="x", type="ordinal", title="step", axis=below)
        y = alt.Y(field="layer", type="ordinal", title=None, axis=beside)
        scale = alt.Scale(domain=_ends(sheet, low, high), scheme="viridis", clamp=True)
        color = alt.Color(field="value", type="quantitative", legend=None, scale=scale)
        rects = sheet.layer(known, {"type": "rect"}, x=x, y=y, color=color)
        cross = sheet.layer(lost, {"type": "text", "text": LOST, "color": BAD}, x=x, y=y)
        return sheet.svg(alt.LayerSpec(layer=[rects, cross], width=width, height=height))


def _digits(steps: Sequence[float]) -> int:
    """Return how many digits behind the point tell steps apart: none of whole ones, as counted by updates."""
    width = (max(steps) - min(steps)) / max(1, len(steps) - 1)
    return 0 if width >= 1 or width == 0 else min(3, math.ceil(-math.log10(width)))


def _axis_of_names(sheet: Sheet, names: Sequence[str], most: int) -> Any:
    """Return an axis that stands at 0, 1, 2 ... and is labeled with at most `most` of the names."""
    every = max(1, math.ceil(len(names) / most))
    return sheet.alt.Axis(
        values=list(range(0, len(names), every)),
        labelExpr=f"{sheet.value(list(names))}[datum.value]",
        labelAngle=0,
        labelPadding=6,
        ticks=False,
        domain=False,
        **({"minExtent": _extent(names)} if every == 1 and most == len(names) else {}),
    )


def _extent(names: Sequence[str]) -> float:
    """Return the pixels that the longest name takes."""
    return WIDE_LETTER * max(len(name) for name in names) + 8


def _x(sheet: Sheet, drawing: Drawing, labels: bool) -> Any:
    alt, other = sheet.alt, drawing.other
    last = max(float(stroke.x[-1]) for stroke in drawing.strokes)
    form = "~s" if last >= 1e4 else ",~f"
    says = {"labelExpr": f"format(datum.value, '{form}')"}  # as a format, s would give 0 a unit too
    title = drawing.axis
    if other is not None:
        whole = ",.0f" if other.start + other.slope * last >= 10 else ".1~f"
        start, slope = sheet.value(other.start), sheet.value(other.slope)
        value = f"max(0, {start} + {slope} * datum.value)"
        says = {
            "labelExpr": f"[format(datum.value, '{form}'), format({value}, {value} < 1e4 ? '{whole}' : '.2~s')]"
        }
        title = f"{drawing.axis} / {other.name}"
    axis = alt.Axis(labels=labels, ticks=labels, tickCount=TICKS, grid=False, **(says if labels else {}))
    scale = alt.Scale(zero=False, nice=False)
    return alt.X(field="x", type="quantitative", title=title if labels else None, scale=scale, axis=axis)


def _y(sheet: Sheet, drawing: Drawing) -> Any:
    alt = sheet.alt
    low = min(float(stroke.y.min()) for stroke in drawing.strokes)
    high = max(float(stroke.y.max()) for stroke in drawing.strokes)
    largest = max(abs(low), abs(high))
    marks: dict[str, Any] = {"tickCount": TICKS}
    if drawing.log:
        marks = {
            "values": alt.ExprRef(sheet.value(_powers_of_ten(low, high))),
            "format": "~e" if low < 1e-3 else "~g",
        }
    elif largest >= 1e5 or largest < 1e-2:
        marks = {"tickCount": TICKS, "format": ".1~e"}
    axis = alt.Axis(minExtent=LABELS, maxExtent=LABELS, **marks)
    scale = alt.Scale(type="log" if drawing.log else "linear", zero=False, nice=not drawing.log)
    return alt.Y(field="y", type="quantitative", title=None, axis=axis, scale=scale)


def _powers_of_ten(low: float, high: float) -> list[float]:
    """Return at most about six powers of ten between two positive numbers."""
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    return [10.0**power for power in range(first, last + 1, max(1, math.ceil((last - first) / 6)))]


def _line(sheet: Sheet, stroke: Stroke, x: Any, y: Any) -> Any:
    color, dash = LOOKS[stroke.look]
    mark: dict[str, Any] = {"type": "line", "color": color, "opacity": 0.35 if stroke.faint else 1}
    mark |= {"strokeWidth": 1} if len(stroke.x) > DENSE else {"strokeDash": dash}
    return sheet.layer(_points(stroke), mark, x=x, y=y)


def _rule(sheet: Sheet, mark: Mark, x: Any) -> Any:
    dash = [6, 3] if mark.kind == "restart" else [1, 3]
    look = {"color": "currentColor", "opacity": 0.6, "strokeDash": dash, "strokeWidth": 1.2}
    return sheet.layer([{"x": mark.x}], {"type": "rule", **look}, x=x)


def _best(sheet: Sheet, mark: Mark, x: Any, y: Any) -> Any:
    look = {"color": LOOKS["validation"][0], "size": 70, "strokeWidth": 2, "opacity": 1}
    return sheet.layer([{"x": mark.x, "y": mark.y}], {"type": "point", **look}, x=x, y=y)


def _strip(sheet: Sheet, stroke: Stroke, x: Any) -> Any:
    alt = sheet.alt
    low, high = float(stroke.y.min()), float(stroke.y.max())
    log = low > 0 and high > 30 * low
    domain = [low, high] if high > low else [low - abs(low) / 2 - 1e-12, low + abs(low) / 2 + 1e-12]
    short = ".1~e" if 0 < low < 1e-3 else ".2~g"
    values = alt.ExprRef(sheet.value(sorted({low, high})))
    axis = alt.Axis(values=values, format=short, minExtent=LABELS, maxExtent=LABELS)
    scale = alt.Scale(type="log" if log else "linear", domain=_ends(sheet, *domain), nice=False)
    y = alt.Y(field="y", type="quantitative", title=None, axis=axis, scale=scale)
    mark = {"type": "line", "color": LOOKS["rate"][0], "interpolate": "step-after"}
    return sheet.layer(_points(stroke), mark, x=x, y=y)


def _ends(sheet: Sheet, low: float, high: float) -> list[Any]:
    """Return the domain of a scale."""
    return [sheet.alt.ExprRef(sheet.value(end)) for end in (low, high)]


def _band(sheet: Sheet, drawing: Drawing, x: Any) -> Any:
    rows = [{"x": band.start, "x2": band.end} for band in drawing.bands]
    mark = {"type": "rect", "color": "currentColor", "opacity": 0.08}
    return sheet.layer(rows, mark, x=x, x2=sheet.alt.X2(field="x2"))


def _lost(sheet: Sheet, drawing: Drawing, x: Any) -> Any:
    mark = {"type": "text", "text": LOST, "color": BAD, "fontSize": 13}
    return sheet.layer([{"x": x} for x in drawing.lost], mark, x=x, y=sheet.alt.YValue(6))


def _points(stroke: Stroke) -> list[dict[str, Any]]:
    return [{"x": x, "y": y} for x, y in zip(stroke.x.tolist(), stroke.y.tolist(), strict=True)]

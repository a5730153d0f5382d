"""What is drawn of a run's curves: their plateaus, best points, restarts and steps of the learning rate.

Only what is drawn is thinned, to about 500 points a curve; every chart says how much that is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from plateau_doctor.facts import Logged
from plateau_doctor.facts.gap import same_metrics
from plateau_doctor.letters import visible
from plateau_doctor.plateau import Plateau
from plateau_doctor.report import marks, pictures
from plateau_doctor.report.pictures import Band, Drawing, Stroke
from plateau_doctor.series import Curve

__all__ = ["Chart", "Key", "curve_charts", "sparkline", "spread", "trial_chart"]

MOST_POINTS = 500  # drawn of one curve
MOST_OF_TREND = 60  # drawn of the line before a noisy one
MOST_BANDS = 6
MOST_MARKS = 60
DECADES_FOR_LOG = 2.0
PANELS: Mapping[str, Mapping[str, tuple[str, str]]] = {  # title -> role -> name in the key, look
    "Reward": {"reward": ("reward", "train")},  # what an agent is judged by
    "Loss": {"train_loss": ("training", "train"), "val_loss": ("validation", "validation")},
    "Metric": {"train_metric": ("training", "train"), "val_metric": ("validation", "validation")},
}
APART: Mapping[str, Mapping[str, tuple[str, str]]] = {  # metrics that no axis could hold together
    "Metric": {"val_metric": ("validation", "validation")},
    "Training metric": {"train_metric": ("training", "train")},
}
ROLES_DRAWN: Mapping[str, str] = {  # of trials, the first that there is
    "val_loss": "Validation loss",
    "train_loss": "Training loss",
    "val_metric": "Validation metric",
}


@dataclass(frozen=True)
class Key:
    """One entry of a chart's key: its name, how it looks, and the tag it was logged under."""

    name: str
    look: str
    tag: str = ""


@dataclass(frozen=True)
class Chart:
    """One picture for the page.

    Attributes:
        title: What it shows.
        svg: The picture, safe to put into HTML as it is.
        label: The same in words, for a screen reader.
        keys: What its lines or colors mean.
        notes: What is drawn of how much, and what could not be.
        drawn: Points drawn, of all curves.
        points: Points logged.
    """

    title: str
    svg: str
    label: str
    keys: tuple[Key, ...]
    notes: tuple[str, ...]
    drawn: int
    points: int


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def curve_charts(logged: Logged, plateaus: Sequence[Plateau]) -> tuple[Chart, ...]:
    """Return a chart of the reward, of the losses and of the metrics, each where it was logged."""
    panels = PANELS if same_metrics(logged) else {**PANELS, **APART}
    charts = (_curve_chart(title, looks, logged, plateaus) for title, looks in panels.items())
    return tuple(chart for chart in charts if chart is not None)


def trial_chart(fix: str, control: Sequence[Logged], treated: Sequence[Logged]) -> Chart | None:
    """Return the curves of control and treated arms of a fix, one line a seed; None where they have none.

    Drawn is the validation loss, else the training loss, else a validation metric.
    """
    for role in ROLES_DRAWN:
        sides = {
            look: [curve for arm in arms if (curve := _drawable(arm, role)) is not None]
            for look, arms in (("control", control), ("treated", treated))
        }
        if all(sides.values()):
            break
    else:
        return None
    curves = [curve for side in sides.values() for curve in side]
    axis = _axis(curves)
    strokes = tuple(_stroke(curve, axis, look) for look, side in sides.items() for curve in side)
    drawing = Drawing(axis, strokes, (), (), _spans_decades(curves), None)
    ends = {look: float(np.mean([curve.values[-1] for curve in side])) for look, side in sides.items()}
    return Chart(
        f"{ROLES_DRAWN[role]}, control and {fix}",
        pictures.curves(drawing),
        f"{ROLES_DRAWN[role]} by {axis}: control ends at {ends['control']:.3g}, with {fix} at {ends['treated']:.3g}.",
        tuple(
            Key(name, look, side[0].tag)
            for (look, side), name in zip(sides.items(), ("control", fix), strict=True)
        ),
        (
            f"one line a seed, {len(sides['control'])} and {len(sides['treated'])}",
            *(["log scale"] if drawing.log else []),
        ),
        sum(len(stroke.x) for stroke in strokes),
        sum(len(curve.values) for curve in curves),
    )


def sparkline(values: np.ndarray, width: int = 96, height: int = 24, most: int = 48) -> str:
    """Return the `d` of an SVG path that sketches a curve of shape (n,); empty for fewer than two points."""
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return ""
    picked = values[spread(len(values), most)]
    low, high = float(picked.min()), float(picked.max())
    share = (picked / 2 - low / 2) / (high / 2 - low / 2) if high > low else np.full(len(picked), 0.5)
    x, y = np.linspace(1, width - 1, len(picked)), height - 2 - (height - 4) * share
    return "M" + "L".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))


def _curve_chart(
    title: str, looks: Mapping[str, tuple[str, str]], logged: Logged, plateaus: Sequence[Plateau]
) -> Chart | None:
    curves = {role: curve for role in looks if (curve := _drawable(logged, role)) is not None}
    if not curves:
        return None
    rate = _drawable(logged, "learning_rate") if title == "Loss" else None
    axis = _axis([*curves.values(), *([rate] if rate else [])])
    raw = [_stroke(curve, axis, looks[role][1]) for role, curve in curves.items()]
    trends = [_trend(curve, axis, stroke) for curve, stroke in zip(curves.values(), raw, strict=True)]
    marked = [
        *marks.best_of(curves, axis),
        *marks.restarts(logged, list(curves.values()), axis),
        *marks.steps_of_rate(rate, axis),
    ]
    bands, flat = _bands(curves, plateaus, axis)
    drawing = Drawing(
        axis=axis,
        strokes=(*(_behind(s, t) for s, t in zip(raw, trends, strict=True)), *(t[0] for t in trends if t)),
        bands=tuple(bands),
        lost=tuple(x for curve in curves.values() for x in _lost_at(logged, curve, axis)),
        log=title == "Loss" and _spans_decades(list(curves.values())),
        strip=_corners(_stroke(rate, axis, "rate")) if rate else None,
        marks=tuple(marked),
        other=marks.other_axis(max(curves.values(), key=lambda curve: len(curve.steps)), axis),
    )
    of_rate = [Key("learning rate, below", "rate", rate.tag)] if rate else []
    drawn, points = sum(len(s.x) for s in raw), sum(len(curve.values) for curve in curves.values())
    said = [f"shaded: {looks[flat][0]} is flat"] if flat is not None and bands else []
    said += _curve_notes(curves, drawing, [t[1] for t in trends if t])
    said += [f"{drawn:,} of {points:,} points drawn"] if drawn < points else []
    return Chart(
        title,
        pictures.curves(drawing),
        _words(title, curves, drawing),
        (*(Key(*looks[role], curve.tag) for role, curve in curves.items()), *of_rate),
        tuple(said),
        drawn,
        points,
    )


def _trend(curve: Curve, axis: str, raw: Stroke) -> tuple[Stroke, int] | None:
    """Return the line that is drawn before a noisy one, and over how many points it is a median."""
    x = np.asarray(curve.epochs if axis == "epoch" else curve.steps, dtype=float)
    found = marks.trend(curve, x)
    if found is None:
        return None
    at = spread(len(x), MOST_OF_TREND)
    return Stroke(x[at], found[0][at], raw.look), found[1]


def _behind(raw: Stroke, trend: object) -> Stroke:
    return replace(raw, faint=trend is not None)


def _drawable(logged: Logged, role: str) -> Curve | None:
    """Return the curve of a role, None with fewer than two points at finite steps."""
    curve = logged.any_curve(role)
    return curve if curve is not None and int(np.isfinite(curve.steps).sum()) >= 2 else None


def _axis(curves: Sequence[Curve]) -> str:
    """Return the axis that all curves share.

    `step` where they end at like steps (called `epoch` where the steps are epochs), else `epoch` where all
    have epochs, else `step`.
    """
    ends = [float(curve.steps[-1]) for curve in curves]
    epochs = all(np.isfinite(curve.epochs).all() and len(np.unique(curve.epochs)) > 2 for curve in curves)
    same = all(np.array_equal(curve.epochs, curve.steps) for curve in curves)
    return "epoch" if epochs and (same or min(ends) < 0.5 * max(ends)) else "step"


def _stroke(curve: Curve, axis: str, look: str) -> Stroke:
    x = np.ascontiguousarray(curve.epochs if axis == "epoch" else curve.steps, dtype=float)
    there = np.isfinite(x)
    x, y = x[there], np.ascontiguousarray(curve.values, dtype=float)[there]
    kept = _thinned(x, y)
    return Stroke(x[kept], y[kept], look)


def _corners(line: Stroke) -> Stroke:
    """Return a line without the points between two like ones: a rate that stands still is two points."""
    same = line.y[1:] == line.y[:-1]
    kept = ~np.r_[False, same[:-1] & same[1:], False] if len(line.y) > 2 else np.ones(len(line.y), dtype=bool)
    return Stroke(line.x[kept], line.y[kept], line.look)


def _thinned(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the indices of about 500 points that keep a curve's shape and extremes.

    Source: MinMaxLTTB, Van Der Donckt et al. 2023, arXiv:2305.00332.
    """
    if len(y) <= MOST_POINTS:
        return np.arange(len(y))
    import tsdownsample

    thinner: Any = tsdownsample.MinMaxLTTBDownsampler
    return np.asarray(thinner().downsample(x, y, n_out=MOST_POINTS), dtype=np.int64)


def _bands(
    curves: Mapping[str, Curve], plateaus: Sequence[Plateau], axis: str
) -> tuple[list[Band], str | None]:
    """Return the flat stretches of the first curve that has any, the last ones of many, and its role."""
    for role, curve in curves.items():
        flat = [p for p in plateaus if p.series == role and p.tag == curve.tag and math.isfinite(p.level)]
        if flat:
            x = curve.epochs if axis == "epoch" else curve.steps
            ends = [np.interp((p.start_step, p.end_step), curve.steps, x) for p in flat[-MOST_BANDS:]]
            return [Band(float(start), float(end)) for start, end in ends if math.isfinite(end - start)], role
    return [], None


def _lost_at(logged: Logged, curve: Curve, axis: str) -> list[float]:
    """Return where points are NaN or Inf."""
    if not curve.lost[0]:
        return []
    rows = logged.rows(curve.tag)
    lost = rows["live"].to_numpy(dtype=bool) & ~np.isfinite(rows["value"].to_numpy(dtype=float))
    at = rows[axis].to_numpy(dtype=float)[lost]
    at = at[np.isfinite(at)]
    return [float(x) for x in at[spread(len(at), MOST_MARKS)]]


def _spans_decades(curves: Sequence[Curve]) -> bool:
    low = min(float(curve.values.min()) for curve in curves)
    high = max(float(curve.values.max()) for curve in curves)
    return low > 0 and math.log10(high) - math.log10(low) > DECADES_FOR_LOG


def spread(n: int, most: int) -> np.ndarray:
    """Return at most `most` of the indices 0..n-1, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)) if n else np.arange(0)


def _words(title: str, curves: Mapping[str, Curve], drawing: Drawing) -> str:
    parts = [
        f"{visible(curve.tag)} from {curve.values[0]:.3g} to {curve.values[-1]:.3g}"
        for curve in curves.values()
    ]
    flat = [f"flat from {drawing.axis} {band.start:.0f} to {band.end:.0f}" for band in drawing.bands]
    return f"{title} by {drawing.axis}: {', '.join([*parts, *flat])}."


def _curve_notes(curves: Mapping[str, Curve], drawing: Drawing, windows: Sequence[int]) -> list[str]:
    notes = ["log scale"] if drawing.log else []
    notes += marks.says(drawing.marks, drawing.axis)
    notes += [f"faint: as logged; strong: median of {max(windows):,} points"] if windows else []
    for curve in curves.values():
        if curve.lost[0]:
            lost = f"{curve.lost[0]:,} points of {visible(curve.tag)}"
            notes.append(f"{lost} are NaN or Inf, marked at the top")
    return notes

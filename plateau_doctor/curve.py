"""The short-hand for examples in rule files, after promtool's: `2.3-0.1x15 0.8x30~0.002`.

Terms are set apart by blanks. `v` is one point, `vxn` n points of v, `a+bxn` a and n more points b apart,
`a*fxn` a and n more, each times f, `(p q)xn` the group n times; `~s` behind a term adds noise of that
standard deviation.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping

import numpy as np

from plateau_doctor.letters import RuleError
from plateau_doctor.run import Run, histogram_frame, scalar_frame

__all__ = ["example_run", "points"]

MOST_POINTS = 100_000
LAYERED = {
    "grad_norm": "layer_grad_norm",
    "weight_norm": "layer_weight_norm",
    "update_ratio": "layer_update_ratio",
}
HISTOGRAM_COLUMNS = ("zeros", "edge", "norm", "mean", "std", "low", "high", "count")
ROLE_NAMES = {"lr": "learning_rate", "balanced_accuracy": "other"}

_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+|nan|inf)"
_TERM = re.compile(
    rf"(?P<start>-?{_NUMBER})(?:(?P<op>[-+*])(?P<by>{_NUMBER}))?(?:x(?P<n>[0-9]+))?(?:~(?P<noise>{_NUMBER}))?$"
)
_GROUP = re.compile(r"\((?P<inside>[^()]*)\)x(?P<n>[0-9]+)(?:~(?P<noise>[0-9.eE+-]+))?$")


def points(text: str, seed: str = "") -> np.ndarray:
    """Return the points that a curve's short-hand stands for, shape (n,).

    Args:
        text: The short-hand.
        seed: Names the noise: the same text and seed always give the same points.

    Raises:
        RuleError: A term that is not in the short-hand; the caret points at it.
    """
    rng = np.random.default_rng(zlib.crc32(seed.encode()))
    parts = [_part(match[0], text, match.start(), rng) for match in re.finditer(r"\([^)]*\)\S*|\S+", text)]
    if not parts:
        raise RuleError("a curve needs at least one point", source=text, column=0)
    return np.concatenate(parts)


def example_run(name: str, series: Mapping[str, str], settings: Mapping[str, float | str | bool]) -> Run:
    """Return the run that a rule's example describes.

    Args:
        name: The rule's and the example's name; seeds the noise.
        series: Role or layered name (`grad_norm/00_a`, `zeros/activation/00_a`, `recall/0`) -> short-hand. The
            key `axis` with the value `step` makes the axis count steps; else it counts epochs.
        settings: Hyper-parameters of the run.

    Raises:
        RuleError: A curve that is not in the short-hand.
    """
    curves = {key: points(text, f"{name}/{key}") for key, text in series.items() if key != "axis"}
    longest = max((len(curve) for curve in curves.values()), default=0)
    scalars: list[dict[str, object]] = []
    histograms: dict[tuple[str, str], list[dict[str, object]]] = {}
    for key, values in curves.items():
        steps = np.round(np.linspace(0, longest - 1, len(values)))
        column, _, rest = key.partition("/")
        if column in HISTOGRAM_COLUMNS:
            kind, _, layer = rest.partition("/")
            rows = [
                {"tag": f"{kind}s/{layer}", "layer": layer, "kind": kind, "step": s, column: v}
                for s, v in zip(steps, values, strict=True)
            ]
            histograms[kind, layer] = _merged(histograms.get((kind, layer)), rows)
            continue
        epochs = np.full(len(steps), np.nan) if series.get("axis") == "step" else steps
        scalars.extend(
            {"tag": key, "role": role_in_example(key), "step": s, "epoch": e, "value": v}
            for s, e, v in zip(steps, epochs, values, strict=True)
        )
    rows = [row for kind in histograms.values() for row in kind]
    return Run(name, name, "example", scalar_frame(scalars), histogram_frame(rows), settings=dict(settings))


def role_in_example(key: str) -> str:
    """Return the role that a key of an example stands for."""
    head, slash, _ = key.partition("/")
    if slash:
        return LAYERED.get(head, "class_metric")
    return ROLE_NAMES.get(key, key)


def _merged(before: list[dict[str, object]] | None, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return histogram rows with the columns of both, where the example gives two columns of one histogram."""
    if before is None:
        return rows
    if len(before) != len(rows):
        raise RuleError("two columns of one histogram need equally many points")
    return [{**one, **other} for one, other in zip(before, rows, strict=True)]


def _part(term: str, text: str, column: int, rng: np.random.Generator) -> np.ndarray:
    group = _GROUP.match(term)
    if group:
        inside = points(group["inside"]) if group["inside"].strip() else np.empty(0)
        return _noisy(np.tile(inside, _count(group["n"], text, column)), group["noise"], rng)
    match = _TERM.match(term)
    if match is None:
        raise RuleError(
            f"{term!r} is no part of a curve",
            source=text,
            column=column,
            hint="expected v, vxn, a+bxn, a-bxn, a*fxn or (p q)xn, each with ~noise behind it if wanted",
        )
    start, n = float(match["start"]), _count(match["n"] or "1", text, column)
    if match["op"] is None:
        return _noisy(np.full(n, start), match["noise"], rng)
    more, by = np.arange(n + 1), float(match["by"])
    if match["op"] == "*":
        return _noisy(start * by**more, match["noise"], rng)
    return _noisy(start + (by if match["op"] == "+" else -by) * more, match["noise"], rng)


def _count(text: str, source: str, column: int) -> int:
    if len(text) > 6 or int(text) > MOST_POINTS:
        raise RuleError(f"a term has at most {MOST_POINTS} points", source=source, column=column)
    return int(text)


def _noisy(values: np.ndarray, noise: str | None, rng: np.random.Generator) -> np.ndarray:
    return values if noise is None else values + float(noise) * rng.standard_normal(len(values))

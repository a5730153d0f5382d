"""What one run logged, in the shapes that facts are computed from: curves, layers, settings."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Collection, Sequence
from functools import cached_property, lru_cache, wraps
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd

from plateau_doctor.names import Setting
from plateau_doctor.plateau import Plateau, find_plateaus
from plateau_doctor.roles import layer_of
from plateau_doctor.run import SCALAR_COLUMNS, Run, block_starts
from plateau_doctor.series import Curve, curve_from, finest_curve, median, primary_curve
from plateau_doctor.siblings import Siblings

__all__ = ["Logged", "remembered"]

Kept = TypeVar("Kept")

LAYERED = {
    "gradient": "layer_grad_norm",
    "weight": "layer_weight_norm",
    "update_ratio": "layer_update_ratio",
}
COARSE = ("train_loss", "val_loss", "val_metric", "train_metric")
_VECTOR = re.compile(r"bias|beta|gamma|moving_|running_|norm|(^|[/._])(bn|ln)[0-9]*([/._]|$)", re.IGNORECASE)


class Logged:
    """A run seen by its roles, and its siblings where there are any. All is computed at first use and kept."""

    def __init__(self, run: Run, siblings: Siblings | None = None) -> None:
        self.run = run
        self.siblings = siblings
        self._curves: dict[str, Curve | None] = {}
        self._wides: dict[tuple[str, str], pd.DataFrame | None] = {}
        self._plateaus: dict[str, tuple[Plateau, ...]] = {}
        self.kept: dict[object, Any] = {}  # what `remembered` functions returned; no siblings in it

    @classmethod
    def of(cls, run: Run | Logged) -> Logged:
        """Return what a run logged, or that itself where it was looked at already."""
        return run if isinstance(run, Logged) else cls(run)

    def among(self, siblings: Siblings | None) -> Logged:
        """Return the same with its siblings known; what was computed of the run alone stands."""
        one = copy.copy(self)
        one.siblings = siblings
        return one

    @property
    def tags(self) -> Collection[str]:
        """All tags, in the order logged."""
        return self._places

    def rows(self, tag: str) -> pd.DataFrame:
        """Return a tag's rows of `scalars`, dead ones too, in the order logged."""
        return self.run.scalars.iloc[self._places[tag]]

    def columns(self, tag: str) -> dict[str, np.ndarray]:
        """Return the same of one tag as arrays by the names of the columns: no frame is made."""
        places = self._places[tag]
        return {name: values[places] for name, values in self._columns.items()}

    def tags_of(self, role: str) -> Sequence[str]:
        """Return the tags that have a role."""
        return self._by_role.get(role, ())

    def column(self, name: str, tags: Sequence[str]) -> np.ndarray:
        """Return a column of all rows of some tags, dead ones too, in the order logged."""
        values, every = self._columns[name], np.arange(len(self._columns[name]))
        if len(tags) == 1:
            return np.asarray(values[self._places[tags[0]]])
        rows = np.concatenate([every[:0], *(every[self._places[tag]] for tag in tags)])
        return np.asarray(values[np.sort(rows)])

    def curve(self, role: str) -> Curve | None:
        """Return the curve of a role with at least three points, else None.

        The loss of an agent that logs its reward does not tell how well it does; it counts as not logged.
        """
        if role.endswith("_loss") and self.primary is not None and self.primary.role == "reward":
            return None
        curve = self.any_curve(role)
        return curve if curve is not None and len(curve.values) >= 3 else None

    def any_curve(self, role: str) -> Curve | None:
        """Return the curve of a role, however short; None without live rows."""
        if role not in self._curves:
            self._curves[role] = curve_from(role, self._live(role))
        return self._curves[role]

    def plateaus(self, role: str) -> tuple[Plateau, ...]:
        """Return the plateaus of a role's curve; empty where there is none."""
        if role not in self._plateaus:
            curve = self.curve(role)
            self._plateaus[role] = find_plateaus(curve) if curve is not None else ()
        return self._plateaus[role]

    @cached_property
    def primary(self) -> Curve | None:
        """The series that the state is judged by."""
        return primary_curve(self.run, self.any_curve)

    @cached_property
    def finest(self) -> Curve | None:
        """The training loss as often as it was logged: of single batches where they were, else as `curve`."""
        chosen = self.curve("train_loss")
        return None if chosen is None else finest_curve(chosen, self._live("train_loss"))

    @cached_property
    def epoch_length(self) -> float | None:
        """Steps of the finest training loss in an epoch, None where the log does not tell.

        From the epochs beside the steps, the setting `steps_per_epoch`, or the even spacing of a coarser curve.
        """
        fine = self.finest
        if fine is None:
            return None
        if self.counts_epochs:
            return 1.0
        lengths = [self.setting("steps_per_epoch"), *(self._spacing(role) for role in COARSE)]
        rough = _steps_an_epoch(fine)
        if rough is None:
            return next((one for one in lengths if one is not None and one >= 1), None)
        # an epoch that was logged as a whole number tells its length to a few steps alone
        return next((one for one in lengths if one is not None and 0.8 < one / rough < 1.25), rough)

    @cached_property
    def counts_epochs(self) -> bool:
        """Whether the steps of the training loss are epochs.

        Where the log has no epochs, held-out values at the same consecutive steps tell: nobody measures them after
        every batch.
        """
        train = self.curve("train_loss")
        held_out = self.curve("val_loss") or self.curve("val_metric")
        if train is None or np.isfinite(train.epochs).any():
            return train is not None and np.array_equal(train.steps, train.epochs)
        if held_out is None or len(train.steps) < 3:
            return False
        return np.array_equal(train.steps, held_out.steps) and bool(np.all(np.diff(train.steps) == 1))

    def _spacing(self, role: str) -> float | None:
        """Return the steps between two points of a curve, None where they are uneven or no coarser than batches."""
        curve, fine = self.curve(role), self.finest
        if curve is None or fine is None or 2 * len(curve.steps) > len(fine.steps):
            return None
        gaps = np.diff(curve.steps)
        return median(gaps) if np.ptp(gaps) <= 0.02 * median(gaps) else None

    def setting(self, *names: str) -> float | None:
        """Return the first of these settings that is a number; names are compared by their letters alone."""
        for name in names:
            value = self._settings.get(_letters_of(name))
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return float(value)
        return None

    def text(self, *names: str) -> str | None:
        """Return the first of these settings that is a text, in lower case."""
        for name in names:
            value = self.run.settings.get(name)
            if isinstance(value, str):
                return value.lower()
        return None

    def layers(self, kind: str) -> pd.DataFrame | None:
        """Return a frame of one value a layer and step: steps down, layers across in forward order.

        `kind` is `gradient`, `weight` or `update_ratio`; norms come from per-layer scalars, else from
        histograms. Biases and normalization parameters are left out where there are kernels. None with
        fewer than one layer.
        """
        if (kind, "") not in self._wides:
            self._wides[kind, ""] = self._layers(kind)
        return self._wides[kind, ""]

    def histogram_shares(self, kind: str, column: str) -> pd.DataFrame | None:
        """Return a summary column (`zeros`, `edge`, `std` ...) of one kind of histogram, steps x layers."""
        if (kind, column) not in self._wides:
            rows = self.run.histograms
            self._wides[kind, column] = _wide(rows[rows["kind"] == kind], column) if len(rows) else None
        return self._wides[kind, column]

    @cached_property
    def _settings(self) -> dict[str, Setting]:
        """The settings by the letters of their names."""
        return {_letters_of(key): value for key, value in self.run.settings.items()}

    @cached_property
    def _columns(self) -> dict[str, np.ndarray]:
        """The columns of `scalars`."""
        return {name: self.run.scalars[name].to_numpy() for name in SCALAR_COLUMNS}

    @cached_property
    def _places(self) -> dict[str, slice | np.ndarray]:
        """The rows of each tag, in the order logged."""
        column = self._columns["tag"]
        starts = block_starts(column)
        names = [str(tag) for tag in column[starts]]
        if len(names) == len(set(names)):  # each tag's rows lie together: nothing needs to be copied
            ends = [*starts[1:].tolist(), len(column)][: len(starts)]
            return dict(zip(names, map(slice, starts.tolist(), ends), strict=True))
        codes, tags = pd.factorize(column)
        order = np.argsort(codes, kind="stable")
        cuts = np.searchsorted(codes[order], np.arange(len(tags) + 1)).tolist()
        return {str(tag): order[a:b] for tag, (a, b) in zip(tags, pairwise(cuts), strict=True)}

    @cached_property
    def _by_role(self) -> dict[str, list[str]]:
        """The tags of each role."""
        found: dict[str, list[str]] = {}
        for tag, places in self._places.items():
            found.setdefault(str(self._columns["role"][places][0]), []).append(tag)
        return found

    def _live(self, role: str) -> dict[str, dict[str, np.ndarray]]:
        """Return the live rows of each tag that has a role and any."""
        found = {}
        for tag in self.tags_of(role):
            rows = self.columns(tag)
            live = rows["live"]
            if live.any():
                found[tag] = rows if live.all() else {name: values[live] for name, values in rows.items()}
        return found

    def _layers(self, kind: str) -> pd.DataFrame | None:
        parts = [self.rows(tag) for tag in self.tags_of(LAYERED[kind])]
        rows = pd.concat(parts).sort_index(kind="stable") if parts else self.run.scalars.iloc[:0]
        if len(rows) and not (rows := rows[rows["live"]]).empty:
            layers = {tag: layer_of(tag) or tag for tag in rows["tag"].unique()}
            return _wide(rows.assign(layer=rows["tag"].map(layers)), "value")
        return None if kind == "update_ratio" else self.histogram_shares(kind, "norm")


@lru_cache(maxsize=4096)
def _letters_of(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _steps_an_epoch(curve: Curve) -> float | None:
    """Return the steps an epoch has, by the epochs beside the steps; whole epochs from their first points."""
    known = np.flatnonzero(np.isfinite(curve.epochs))
    steps, epochs = curve.steps[known], curve.epochs[known]
    if len(known) < 2 or np.ptp(epochs) < 1:
        return None
    if np.all(epochs == np.round(epochs)):
        first = np.flatnonzero(np.diff(epochs, prepend=np.nan) != 0)
        steps, epochs = steps[first], epochs[first]
    return float(np.ptp(steps) / np.ptp(epochs))


def _wide(rows: pd.DataFrame, column: str) -> pd.DataFrame | None:
    """Return a column as steps x layers in forward order, without biases where there are kernels."""
    if rows.empty:
        return None
    order = list(dict.fromkeys(rows["layer"]))
    kernels = [layer for layer in order if not _VECTOR.search(str(layer))]
    numbered = all(re.match(r"\d\d", str(layer)) for layer in order)
    chosen = sorted(kernels or order) if numbered else (kernels or order)
    steps, down = np.unique(rows["step"].to_numpy(dtype=float), return_inverse=True)
    across = rows["layer"].map({layer: i for i, layer in enumerate(chosen)}).to_numpy(dtype=float)
    kept = np.isfinite(across)
    wide = np.full((len(steps), len(chosen)), np.nan)
    wide[down[kept], across[kept].astype(int)] = rows[column].to_numpy(dtype=float)[
        kept
    ]  # the last one counts
    return pd.DataFrame(wide, index=steps, columns=chosen) if np.isfinite(wide).any() else None


def remembered(function: Callable[[Logged], Kept]) -> Callable[[Logged], Kept]:
    """Make a function of a run's log keep what it returned, for several facts to share."""

    @wraps(function)
    def kept(logged: Logged) -> Kept:
        if function not in logged.kept:
            logged.kept[function] = function(logged)
        return cast("Kept", logged.kept[function])

    return kept

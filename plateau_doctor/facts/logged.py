"""What one run logged, in the shapes that facts are computed from: curves, layers, settings."""

from __future__ import annotations

import re
from functools import cached_property

import numpy as np
import pandas as pd

from plateau_doctor.plateau import Plateau, find_plateaus
from plateau_doctor.roles import layer_of
from plateau_doctor.run import Run
from plateau_doctor.series import Curve, curve_of, finest_curve_of, primary_curve

__all__ = ["Logged", "smooth"]

COARSE = ("train_loss", "val_loss", "val_metric", "train_metric")
_VECTOR = re.compile(r"bias|beta|gamma|moving_|running_|norm|(^|[/._])(bn|ln)[0-9]*([/._]|$)", re.IGNORECASE)


class Logged:
    """A run seen by its roles. Everything is computed at first use and kept."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._curves: dict[str, Curve | None] = {}
        self._plateaus: dict[str, tuple[Plateau, ...]] = {}

    def curve(self, role: str) -> Curve | None:
        """Return the curve of a role with at least three points, else None.

        The loss of an agent that logs its reward does not tell how well it does; it counts as not logged.
        """
        if role not in self._curves:
            agent = role.endswith("_loss") and self.primary is not None and self.primary.role == "reward"
            curve = None if agent else curve_of(self.run, role)
            self._curves[role] = curve if curve is not None and len(curve.values) >= 3 else None
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
        return primary_curve(self.run)

    @cached_property
    def finest(self) -> Curve | None:
        """The training loss as often as it was logged: of single batches where they were, else as `curve`."""
        return None if self.curve("train_loss") is None else finest_curve_of(self.run, "train_loss")

    @cached_property
    def epoch_length(self) -> float | None:
        """Steps of the finest training loss in an epoch, None where the log does not tell.

        From the epochs beside the steps, the setting `steps_per_epoch`, or the even spacing of a coarser curve.
        """
        fine = self.finest
        if fine is None:
            return None
        lengths = [self.setting("steps_per_epoch"), *(self._spacing(role) for role in COARSE)]
        rough = _steps_an_epoch(fine)
        if rough is None:
            return next((one for one in lengths if one is not None and one >= 1), None)
        # an epoch that was logged as a whole number tells its length to a few steps alone
        return next((one for one in lengths if one is not None and 0.8 < one / rough < 1.25), rough)

    def _spacing(self, role: str) -> float | None:
        """Return the steps between two points of a curve, None where they are uneven or no coarser than batches."""
        curve, fine = self.curve(role), self.finest
        if curve is None or fine is None or 2 * len(curve.steps) > len(fine.steps):
            return None
        gaps = np.diff(curve.steps)
        return float(np.median(gaps)) if np.ptp(gaps) <= 0.02 * np.median(gaps) else None

    def setting(self, *names: str) -> float | None:
        """Return the first of these settings that is a number; names are compared by their letters alone."""
        plain = {re.sub(r"[^a-z0-9]", "", key.lower()): value for key, value in self.run.settings.items()}
        for name in names:
            value = plain.get(re.sub(r"[^a-z0-9]", "", name.lower()))
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
        return self._layers(kind)

    def histogram_shares(self, kind: str, column: str) -> pd.DataFrame | None:
        """Return a summary column (`zeros`, `edge`, `std` ...) of one kind of histogram, steps x layers."""
        rows = self.run.histograms[self.run.histograms["kind"] == kind]
        return _wide(rows, column)

    def _layers(self, kind: str) -> pd.DataFrame | None:
        role = {
            "gradient": "layer_grad_norm",
            "weight": "layer_weight_norm",
            "update_ratio": "layer_update_ratio",
        }[kind]
        rows = self.run.scalars[(self.run.scalars["role"] == role) & self.run.scalars["live"]]
        if not rows.empty:
            named = rows.assign(layer=[layer_of(tag) or tag for tag in rows["tag"]])
            return _wide(named, "value")
        rows = self.run.histograms[self.run.histograms["kind"] == kind]
        return None if kind == "update_ratio" else _wide(rows, "norm")


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
    if rows.empty:
        return None
    order = list(dict.fromkeys(rows["layer"]))
    kernels = [layer for layer in order if not _VECTOR.search(str(layer))]
    numbered = all(re.match(r"\d\d", str(layer)) for layer in order)
    chosen = sorted(kernels or order) if numbered else (kernels or order)
    wide = rows.pivot_table(index="step", columns="layer", values=column, aggfunc="last", dropna=False)
    wide = wide.reindex(columns=chosen)
    return wide if wide.notna().to_numpy().any() else None


def smooth(values: np.ndarray, width: int = 3) -> np.ndarray:
    """Return the running median of `values` (n,), edges repeated; widths are odd."""
    if len(values) < width:
        return values
    padded = np.pad(values, width // 2, mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1))

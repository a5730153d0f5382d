"""Facts about classes: how even the data are, and whether any class is left behind."""

from __future__ import annotations

import numpy as np

from plateau_doctor.facts.gap import shares
from plateau_doctor.facts.logged import Logged
from plateau_doctor.facts.loss import classes_of
from plateau_doctor.facts.registry import Value, fact


@fact("classes.count", "classes", "classes")
def count(logged: Logged, _: str) -> Value:
    """Number of classes: logged as a setting, or counted from per-class metrics."""
    return classes_of(logged)


@fact("classes.majority", "share", "majority_share")
def majority(logged: Logged, _: str) -> Value:
    """Share of the most frequent class, where a recorder logged it."""
    logged_share = logged.setting("majority_share", "class_share_max")
    if logged_share is not None:
        return logged_share
    rows = logged.rows("other")
    rows = rows[rows["tag"].str.contains("majority_share", regex=False)]
    return float(rows["value"].iloc[-1]) if len(rows) else None


@fact("classes.imbalance", "ratio", "majority_share")
def imbalance(logged: Logged, _: str) -> Value:
    """Share of the most frequent class times the number of classes; 1 for even classes."""
    share, classes = majority(logged, ""), classes_of(logged)
    return None if share is None or classes is None else float(share) * classes


@fact("classes.above_majority", "points", "majority_share")
def above_majority(logged: Logged, _: str) -> Value:
    """Accuracy at the end minus the share of the most frequent class; 0 for a net that always names it."""
    share = majority(logged, "")
    curve = logged.curve("val_metric") or logged.curve("train_metric")
    if share is None or curve is None or curve.sign > 0:
        return None
    values = shares(curve)
    return float(np.median(values[-max(2, len(values) // 8) :])) - float(share)


@fact("classes.missed", "share of classes", "class_metrics")
def missed(logged: Logged, _: str) -> Value:
    """Share of classes with a recall (or other class metric) below 0.1 at the end of the run."""
    ends = _ends(logged)
    return None if ends is None else float(np.mean(ends < 0.1))


@fact("classes.worst", "share", "class_metrics")
def worst(logged: Logged, _: str) -> Value:
    """Lowest recall (or other class metric) of any class at the end of the run."""
    ends = _ends(logged)
    return None if ends is None else float(np.min(ends))


@fact("classes.best", "share", "class_metrics")
def best(logged: Logged, _: str) -> Value:
    """Highest recall (or other class metric) of any class at the end of the run."""
    ends = _ends(logged)
    return None if ends is None else float(np.max(ends))


@fact("classes.uneven", "points", "class_metrics")
def uneven(logged: Logged, _: str) -> Value:
    """Accuracy minus the mean over classes (balanced accuracy or macro F1) at the end of the run."""
    tags = logged.run.scalars["tag"].str.lower()
    chosen = logged.run.scalars[tags.str.contains("balanced_acc|macro") & ~tags.str.contains("train")]
    curve = logged.curve("val_metric")
    if chosen.empty or curve is None or curve.sign > 0:
        return None
    values = shares(curve)
    tail = chosen["value"].to_numpy(dtype=float)[-max(1, len(chosen) // 8) :]
    return float(np.median(values[-max(2, len(values) // 8) :]) - np.median(tail))


def _ends(logged: Logged) -> np.ndarray | None:
    rows = logged.rows("class_metric")
    rows = rows[rows["live"] & np.isfinite(rows["value"])]
    if rows["tag"].nunique() < 2:
        return None
    ends = rows.groupby("tag", sort=False)["value"].agg(lambda v: float(np.median(v.to_numpy()[-3:])))
    values = ends.to_numpy(dtype=float)
    return np.asarray(values / 100 if np.max(values) > 1.5 else values)

"""Facts about classes: how even the data are, and whether any class is left behind."""

from __future__ import annotations

import numpy as np

from plateau_doctor.facts.gap import shares
from plateau_doctor.facts.logged import Logged
from plateau_doctor.facts.loss import classes_of
from plateau_doctor.facts.registry import Value, fact
from plateau_doctor.series import median, share_of


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
    found = [tag for tag in logged.tags_of("other") if "majority_share" in tag]
    return float(logged.columns(found[-1])["value"][-1]) if found else None


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
    return median(values[-max(2, len(values) // 8) :]) - float(share)


@fact("classes.missed", "share of classes", "class_metrics")
def missed(logged: Logged, _: str) -> Value:
    """Share of classes with a recall (or other class metric) below 0.1 at the end of the run."""
    ends = _ends(logged)
    return None if ends is None else share_of(ends < 0.1)


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
    names = {tag: tag.lower() for tag in logged.tags}
    chosen = [
        tag
        for tag, name in names.items()
        if ("balanced_acc" in name or "macro" in name) and "train" not in name
    ]
    curve = logged.curve("val_metric")
    if not chosen or curve is None or curve.sign > 0:
        return None
    values = shares(curve)
    even = logged.column("value", chosen)
    tail = even[-max(1, len(even) // 8) :]
    return median(values[-max(2, len(values) // 8) :]) - median(tail)


def _ends(logged: Logged) -> np.ndarray | None:
    ends = []
    for rows in map(logged.columns, logged.tags_of("class_metric")):
        levels = rows["value"][rows["live"]]
        levels = levels[np.isfinite(levels)]
        if len(levels):
            ends.append(median(levels[-3:]))
    if len(ends) < 2:
        return None
    values = np.array(ends)
    return np.asarray(values / 100 if np.max(values) > 1.5 else values)

"""How much the effect of a fix varies between seeds: the prior of `plateau_doctor/verdict.py`, measured on the corpus.

    python benchmarks/seed_variance.py

Each labelled training has a control and arms that undo a cause, three seeds each. The variances of their paired
effects are fitted by a scaled inverse chi-square, by the moments of log s² (Smyth 2004, section 6.2): d0 degrees of
freedom, variance s0². Points are of accuracy, on the tasks with classes.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

LABELS = Path(__file__).parent / "corpus" / "labels.csv.gz"
NUMBERS = frozenset({"friedman", "impedance", "waves"})  # tasks without classes


def arms(row: Mapping[str, str], column: str) -> dict[str, np.ndarray]:
    """Return what was undone -> one number a seed; the control is ''."""
    parts = [np.array([float(one) for one in part.split()]) for part in row[column].split("|")]
    return dict(zip(row["undone"].split("|"), parts, strict=True))


def rows() -> list[dict[str, str]]:
    with gzip.open(LABELS, "rt", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def effects(column: str) -> Iterator[np.ndarray]:
    """Yield the paired effects, shape (3,), of each arm: log ratios of `loss`, or points of `error`."""
    for row in rows():
        if column == "error" and row["task"] in NUMBERS:
            continue
        control, *treated = arms(row, column).values()
        for one in treated:
            if column == "loss" and min(control.min(), one.min()) <= 0:
                continue
            found = np.log(control / one) if column == "loss" else 100 * (control - one)
            if np.isfinite(found).all():
                yield found


def fit(variances: np.ndarray, degrees: int) -> tuple[float, float]:
    """Return d0 and s0² of the prior that variances of so many degrees of freedom were drawn from."""
    logs = np.log(variances)
    spread = float(np.var(logs, ddof=1) - polygamma(1, degrees / 2))
    half = float(brentq(lambda x: polygamma(1, x) - spread, 1e-3, 1e5))
    middle = float(np.mean(logs) - digamma(degrees / 2) + np.log(degrees / 2))
    return 2 * half, float(np.exp(middle + digamma(half) - np.log(half)))


def main() -> None:
    print("effect         arms  without spread     d0      s0²     s0")
    for column, name in (("loss", "log ratio"), ("error", "points")):
        found = np.array([np.var(one, ddof=1) for one in effects(column)])
        d0, s0 = fit(found[found > 0], 2)
        print(f"{name:<12}{len(found):>7}{int((found == 0).sum()):>16}{d0:>7.2f}{s0:>9.3g}{s0**0.5:>7.2g}")


if __name__ == "__main__":
    main()

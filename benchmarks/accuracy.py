"""How often the named cause is right, on trainings labelled by intervention, across folds by data set.

    python benchmarks/accuracy.py [--folds 5] [--keep FOLDER]

Reads the committed table of facts and labels (`benchmarks/corpus/`, made by `corpus.py`); nothing is trained. No
data set is on both sides of a fold. "Rich" logs have histograms and settings; "poor" ones losses, accuracies and
the learning rate alone. A cause is right when undoing it, alone, made that training end clearly better. Undetermined
counts as a miss. Poor logs are judged by several views of a run (`plateau_doctor/views.py`); the corpus holds them for
one seed in three, the others are judged by the log alone.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from plateau_doctor.calibration import Predicted, calibrated
from plateau_doctor.examination import load_rules
from plateau_doctor.fitting import across_folds
from plateau_doctor.labeled import Table, at_level, causes_of, examples, folds, joined, read_table
from plateau_doctor.rule import Rule

CORPUS = Path(__file__).parent / "corpus"
HIGH = 0.8


@dataclass(frozen=True, eq=False)
class Judged:
    """Logs and what is predicted for them, (n, causes) each.

    Attributes:
        odds: How much each cause explains, by which causes are ranked.
        p: Calibrated probabilities.
        y: What they have.
        clear: What is told aloud.
        told: What is told at all.
    """

    table: Table
    causes: Sequence[str]
    rules: dict[str, Rule]
    odds: np.ndarray
    p: np.ndarray
    y: np.ndarray
    clear: np.ndarray
    told: np.ndarray

    @property
    def first(self) -> np.ndarray:
        """The first cause that is named; where none is, the likeliest."""
        return np.argmax(np.where(self.told, self.odds + 1000.0, self.odds), axis=1)

    @property
    def p_first(self) -> np.ndarray:
        """The probability of the first cause."""
        return self.p[np.arange(len(self.p)), self.first]

    @property
    def named(self) -> np.ndarray:
        """Whether any cause is named."""
        return self.told.any(axis=1)

    @property
    def accused(self) -> np.ndarray:
        """Whether a cause is told with severity warning or above."""
        loud = [self.rules[cause].severity != "note" for cause in self.causes]
        return self.clear[:, loud].any(axis=1)

    @property
    def loud_first(self) -> np.ndarray:
        """Whether the first cause is told above a note."""
        return self.clear[np.arange(len(self.y)), self.first]

    @property
    def right(self) -> np.ndarray:
        """Whether the first cause is one that the training has."""
        return self.y[np.arange(len(self.y)), self.first]

    @property
    def open(self) -> np.ndarray:
        """Whether it is undecided that the training has the first cause: such logs count neither way."""
        undecided = np.stack([self.table.undecided(cause) for cause in self.causes], axis=1)
        return undecided[np.arange(len(self.y)), self.first] & ~self.right

    def logs(self, level: str, axis: str) -> np.ndarray:
        """Return which logs are of a level and an axis."""
        rows = self.table.rows
        return ((rows["level"] == level) & (rows["axis"] == axis)).to_numpy()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="folder for what the trees predict, to be used again")
    args = parser.parse_args()
    judged = judge(read_table(CORPUS), args.folds, args.keep)
    for line in (*measures(judged), "", *by_cause(judged)):
        print(line)


def judge(table: Table, number: int, kept: Path | None = None) -> Judged:
    """Predict rich and poor logs across folds; what calibrates a fold is fitted on the predictions for the others.

    `kept` is a folder where what the trees predict is kept between calls.
    """
    rules, causes = load_rules(), causes_of(table)
    known = {rule.cause: rule for rule in rules}
    parts = []
    for level in ("rich", "rate"):
        own = at_level(table, level)
        odds = across_folds(
            examples(table, level), causes, number, kept=kept and kept / f"{level}-{number}.npy"
        )
        predicted = Predicted.of(own, rules, causes, odds[: len(own.rows)])
        rank, found = np.zeros((2, *predicted.odds.shape))
        clear, named = np.zeros((2, *predicted.odds.shape), bool)
        for others, test in folds(own, number):
            fitted = calibrated(predicted.only(others), rules, level)
            part = replace(predicted.only(test), lean=fitted.lean)
            rank[test], found[test] = part.rank, 1 / (1 + np.exp(-part.calibrated(fitted)))
            clear[test], named[test] = part.told(fitted)
        y = np.stack([own.labels(cause) for cause in causes], axis=1)
        parts.append((own, rank, found, y, clear, named))
    arrays = (np.concatenate([part[i] for part in parts]) for i in range(1, 6))
    return Judged(joined([part[0] for part in parts]), causes, known, *arrays)


def measures(judged: Judged) -> Iterator[str]:
    """Yield the lines of the table of measures."""
    table, y = judged.table, judged.y
    sizes, names = table.configs["labels"].map(len), set(table.rows["name"][table.sound()])
    yield (
        f"{len(sizes)} configurations, {int((sizes > 0).sum())} with a cause "
        f"(on average {sizes[sizes > 0].mean():.2f}), {int(table.configs.index.isin(names).sum())} sound, "
        f"{len(table.rows)} logs"
    )
    yield f"{'measure':58s} {'n':>6s} {'share':>7s}  95 % interval"
    sick, sound = y.any(axis=1), table.sound()
    rich, poor = judged.logs("rich", "epoch"), judged.logs("rate", "epoch")
    right = judged.right & judged.named
    top = np.argsort(-judged.odds, axis=1)[:, :3]
    in_three = np.take_along_axis(y, top, axis=1).any(axis=1)
    yield _line("right cause first, rich logs", right[rich & sick])
    yield _line("  the same, undetermined or not", judged.right[rich & sick])
    yield _line("right cause first, poor logs", right[poor & sick])
    yield _line("  the same, undetermined or not", judged.right[poor & sick])
    yield _line("right cause among the first three, poor logs", in_three[poor & sick])
    yield _line(
        "right family first, rich logs", _family_right(judged)[rich & sick] & judged.named[rich & sick]
    )
    yield _line(
        "the injected cause first, rich logs",
        (_injected_first(judged) & judged.named)[rich & _has_injected(judged)],
    )
    for name, chosen in (("rich", rich), ("poor", poor)):
        yield _line(f"coverage: a cause is named, {name} logs of sick runs", judged.named[chosen & sick])
        yield _line(
            f"precision of a named first cause, {name} logs",
            judged.right[chosen & judged.named & ~judged.open],
        )
        high = judged.named & (judged.p_first >= HIGH)
        yield _line(f"  at high confidence, {name} logs", judged.right[chosen & high & ~judged.open])
        yield _line(f"sound runs accused, {name} logs", judged.accused[chosen & sound])
        yield _line("  told of a cause, if only by a note", judged.named[chosen & sound])
        yield _line(
            "  precision of a first cause above a note",
            judged.right[chosen & judged.loud_first & ~judged.open],
        )
    for level in ("rich", "rate"):
        name = f"first cause unchanged, {level}: step/thinned/resumed"
        yield _line(name, _unchanged(judged, level))
    error = _ece(judged, (rich | poor) & ~judged.open)
    yield f"{'debiased ECE of the first cause, rich and poor logs':58s} {'':6s} {error:7.3f}"
    worse = [c for k, c in enumerate(judged.causes) if _brier(judged, k, rich | poor) >= 1]
    ratio = np.mean([_brier(judged, k, rich | poor) for k in range(len(judged.causes))])
    yield f"{'Brier score over that of the base rate, mean of causes':58s} {'':6s} {ratio:7.3f}"
    yield f"  worse than the base rate: {', '.join(worse) or 'none'}"
    k = list(judged.causes).index("overfitting")
    clear = (poor | rich) & ~table.undecided("overfitting")
    score = _f1(y[clear, k], judged.p[clear, k] >= 0.5)
    yield f"{'overfitting F1, rich and poor logs':58s} {int(y[clear, k].sum()):6d} {score:7.3f}"


def by_cause(judged: Judged) -> Iterator[str]:
    """Yield precision and recall of each cause, rich and poor logs."""
    yield f"{'cause':24s} {'log':5s} {'n':>5s} {'recall':>7s} {'any right':>9s} {'precision':>10s}  lost to"
    for k, cause in enumerate(judged.causes):
        for name, chosen in (("rich", judged.logs("rich", "epoch")), ("poor", judged.logs("rate", "epoch"))):
            own = chosen & judged.y[:, k]
            said = chosen & judged.named & (judged.first == k)
            precision = np.mean(judged.y[said, k]) if said.any() else math.nan
            lost = (
                pd.Series(judged.first[own & ~judged.right])
                .map(lambda i: judged.causes[i])
                .value_counts()
                .head(3)
            )
            yield (
                f"{cause if name == 'rich' else '':24s} {name:5s} {own.sum():5d} {np.mean(judged.told[own, k]):7.0%} "
                f"{np.mean(judged.right[own] & judged.named[own]):9.0%} {precision:10.0%}  "
                + ", ".join(f"{other} {n}" for other, n in lost.items())
            )


def wilson(right: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    if not n:
        return 0.0, 1.0
    z, p = 1.96, right / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def _line(name: str, hits: np.ndarray) -> str:
    low, high = wilson(int(hits.sum()), len(hits))
    share = hits.mean() if len(hits) else math.nan
    return f"{name:58s} {len(hits):6d} {share:7.1%}  {low:.1%} to {high:.1%}"


def _family_right(judged: Judged) -> np.ndarray:
    families = np.array([judged.rules[c].family if c in judged.rules else c for c in judged.causes])
    said = families[judged.first]
    return np.array([bool((families[row] == said[i]).any()) for i, row in enumerate(judged.y)])


def _injected_first(judged: Judged) -> np.ndarray:
    injected = judged.table.rows["name"].map(judged.table.configs["injected"])
    return np.array([judged.causes[f] in put_in for f, put_in in zip(judged.first, injected, strict=True)])


def _has_injected(judged: Judged) -> np.ndarray:
    return judged.table.rows["name"].map(judged.table.configs["injected"]).map(bool).to_numpy(dtype=bool)


def _unchanged(judged: Judged, level: str) -> np.ndarray:
    """Return for each log of another axis whether its first named cause is that of the epoch-wise log."""
    said = judged.table.rows.assign(said=np.where(judged.named, judged.first, -1))
    said = said[said["level"] == level]
    keys, epochs = ["name", "seed"], said["axis"] == "epoch"
    both = said[~epochs].merge(said[epochs], on=keys, suffixes=("", "_epoch"))
    return np.asarray(both["said"] == both["said_epoch"])


def _ece(judged: Judged, chosen: np.ndarray) -> float:
    """Expected calibration error of the first cause's probability in ten bins, less what chance alone would give."""
    p, right = judged.p_first[chosen], judged.right[chosen]
    which, total, chance = np.minimum((p * 10).astype(int), 9), 0.0, 0.0
    for b in range(10):
        inside = which == b
        if inside.any():
            n, expected = inside.sum(), p[inside].mean()
            total += n * abs(right[inside].mean() - expected)
            chance += n * math.sqrt(2 / math.pi * expected * (1 - expected) / n)
    return max(0.0, total - chance) / len(p)


def _brier(judged: Judged, k: int, chosen: np.ndarray) -> float:
    chosen = chosen & ~judged.table.undecided(judged.causes[k])
    y, p = judged.y[chosen, k].astype(float), judged.p[chosen, k]
    return float(np.mean((p - y) ** 2) / np.mean((y.mean() - y) ** 2))


def _f1(truth: np.ndarray, said: np.ndarray) -> float:
    return float(2 * (truth & said).sum() / max(1, truth.sum() + said.sum()))


if __name__ == "__main__":
    main()

"""Fits the weights of facts and signs on labelled trainings, by scikit-learn, and predicts across folds.

One regularized logistic regression a cause and level of logging. A number enters as a staircase of a few thresholds,
each +-1/2; what was not logged enters as 0, so that it adds nothing. Signs enter likewise, scaled by the word of
their strength, so that the word is what the fit leans to; a sign whose weight would contradict its word is dropped.
Of the facts, the forty that weigh most for a cause are kept. The probabilities are then calibrated on predictions
across folds by data set (Platt 1999), and each cause is named from the probability at which, of all causes together,
two sound runs in a hundred would be accused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from plateau_doctor.diagnosis import NAMED_AT, PRIOR, STRENGTH
from plateau_doctor.facts import Value, known_facts
from plateau_doctor.facts.needs import NEEDS
from plateau_doctor.rule import Rule, Sign
from plateau_doctor.weights import LEVELS, SURE, Cause, Shape, Weights

__all__ = [
    "GAPS",
    "Columns",
    "Table",
    "across_folds",
    "at_level",
    "bars",
    "causes_of",
    "fit",
    "fitted_level",
    "read_table",
    "told",
]

STEPS = 6  # thresholds of a fact at most, at even shares of the runs that logged it
SOFTNESS = 0.1  # C of the logistic regression
FEWEST_RUNS = 200  # logs that a fact must be known in
TEXTS = ("state.name", "net.loss", "siblings.escaped_by")
LARGEST = 1e9
OF_THE_TASK = frozenset({  # tell which task it is rather than what is wrong; their ratios to a yardstick are facts too
    "classes.count", "classes.majority", "start.loss", "batches.saw", "batches.saw_height", "batches.periodic",
    *(f"{side}_loss.{what}" for side in ("train", "val") for what in ("level", "first")),
})  # fmt: skip
GAPS = "gaps"  # axis of the copies that some of what was logged is missing from
WORDS = 0.5  # what the words of a rule count beside what was fitted: they were written for larger nets too
LEAN = 2.0  # how much lighter the penalty on a sign is than on a fact
MOST_FACTS = 40  # facts of one cause
FEWEST_LABELS = 12  # logs with a cause that a fit needs
FOLDS = 5
OFTEN_MISSING = 0.3  # chance that a kind of log is left out of a rich log's second copy
ACCUSED = 0.01  # share of sound runs that may be accused
WRONG = 0.25  # what a wrong first cause costs, in right ones
LEAST_BAR, LEAST_AGREED = 0.3, 0.05
RISES = 0.05  # rise of the validation loss, training falling on, by which overfitting is open at least
ELSEWHERE = 0.1  # what a log in which a cause is not first counts for its calibration
TOLD_BY = {  # kind of log -> levels without and with it
    "val_loss": ("loss_rate", "rate"),
    "train_metric": ("val", "accuracy"),
    "val_metric": ("val", "accuracy"),
    "learning_rate": ("accuracy", "rate"),
    "grad_norm": ("rate", "norm"),
    "optimizer": ("norm", "rich"),
    "layer_weights": ("norm", "rich"),
    "layer_update_ratio": ("norm", "rich"),
    "layer_gradients": ("norm", "rich"),
    "gradient_histograms": ("norm", "rich"),
    "activation_histograms": ("norm", "rich"),
}


@dataclass(frozen=True, eq=False)
class Table:
    """Facts and labels of many logs.

    Attributes:
        facts: One row a log, one column a fact; None or NaN where not logged.
        rows: Beside it: name, seed, level, axis.
        configs: One row a configuration, by name: task, architecture, and the sets of causes injected, labels,
            undecided.
    """

    facts: pd.DataFrame
    rows: pd.DataFrame
    configs: pd.DataFrame

    def labels(self, cause: str) -> np.ndarray:
        """Return whether each log's configuration has a cause, shape (n,)."""
        has = self.configs["labels"].map(lambda causes: cause in causes)
        return self.rows["name"].map(has).to_numpy(dtype=bool)

    def undecided(self, cause: str) -> np.ndarray:
        """Return whether it is open that each log's configuration has a cause, shape (n,)."""
        has = self.configs["undecided"].map(lambda causes: cause in causes)
        return self.rows["name"].map(has).to_numpy(dtype=bool)

    def sound(self) -> np.ndarray:
        """Return whether nothing was injected into each log's configuration, and nothing found, shape (n,)."""
        empty = [self.configs[column].map(len) == 0 for column in ("labels", "undecided", "injected")]
        return self.rows["name"].map(empty[0] & empty[1] & empty[2]).to_numpy(dtype=bool)

    def only(self, chosen: np.ndarray) -> Table:
        """Return the chosen logs, by a mask or places of shape (n,)."""
        return Table(
            self.facts.loc[chosen].reset_index(drop=True),
            self.rows.loc[chosen].reset_index(drop=True),
            self.configs,
        )


def read_table(folder: Path) -> Table:
    """Read `facts.csv.gz` and `labels.csv.gz`, as `benchmarks/corpus.py table` writes them."""
    frame = pd.read_csv(folder / "facts.csv.gz", low_memory=False)
    configs = pd.read_csv(folder / "labels.csv.gz", keep_default_na=False).set_index("name")
    configs["labels"] = configs["labels"].map(lambda text: frozenset(p.split(":")[0] for p in text.split()))
    for column in ("injected", "undecided"):
        configs[column] = configs[column].map(lambda text: frozenset(text.split()))
    keys = ["name", "seed", "level", "axis"]
    ends = frame[frame["level"] == "rich"].groupby("name")[["val_loss.rise", "gap.train_gain"]].median()
    rise = ends["val_loss.rise"].where(ends["gap.train_gain"] > RISES).reindex(configs.index)
    configs["undecided"] = [
        (undecided | {"overfitting"}) - labels if over > RISES else undecided
        for undecided, labels, over in zip(configs["undecided"], configs["labels"], rise, strict=True)
    ]
    return Table(frame.drop(columns=keys), frame[keys], configs)


def at_level(table: Table, level: str) -> Table:
    """Return the logs that the terms of a level are fitted on and judged by.

    `loss_rate` is made of richer logs.
    """
    rows = table.rows["level"].to_numpy()
    if level == "loss_rate":
        part = table.only(rows == "rate")
        return without(part, [need for need in NEEDS if need not in ("train_loss", "learning_rate")], level)
    return table.only(rows == level)


def learned(table: Table, level: str) -> Table:
    """Return the logs that a level is fitted on: those of `at_level`, rich ones once more with gaps."""
    own = at_level(table, level)
    return joined([own, thinned(own)]) if level == "rich" else own


def without(table: Table, needs: Iterable[str], level: str) -> Table:
    """Return the same logs with the facts of these kinds of log left out."""
    of = {name: fact.needs for name, fact in known_facts().items()}
    gone = set(needs)
    facts = table.facts.copy()
    facts[[name for name in facts.columns if of.get(name) in gone and name not in TEXTS]] = np.nan
    return Table(facts, table.rows.assign(level=level), table.configs)


def thinned(table: Table, seed: int = 0) -> Table:
    """Return the same logs, where each kind of log but the losses and the layers' gradients is left out by a coin."""
    rng, facts = np.random.default_rng(seed), table.facts.copy()
    of = {name: fact.needs for name, fact in known_facts().items()}
    for need in sorted(set(of.values()) - {"train_loss", "layer_gradients", "gradient_histograms"}):
        columns = [name for name in facts.columns if of.get(name) == need]
        facts.loc[rng.random(len(facts)) < OFTEN_MISSING, columns] = np.nan
    return Table(facts, table.rows.assign(axis=GAPS), table.configs)


def joined(tables: Iterable[Table]) -> Table:
    """Return the logs of several tables of the same configurations."""
    parts = list(tables)
    return Table(
        pd.concat([t.facts for t in parts], ignore_index=True),
        pd.concat([t.rows for t in parts], ignore_index=True),
        parts[0].configs,
    )


class Design:
    """Columns of the regression: which thresholds stand for which fact, and which signs for which rule."""

    def __init__(self, table: Table, rules: Sequence[Rule]) -> None:
        self.thresholds: dict[str, tuple[float, ...]] = {}
        numbers = _numbers(table.facts)
        for name in numbers.columns:
            known = numbers[name].dropna().to_numpy()
            if len(known) >= FEWEST_RUNS:
                inner = np.quantile(known, np.linspace(0, 1, STEPS + 2)[1:-1], method="inverted_cdf")
                steps = sorted({float(f"{t:.3g}") for t in inner})
                steps = [t for t in steps if 0 < np.mean(known > t) < 1]
                if steps:
                    self.thresholds[name] = tuple(steps)
        self.words = {
            name: sorted(table.facts[name].dropna().unique()) for name in TEXTS if name in table.facts
        }
        self.rules = {rule.cause: rule for rule in rules}

    def facts(self, table: Table) -> np.ndarray:
        """Return the columns of all facts, (n, columns)."""
        numbers, columns = _numbers(table.facts), []
        for name, steps in self.thresholds.items():
            value = numbers[name].to_numpy()
            known = np.isfinite(value)
            columns += [np.where(known, np.where(value > t, 0.5, -0.5), 0.0) for t in steps]
        for name, words in self.words.items():
            columns += [(table.facts[name] == word).to_numpy(dtype=float) for word in words]
        return np.stack(columns, axis=1).astype(np.float32)

    def signs(self, table: Table, cause: str) -> np.ndarray:
        """Return the columns of a rule's signs, (n, signs), scaled by their words."""
        rule = self.rules.get(cause)
        if rule is None or not rule.signs:
            return np.empty((len(table.rows), 0), dtype=np.float32)
        records = _records(table, {name for sign in rule.signs for name in sign.condition.names})
        columns = []
        for sign in rule.signs:
            seen = [sign.condition.evaluate(record) for record in records]
            plain = np.array([0.0 if s is None else 0.5 if s else -0.5 for s in seen])
            columns.append(plain * _scale(sign))
        return np.stack(columns, axis=1).astype(np.float32)

    def by_words(self, signs: np.ndarray, cause: str) -> tuple[np.ndarray, np.ndarray]:
        """Return from the columns of its signs a cause's log-odds by their words, and whether one for it is seen."""
        shown, groups = np.zeros(len(signs), dtype=bool), {"": np.zeros(len(signs))}
        for column, sign in zip(signs.T, self.rules[cause].signs if cause in self.rules else (), strict=True):
            side = 1 if sign.side == "for" else -1
            seen = column * side > 0
            groups[sign.shows] = groups.get(sign.shows, 0.0) + seen * side * STRENGTH[sign.strength]
            if side > 0:
                shown |= seen
        shared = groups.pop("")
        best = np.max(list(groups.values()), axis=0) if groups else 0.0
        return np.asarray(shared + best), shown

    def cause(self, cause: str, coefficients: np.ndarray, base: float, words: float, at: np.ndarray) -> Cause:
        """Return the terms that fitted coefficients (columns of facts, then signs) stand for."""
        shapes, place = {}, 0
        for name, steps in self.thresholds.items():
            jumps = coefficients[place : place + len(steps)]
            place += len(steps)
            if np.any(jumps):
                shapes[name] = Shape(steps, tuple(float(j) for j in jumps))
        for name, texts in self.words.items():
            if np.any(coefficients[place : place + len(texts)]):
                shapes[name] = Shape(words=dict(zip(texts, map(float, coefficients[place:]), strict=False)))
            place += len(texts)
        signs: dict[str, float] = {}
        rule = self.rules.get(cause)
        for sign, weight in zip(rule.signs if rule else (), coefficients[place:], strict=True):
            signs[sign.condition.text] = signs.get(sign.condition.text, 0.0) + _scale(sign) * float(weight)
        return Cause(base, shapes, signs, words, float(at[0]), float(at[1]))

    def owners(self) -> np.ndarray:
        """Return the fact that each column of `facts` belongs to."""
        numbers = [name for name, steps in self.thresholds.items() for _ in steps]
        return np.array(numbers + [name for name, words in self.words.items() for _ in words])


def _scale(sign: Sign) -> float:
    return LEAN * STRENGTH[sign.strength] * (1 if sign.side == "for" else -1)


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of a table: those of all facts, and for each cause those of its signs.

    `words` are the log-odds by the words of its rule, without the prior; `shown` tells whether a sign that speaks
    for the cause is seen, `agreed` whether the words name it.
    """

    design: Design
    facts: np.ndarray
    signs: Mapping[str, np.ndarray]
    words: Mapping[str, np.ndarray]
    shown: Mapping[str, np.ndarray]
    agreed: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, table: Table, rules: Sequence[Rule], causes: Sequence[str]) -> Columns:
        """Compute them; thresholds are taken from this table."""
        design = Design(table, rules)
        signs = {cause: design.signs(table, cause) for cause in causes}
        by_words = {cause: design.by_words(signs[cause], cause) for cause in causes}
        return cls(
            design,
            design.facts(table),
            signs,
            {cause: words for cause, (words, _) in by_words.items()},
            {cause: shown for cause, (_, shown) in by_words.items()},
            {cause: words + PRIOR >= NAMED_AT for cause, (words, _) in by_words.items()},
        )

    def only(self, chosen: np.ndarray) -> Columns:
        """Return the columns of the chosen logs, by a mask."""
        parts = [
            {cause: part[chosen] for cause, part in of.items()}
            for of in (self.signs, self.words, self.shown, self.agreed)
        ]
        return Columns(self.design, self.facts[chosen], *parts)


def fit_cause(
    columns: Columns, cause: str, chosen: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return coefficients and base of one cause, fitted on the chosen logs, (n,) places or mask."""
    facts, signs, y, w = columns.facts[chosen], columns.signs[cause][chosen], labels[chosen], weights[chosen]
    coefficients = np.zeros(facts.shape[1] + signs.shape[1])
    if y.sum() < FEWEST_LABELS:
        return coefficients, -8.0
    first = _regression(np.hstack([facts, signs]), y, w)
    owners, share = columns.design.owners(), facts * first.coef_[0][: facts.shape[1]]
    weight = {name: float(share[:, owners == name].sum(axis=1).std()) for name in dict.fromkeys(owners)}
    heavy = sorted(weight, key=lambda name: -weight[name])[:MOST_FACTS]
    kept = np.concatenate([np.isin(owners, heavy), first.coef_[0][facts.shape[1] :] > 0])
    while True:
        model = _regression(np.hstack([facts, signs])[:, kept], y, w)
        coefficients[:] = 0.0
        coefficients[kept] = model.coef_[0]
        wrong = (
            coefficients[facts.shape[1] :] < 0
        )  # signs are scaled by their words: below 0 contradicts them
        if not wrong.any():
            return coefficients, float(model.intercept_[0])
        kept[facts.shape[1] :] &= ~wrong


def _regression(columns: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> LogisticRegression:
    return LogisticRegression(C=SOFTNESS, max_iter=300, tol=1e-3).fit(columns, labels, sample_weight=weights)


def row_weights(table: Table) -> np.ndarray:
    """Return weights that give each configuration the same say, however many logs it has; mean 1."""
    counts = table.rows["name"].map(table.rows["name"].value_counts()).to_numpy(dtype=float)
    return 1 / counts * len(counts) / np.sum(1 / counts)


def across_folds(
    table: Table,
    columns: Columns,
    causes: Sequence[str],
    number: int = FOLDS,
    tests: Iterable[int] | None = None,
) -> np.ndarray:
    """Return log-odds (n, causes) of each log, by terms fitted without its data set; NaN in folds not in `tests`."""
    odds = np.full((len(table.rows), len(causes)), np.nan)
    weights = row_weights(table)
    for i, (train, test) in enumerate(folds(table, number)):
        if tests is not None and i not in tests:
            continue
        for k, cause in enumerate(causes):
            chosen = train & ~table.undecided(cause)
            coefficients, base = fit_cause(columns, cause, chosen, table.labels(cause), weights)
            odds[test, k] = np.hstack([columns.facts[test], columns.signs[cause][test]]) @ coefficients + base
            odds[test, k] += WORDS * columns.words[cause][test]
    return odds


def folds(table: Table, number: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (train, test) masks: no data set is on both sides, and so no net of a data set either.

    Data sets of one kind (those that the same nets are trained on) are dealt out evenly.
    """
    tasks = table.rows["name"].map(table.configs["task"]).to_numpy()
    nets = table.configs.groupby("task")["architecture"].agg(lambda names: " ".join(sorted(set(names))))
    order = sorted(set(tasks), key=lambda name: (nets[name], name))
    tests = [np.isin(tasks, order[i::number]) for i in range(number)]
    return [(~test, test) for test in tests]


def scales(table: Table, causes: Sequence[str], odds: np.ndarray) -> np.ndarray:
    """Return slope and shift (causes, 2) that calibrate log-odds predicted across folds (Platt 1999).

    Logs in which the cause comes first count most: it is there that its probability is read.
    """
    weights, found = row_weights(table), []
    first = np.argmax(np.nan_to_num(odds, nan=-99.0), axis=1)
    for k, cause in enumerate(causes):
        known = np.isfinite(odds[:, k]) & ~table.undecided(cause)
        labels = table.labels(cause)[known]
        if labels.sum() < FEWEST_LABELS:
            found.append((1.0, 0.0))
            continue
        says = weights[known] * np.where(first[known] == k, 1.0, ELSEWHERE)
        model = LogisticRegression(C=10.0).fit(odds[known][:, [k]], labels, sample_weight=says)
        found.append((float(np.clip(model.coef_[0, 0], 0.3, 2.0)), float(model.intercept_[0])))
    return np.array(found)


def bars(
    table: Table, columns: Columns, causes: Sequence[str], p: np.ndarray, loud: Sequence[bool]
) -> np.ndarray:
    """Return the probabilities from which each cause is named, (causes, 2): see `Cause.named_at` and `agreed_at`.

    Together they name as many right first causes as they can while `ACCUSED` of the sound runs are accused by a
    loud cause (of severity warning or above). A bar is where one more right answer costs as much for each cause.
    """
    sound, first = table.sound(), np.asarray(np.argmax(p, axis=1))
    right = np.stack([table.labels(cause) for cause in causes], axis=1)[np.arange(len(p)), first]
    weights = row_weights(table)
    low, high = 0.0, 1000.0
    for _ in range(25):  # the price of a false accusation, in right answers
        price = (low + high) / 2
        found = np.ones((len(causes), 2))
        for k, cause in enumerate(causes):
            worth = (first == k) * weights * np.where(right, 1.0, -WRONG) - weights * price * (
                sound & loud[k]
            )
            agreed = columns.agreed[cause]
            alone = ~agreed & (columns.shown[cause] | (p[:, k] >= SURE))
            found[k] = (
                _bar(p[alone, k], worth[alone], LEAST_BAR),
                _bar(p[agreed, k], worth[agreed], LEAST_AGREED),
            )
        accused = np.asarray(told(columns, causes, p, found)[:, np.array(loud)].any(axis=1))
        if np.average(accused[sound], weights=weights[sound]) > ACCUSED:
            low = price
        else:
            high = price
    return found


def told(columns: Columns, causes: Sequence[str], p: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return which causes are named, (n, causes), by `Cause.names`."""
    named = []
    for k, cause in enumerate(causes):
        alone = np.where(columns.shown[cause], at[k, 0], np.maximum(at[k, 0], SURE))
        named.append(p[:, k] >= np.where(columns.agreed[cause], at[k, 1], alone))
    return np.stack(named, axis=1)


def _bar(p: np.ndarray, worth: np.ndarray, least: float) -> float:
    """Return the bar above which the worth of naming is largest."""
    grid = np.concatenate([np.linspace(least, 0.95, 80), [0.96, 0.97, 0.98, 0.99, 0.995]])
    return float(grid[int(np.argmax([float(worth[p >= bar].sum()) for bar in grid]))])


def fitted_level(
    table: Table, rules: Sequence[Rule], level: str
) -> tuple[dict[str, Cause], Table, np.ndarray]:
    """Return the terms of a level, its logs, and the calibrated probabilities predicted for them across folds."""
    causes = causes_of(table)
    whole = learned(table, level)
    columns = Columns.of(whole, rules, causes)
    odds = across_folds(whole, columns, causes)
    slopes = scales(whole, causes, odds)
    p = 1 / (1 + np.exp(-(odds * slopes[:, 0] + slopes[:, 1])))
    severities = {rule.cause: rule.severity for rule in rules}
    at = bars(whole, columns, causes, p, [severities.get(cause) != "note" for cause in causes])
    weights, found = row_weights(whole), {}
    for k, cause in enumerate(causes):
        chosen = ~whole.undecided(cause)
        coefficients, base = fit_cause(columns, cause, chosen, whole.labels(cause), weights)
        slope, shift = slopes[k]
        found[cause] = columns.design.cause(
            cause, coefficients * slope, float(base * slope + shift), WORDS * float(slope), at[k]
        )
    return found, whole, p


def fit(table: Table, rules: Sequence[Rule], say: Callable[[str], None] = lambda _: None) -> Weights:
    """Fit all levels."""
    causes, levels, surprise = causes_of(table), {}, {}
    for level in LEVELS:
        levels[level], logs, p = fitted_level(table, rules, level)
        say(f"{level}: {len(logs.rows)} logs")
        epochs = (logs.rows["axis"] == "epoch").to_numpy()
        surprise[level] = {
            cause: surprise_of(logs.labels(cause)[epochs], p[epochs, k]) for k, cause in enumerate(causes)
        }
    information = {
        need: {
            cause: round(max(0.0, surprise[poorer][cause] - surprise[richer][cause]), 4) for cause in causes
        }
        for need, (poorer, richer) in TOLD_BY.items()
    }
    fitted_on = {"configurations": len(table.configs), "logs": len(table.rows)}
    return Weights(levels, information, fitted_on)


def causes_of(table: Table) -> list[str]:
    """Return the causes that any configuration has, in alphabetical order."""
    return sorted({cause for labels in table.configs["labels"] for cause in labels})


def surprise_of(labels: np.ndarray, p: np.ndarray) -> float:
    """Return the mean surprise of labels under probabilities, in bits."""
    return float(-np.mean(np.log2(np.clip(np.where(labels, p, 1 - p), 1e-6, 1))))


def _numbers(facts: pd.DataFrame) -> pd.DataFrame:
    left_out = [n for n in facts if n in TEXTS or n in OF_THE_TASK or str(n).startswith("siblings.")]
    numbers = facts.drop(columns=left_out)
    clipped: pd.DataFrame = numbers.apply(pd.to_numeric, errors="coerce").clip(-LARGEST, LARGEST)
    return clipped


def _records(table: Table, names: Iterable[str]) -> list[dict[str, Value]]:
    part = table.facts[[name for name in names if name in table.facts]]
    return part.astype(object).where(part.notna(), None).to_dict("records")  # type: ignore[return-value]

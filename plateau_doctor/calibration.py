"""Fits the weights of facts and signs on labelled trainings, by scikit-learn, and predicts across folds.

Regularized logistic regressions for each level of logging: one of all causes against each other, one for each cause.
A number enters as a staircase of a few thresholds, each +-1/2; what was not logged enters as 0, so that it adds
nothing. Signs enter likewise, scaled by the word of their strength, so that the word is what the fit leans to; a sign
whose weight would contradict its word is dropped. Of the facts, the forty that weigh most for a cause are kept. The
probabilities are then calibrated on predictions across folds by data set (Platt 1999), and causes are named from the
log-odds at which about two sound runs in a hundred are accused.
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
from plateau_doctor.weights import AGREED, LEVELS, LIKELY, LIKELY_AGREED, Cause, Shape, Weights

__all__ = [
    "GAPS",
    "Bars",
    "Columns",
    "Table",
    "across_folds",
    "at_level",
    "causes_of",
    "fit",
    "fitted_level",
    "probabilities",
    "read_table",
]

STEPS = 6  # thresholds of a fact at most, at even shares of the runs that logged it
SOFTNESS = 0.1  # C of the logistic regression of one cause
SOFTNESS_AMONG = 0.02  # C of that of all causes
ALONE = 0.5  # what the regression of one cause counts beside that of all
NEVER = -8.0  # log-odds of a cause that too few logs have
FEWEST_RUNS = 200  # logs that a fact must be known in
TEXTS = ("state.name", "net.loss", "siblings.escaped_by")
LARGEST = 1e9
LEFT_OUT = frozenset({  # tell which task it is, or which writer, rather than what is wrong
    "classes.count", "classes.majority", "start.loss", "batches.saw", "batches.saw_height", "batches.periodic",
    "batches.last_short", "activations.edge",
    *(f"{side}_loss.{what}" for side in ("train", "val") for what in ("level", "first", "grain")),
})  # fmt: skip
GAPS = "gaps"  # axis of the copies that some of what was logged is missing from
WORDS = 0.15  # what the words of a rule count beside what was fitted: they were written for larger nets too
LEAN = 2.0  # how much lighter the penalty on a sign is than on a fact
MOST_FACTS, MOST_AMONG = 40, 120  # facts of one cause, and of all together
FEWEST_LABELS = 12  # logs with a cause that a fit needs
FOLDS = 5
OFTEN_MISSING = 0.3  # chance that a kind of log is left out of a rich log's second copy
TRUSTED = 0.667  # share of the logs named by the words of a rule that must have the cause
ACCUSED = 0.02  # share of sound runs that may be accused
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

    def injected(self, cause: str) -> np.ndarray:
        """Return whether a cause was injected into each log's configuration, shape (n,)."""
        has = self.configs["injected"].map(lambda causes: cause in causes)
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

    def cause(
        self,
        cause: str,
        coefficients: np.ndarray,
        base: float,
        scale: np.ndarray,
        trusted: bool,
        clear_at: float,
    ) -> Cause:
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
        slope, shift = map(float, scale)
        return Cause(base, shapes, signs, WORDS, slope, shift, trusted, clear_at)

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


def fit_all(
    columns: Columns, table: Table, causes: Sequence[str], chosen: np.ndarray
) -> list[tuple[np.ndarray, float]]:
    """Return coefficients (facts, then own signs) and base of each cause, fitted on the chosen logs (mask, (n,)).

    They are the sum of two fits. One sets all causes, and being sound, against each other, on facts alone; its terms
    are those of a cause less those of being sound. The other sets one cause against all logs without it, with the
    signs of its rule, and counts `ALONE`.
    """
    weights, found = row_weights(table), []
    among, bases = fit_among(columns, table, causes, chosen, weights)
    for k, cause in enumerate(causes):
        decided = chosen & ~table.undecided(cause)
        own, base = fit_cause(columns, cause, decided, table.labels(cause), weights)
        own *= ALONE
        own[: among.shape[1]] += among[k]
        found.append((own, ALONE * base + bases[k]))
    return found


def fit_among(
    columns: Columns, table: Table, causes: Sequence[str], chosen: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients (causes, columns of facts) and bases (causes,) of all causes against being sound.

    A log with several causes counts for each by its share; one that was injected counts thrice as much as others.
    """
    shares = np.stack([table.labels(c) * (1.0 + 2.0 * table.injected(c)) for c in causes], axis=1)
    shares = np.hstack([shares, table.sound()[:, None]])
    shares *= (chosen & shares.any(axis=1))[:, None] / np.maximum(shares.sum(axis=1, keepdims=True), 1.0)
    shares[:, (shares > 0).sum(axis=0) < FEWEST_LABELS] = 0.0
    rows, classes = np.nonzero(shares)
    says = weights[rows] * shares[rows, classes]
    facts = columns.facts

    def model(kept: np.ndarray, most: int) -> LogisticRegression:
        regression = LogisticRegression(C=SOFTNESS_AMONG, max_iter=most, tol=1e-3)
        return regression.fit(facts[np.ix_(rows, kept)], classes, sample_weight=says)

    owners, every = columns.design.owners(), np.arange(facts.shape[1])
    rough = model(every, 30).coef_
    weight = {
        name: float(
            (facts[np.ix_(rows, np.flatnonzero(owners == name))] @ rough[:, owners == name].T).std(0).sum()
        )
        for name in dict.fromkeys(owners)
    }
    heavy = sorted(weight, key=lambda name: -weight[name])[:MOST_AMONG]
    kept = np.flatnonzero(np.isin(owners, heavy))
    fitted = model(kept, 100)
    coefficients, bases = np.zeros((len(causes), facts.shape[1])), np.full(len(causes), NEVER)
    sound = fitted.coef_[-1], fitted.intercept_[-1]  # the last class
    for k, coef, base in zip(fitted.classes_[:-1], fitted.coef_[:-1], fitted.intercept_[:-1], strict=True):
        coefficients[k, kept] = coef - sound[0]
        bases[k] = base - sound[1]
    return coefficients, bases


def fit_cause(
    columns: Columns, cause: str, chosen: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return coefficients and base of one cause, fitted on the chosen logs, (n,) places or mask."""
    facts, signs, y, w = columns.facts[chosen], columns.signs[cause][chosen], labels[chosen], weights[chosen]
    coefficients = np.zeros(facts.shape[1] + signs.shape[1])
    if y.sum() < FEWEST_LABELS:
        return coefficients, NEVER
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
    for i, (train, test) in enumerate(folds(table, number)):
        if tests is not None and i not in tests:
            continue
        fitted = fit_all(columns, table, causes, train)
        for k, (cause, (coefficients, base)) in enumerate(zip(causes, fitted, strict=True)):
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
    first, among = np.argmax(odds, axis=1), against_others(odds)
    for k, cause in enumerate(causes):
        known = ~table.undecided(cause)
        labels = table.labels(cause)[known]
        if labels.sum() < FEWEST_LABELS:
            found.append((1.0, 0.0))
            continue
        says = weights[known] * np.where(first[known] == k, 1.0, ELSEWHERE)
        model = LogisticRegression(C=10.0).fit(among[known][:, [k]], labels, sample_weight=says)
        found.append((float(np.clip(model.coef_[0, 0], 0.2, 2.0)), float(model.intercept_[0])))
    return np.array(found)


def against_others(odds: np.ndarray) -> np.ndarray:
    """Return the log-odds (n, causes) of each cause against all others together and being sound."""
    found = np.empty_like(odds)
    for k in range(odds.shape[1]):
        others = np.hstack([np.delete(odds, k, axis=1), np.zeros((len(odds), 1))])
        most = others.max(axis=1)
        found[:, k] = odds[:, k] - most - np.log(np.exp(others - most[:, None]).sum(axis=1))
    return found


def probabilities(odds: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Return the calibrated probability (n, causes) of each cause."""
    among = against_others(odds) * slopes[:, 0] + slopes[:, 1]
    return np.asarray(1 / (1 + np.exp(-np.clip(among, -700, 700))))


def trusted_words(table: Table, columns: Columns, causes: Sequence[str]) -> list[bool]:
    """Return for each cause whether it holds in `TRUSTED` of the logs at least that the words of its rule name."""
    found = []
    for cause in causes:
        named = columns.agreed[cause] & (~table.undecided(cause) | table.labels(cause))
        labels = table.labels(cause)[named]
        found.append(len(labels) >= FEWEST_LABELS and bool(labels.mean() >= TRUSTED))
    return found


@dataclass(frozen=True, eq=False)
class Bars:
    """From which log-odds causes are clear, and whose words are trusted, in the order of the causes."""

    clear_at: float
    trusted: Sequence[bool]

    @classmethod
    def of(
        cls, table: Table, columns: Columns, causes: Sequence[str], odds: np.ndarray, p: np.ndarray
    ) -> Bars:
        """Find the bar at which `ACCUSED` of the sound runs have a clear cause of severity warning or above.

        One bar for all causes: with one of its own for each, chosen on as many sound runs, more were accused of
        those not chosen on.
        """
        sound, weights, trusted = table.sound(), row_weights(table), trusted_words(table, columns, causes)
        rules = columns.design.rules
        loud = np.array([cause in rules and rules[cause].severity != "note" for cause in causes])
        low, high = 0.0, -NEVER
        for _ in range(25):
            middle = (low + high) / 2
            clear, _likely = cls(middle, trusted).told(columns, causes, odds, p)
            if np.average(clear[sound][:, loud].any(axis=1), weights=weights[sound]) > ACCUSED:
                low = middle
            else:
                high = middle
        return cls(high, trusted)

    def told(
        self, columns: Columns, causes: Sequence[str], odds: np.ndarray, p: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return which causes are clear, and which at least likely, (n, causes) each, by `Cause.judge`."""
        first = np.arange(odds.shape[1]) == np.argmax(odds, axis=1)[:, None]
        shown = np.stack([columns.shown[cause] for cause in causes], axis=1)
        agreed = np.stack([columns.agreed[cause] for cause in causes], axis=1) & np.array(self.trusted)
        likely = p >= np.where(agreed, LIKELY_AGREED, LIKELY)
        clear = (odds >= self.clear_at - np.where(agreed, AGREED, 0.0)) & shown & (likely | first)
        return clear, clear | likely


def fitted_level(
    table: Table, rules: Sequence[Rule], level: str
) -> tuple[dict[str, Cause], Table, np.ndarray]:
    """Return the terms of a level, its logs, and the calibrated probabilities predicted for them across folds."""
    causes = causes_of(table)
    whole = learned(table, level)
    columns = Columns.of(whole, rules, causes)
    odds = across_folds(whole, columns, causes)
    slopes = scales(whole, causes, odds)
    p = probabilities(odds, slopes)
    at = Bars.of(whole, columns, causes, odds, p)
    fitted = fit_all(columns, whole, causes, np.ones(len(whole.rows), dtype=bool))
    found = {
        cause: columns.design.cause(cause, coefficients, base, slopes[k], at.trusted[k], at.clear_at)
        for k, (cause, (coefficients, base)) in enumerate(zip(causes, fitted, strict=True))
    }
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
    left_out = [n for n in facts if n in TEXTS or n in LEFT_OUT or str(n).startswith("siblings.")]
    numbers = facts.drop(columns=left_out)
    clipped: pd.DataFrame = numbers.apply(pd.to_numeric, errors="coerce").clip(-LARGEST, LARGEST)
    return clipped


def _records(table: Table, names: Iterable[str]) -> list[dict[str, Value]]:
    part = table.facts[[name for name in names if name in table.facts]]
    return part.astype(object).where(part.notna(), None).to_dict("records")  # type: ignore[return-value]

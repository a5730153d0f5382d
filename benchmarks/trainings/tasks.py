"""The data sets of the corpus: made here, or bundled with scikit-learn; nothing is downloaded.

Every task has a pool to draw training samples from, a validation set of the same kind, and a clean, class-balanced
test set that the labels are judged by. Inputs are standardized; what is wrong with the data is injected later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

__all__ = ["TASKS", "Task", "task"]

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Task:
    """One data set.

    Attributes:
        name: Its name.
        kind: `image` (n, 1, h, w), `table` (n, features) or `sequence` (n, length) of whole numbers.
        classes: Number of classes; 0 for a regression.
        pool, val, test: Inputs and targets; targets are whole numbers, or of unit variance in a regression.
        tokens: Size of the alphabet of a sequence, else 0.
    """

    name: str
    kind: str
    classes: int
    pool: Arrays
    val: Arrays
    test: Arrays
    tokens: int = 0


def _digits(rng: np.random.Generator) -> tuple[Arrays, int, str]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return (data.images[:, None], data.target), 10, "image"


def _textures(rng: np.random.Generator) -> tuple[Arrays, int, str]:
    n, size, classes = 2600, 10, 6
    y = rng.integers(0, classes, n)
    rows, columns = np.mgrid[:size, :size]
    angle = y * np.pi / classes + rng.normal(0, 0.12, n)
    frequency, phase = 0.8 + 0.2 * rng.random(n), rng.random(n) * 2 * np.pi
    along = np.cos(angle)[:, None, None] * columns + np.sin(angle)[:, None, None] * rows
    waves = np.sin(frequency[:, None, None] * along + phase[:, None, None])
    return ((waves + rng.normal(0, 0.7, waves.shape))[:, None], y), classes, "image"


def _shapes(rng: np.random.Generator) -> tuple[Arrays, int, str]:
    n, size, classes = 2600, 10, 5
    y, images = rng.integers(0, classes, n), np.zeros((n, size, size))
    rows, columns = np.mgrid[:size, :size]
    for i, kind in enumerate(y):
        row, column, reach = *rng.uniform(3, size - 4, 2), rng.uniform(2, 3.4)
        down, right = rows - row, columns - column
        far = np.maximum(abs(down), abs(right))
        images[i] = (
            abs(far - reach) < 0.6,  # a frame
            (abs(down) < 0.7) & (abs(right) <= reach) | (abs(right) < 0.7) & (abs(down) <= reach),  # a cross
            down**2 + right**2 < reach**2,  # a disk
            (down > -reach) & (down < reach) & (abs(right) < (down + reach) / 2),  # a triangle
            (abs(abs(down) - abs(right)) < 0.7) & (far <= reach),  # a diagonal cross
        )[kind]
    return ((images + rng.normal(0, 0.35, images.shape))[:, None], y), classes, "image"


def _patches(rng: np.random.Generator) -> tuple[Arrays, int, str]:
    """Patches of two photographs: which photograph, and its upper or its lower half?"""
    from sklearn.datasets import load_sample_images

    grays = [np.asarray(image, dtype=float).mean(axis=2)[::2, ::2] for image in load_sample_images().images]
    patches, y = [], rng.integers(0, 4, 2600)
    for kind in y:
        gray = np.array_split(grays[kind // 2], 2)[kind % 2]
        row, column = (rng.integers(0, side - 10) for side in gray.shape)
        patches.append(gray[row : row + 10, column : column + 10])
    return (np.stack(patches)[:, None], y), 4, "image"


def _cancer(rng: np.random.Generator) -> tuple[Arrays, int, str]:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return (np.log1p(data.data), data.target), 2, "table"


def _spirals(rng: np.random.Generator) -> tuple[Arrays, int, str]:
    n, classes = 2600, 4
    y, radius = rng.integers(0, classes, n), rng.random(n) * 1.5 + 0.1
    angle = radius * 3 + y * 2 * np.pi / classes + rng.normal(0, 0.17, n)
    return (np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), y), classes, "table"


def _clusters(rng: np.random.Generator) -> tuple[Arrays, int, str]:
    n, classes = 2600, 8
    y, part = rng.integers(0, classes, n), rng.integers(0, 2, n)
    centers = rng.normal(0, 1, (classes, 2, 20))
    return (centers[y, part] + rng.normal(0, 0.8, (n, 20)), y), classes, "table"


def _friedman(rng: np.random.Generator) -> tuple[Arrays, int, str]:
    """The first regression of Friedman 1991."""
    x = rng.random((2600, 10))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    y = y + rng.normal(0, 1, len(y))
    return (x, (y - y.mean()) / y.std()), 0, "table"


def _motifs(rng: np.random.Generator) -> tuple[Arrays, int, str]:
    """Which of five words of three letters stands somewhere in the sequence?"""
    n, length, classes = 2600, 14, 5
    words = np.array([[0, 1, 2], [2, 1, 0], [3, 0, 3], [1, 3, 1], [2, 3, 0]])
    y, x = rng.integers(0, classes, n), rng.integers(4, 8, (n, length))
    at = rng.integers(0, length - 3, n)
    for i in range(n):
        x[i, at[i] : at[i] + 3] = words[y[i]]
        loose = rng.integers(0, length, 2)
        x[i, loose[(loose < at[i]) | (loose > at[i] + 2)]] = rng.integers(0, 4)
    return (x, y), classes, "sequence"


def _order(rng: np.random.Generator) -> tuple[Arrays, int, str]:
    """Two marks among noise: which comes first, and are they near each other?"""
    n, length = 2600, 12
    x = rng.integers(2, 6, (n, length))
    first, second = np.sort(np.stack([rng.permutation(length)[:2] for _ in range(n)]), axis=1).T
    swapped = rng.integers(0, 2, n)
    x[np.arange(n), first], x[np.arange(n), second] = swapped, 1 - swapped
    return (x, 2 * swapped + (second - first < 4)), 4, "sequence"


def _majority(rng: np.random.Generator) -> tuple[Arrays, int, str]:
    """Which of three letters is the most frequent?"""
    n, length = 4000, 12
    odds = rng.dirichlet(np.ones(3), n) * 0.6
    drawn = rng.random((n, length, 1)) < np.concatenate([odds.cumsum(1), np.ones((n, 1))], axis=1)[:, None]
    x = drawn.argmax(2)
    counts = np.stack([(x == letter).sum(1) for letter in range(3)], axis=1)
    clear = np.sort(counts, axis=1)[:, -1] > np.sort(counts, axis=1)[:, -2]
    return (np.where(x == 3, rng.integers(3, 6, x.shape), x)[clear], counts.argmax(1)[clear]), 3, "sequence"


def _rings(rng: np.random.Generator) -> tuple[Arrays, int, str]:
    n, classes = 2600, 3
    y, angle = rng.integers(0, classes, n), rng.random(n) * 2 * np.pi
    radius = 1.0 + y + rng.normal(0, 0.25, n)
    return (
        (np.stack([radius * np.cos(angle), radius * np.sin(angle), rng.normal(0, 1, n)], axis=1), y),
        classes,
        "table",
    )


def _checkers(rng: np.random.Generator) -> tuple[Arrays, int, str]:
    x = rng.uniform(-1.5, 1.5, (2600, 2))
    y = (np.floor(x[:, 0]) + np.floor(x[:, 1])).astype(int) % 2
    return (x + rng.normal(0, 0.05, x.shape), y), 2, "table"


def _waves(rng: np.random.Generator) -> tuple[Arrays, int, str]:
    """Four kinds of wave: sine, square, saw, and a burst, at any phase, in noise."""
    n, t = 2600, np.arange(32) / 32
    y, phase, frequency = rng.integers(0, 4, n), rng.random((n, 1)), rng.uniform(1.5, 3, (n, 1))
    turn = (frequency * t + phase) % 1
    burst = np.sin(12 * np.pi * t) * np.exp(-(((t - phase) / 0.15) ** 2))
    kinds = np.stack([np.sin(2 * np.pi * turn), np.sign(turn - 0.5), 2 * turn - 1, 2 * burst])
    return (kinds[y, np.arange(n)] + rng.normal(0, 0.4, (n, 32)), y), 4, "table"


def _words(rng: np.random.Generator) -> tuple[Arrays, int, str]:
    """Counts of 60 words in texts on six subjects."""
    n, classes = 2600, 6
    subjects, y = rng.dirichlet(np.full(60, 0.15), classes), rng.integers(0, classes, n)
    mixed = 0.6 * subjects[y] + 0.4 * rng.dirichlet(np.full(60, 0.5))
    return (np.log1p(np.stack([rng.multinomial(12, odds) for odds in mixed])), y), classes, "table"


def _teacher(rng: np.random.Generator, inputs: int, classes: int) -> tuple[Arrays, int, str]:
    """What another, random net answers; one answer in thirty is wrong."""
    x = rng.normal(0, 1, (3200, inputs))
    hidden = np.tanh(x @ rng.normal(0, 1.5 / np.sqrt(inputs), (inputs, 16)))
    scores = hidden @ rng.normal(0, 1, (16, classes))
    scores -= np.median(scores, axis=0)
    y = scores.argmax(1)
    return (x, np.where(rng.random(len(y)) < 0.03, rng.integers(0, classes, len(y)), y)), classes, "table"


def _teacher_3(rng: np.random.Generator) -> tuple[Arrays, int, str]:
    return _teacher(rng, 8, 3)


def _teacher_10(rng: np.random.Generator) -> tuple[Arrays, int, str]:
    return _teacher(rng, 16, 10)


def _impedance(rng: np.random.Generator) -> tuple[Arrays, int, str]:
    """The second regression of Friedman 1991, with noise."""
    x = rng.random((2600, 4)) * [100, 520 * np.pi, 1, 10] + [0, 40 * np.pi, 0, 1]
    y = np.sqrt(x[:, 0] ** 2 + (x[:, 1] * x[:, 2] - 1 / (x[:, 1] * x[:, 3])) ** 2)
    y = y + rng.normal(0, 0.2 * y.std(), len(y))
    return (x, (y - y.mean()) / y.std()), 0, "table"


TASKS: Mapping[str, Callable[[np.random.Generator], tuple[Arrays, int, str]]] = {
    "digits": _digits,
    "textures": _textures,
    "shapes": _shapes,
    "patches": _patches,
    "cancer": _cancer,
    "spirals": _spirals,
    "clusters": _clusters,
    "friedman": _friedman,
    "motifs": _motifs,
    "order": _order,
    "majority": _majority,
    "rings": _rings,
    "checkers": _checkers,
    "waves": _waves,
    "words": _words,
    "teacher_3": _teacher_3,
    "teacher_10": _teacher_10,
    "impedance": _impedance,
}


@cache
def task(name: str) -> Task:
    """Make a task; always the same one for a name."""
    rng = np.random.default_rng(sum(map(ord, name)))
    (x, y), classes, kind = TASKS[name](rng)
    if kind != "sequence":
        axis = 0 if kind == "table" else None
        x = (x - x.mean(axis=axis)) / x.std(axis=axis)
    order = rng.permutation(len(y))
    x, y = x[order].astype(np.int64 if kind == "sequence" else np.float32), y[order]
    y = y.astype(np.int64 if classes else np.float32)
    n_val, n_test = len(y) // 5, len(y) // 4
    test = (x[:n_test], y[:n_test])
    if classes:
        test = _balanced(*test)
    val, pool = (
        (x[n_test : n_test + n_val], y[n_test : n_test + n_val]),
        (x[n_test + n_val :], y[n_test + n_val :]),
    )
    return Task(name, kind, classes, pool, val, test, int(x.max()) + 1 if kind == "sequence" else 0)


def _balanced(x: np.ndarray, y: np.ndarray) -> Arrays:
    fewest = np.bincount(y).min()
    kept = np.concatenate([np.flatnonzero(y == label)[:fewest] for label in range(y.max() + 1)])
    return x[kept], y[kept]

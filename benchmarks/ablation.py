"""Which facts carry each cause, on the committed table of facts: `python benchmarks/ablation.py [--level rich]`.

For every epoch-wise log that has the cause, the shipped trees split the log-odds of that cause among the facts; a
fact's mean share is how much would be missing without it. Printed are the heaviest of each cause, and below it the
kinds of log that tell most, in bits a run, beside losses, accuracy and learning rate (fitted in the same way, with
that kind left out and put in).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from plateau_doctor.labeled import at_level, causes_of, read_table
from plateau_doctor.weights import LEVELS, shipped

CORPUS = Path(__file__).parent / "corpus"
MOST, LEAST_BITS = 5, 0.002


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--level", choices=LEVELS, default="rich")
    level = parser.parse_args().level
    for line in lines(level):
        print(line)


def lines(level: str) -> Iterator[str]:
    """Yield two lines a cause."""
    table, weights = read_table(CORPUS), shipped()
    trees = weights.trees[level]
    logs = at_level(table, level)
    logs = logs.only(((logs.rows["axis"] == "epoch") & (logs.rows["seed"] == 0)).to_numpy())
    facts = logs.facts.astype(object)
    records = facts.where(facts.notna(), None).to_dict("records")
    shares = np.array([trees.shares(trees.row(record)) for record in records])
    shares = shares[:, :-1, :-1] - shares[:, -1:, :-1]  # against a sound run, without the base
    for k, cause in enumerate(causes_of(table)):
        own = shares[logs.labels(cause), k]
        sums = dict(zip(trees.features, map(float, own.mean(axis=0)), strict=True))
        heavy = sorted(sums, key=lambda fact: -sums[fact])[:MOST]
        bits = {need: told[cause] for need, told in weights.information.items() if told[cause] >= LEAST_BITS}
        most = sorted(bits, key=lambda need: -bits[need])[:MOST]
        yield f"{cause} ({len(own)} logs): " + ", ".join(f"{fact} {sums[fact]:+.2f}" for fact in heavy)
        yield "    logs: " + (", ".join(f"{need} {bits[need]:.3f}" for need in most) or "none tells more")


if __name__ == "__main__":
    main()

"""Whether the state of a training, and its facts, are the same however the training was logged.

    python benchmarks/state.py FOLDER [--facts] [--every 1] [--jobs 2]

FOLDER is what `benchmarks/corpus.py train` fills; units that are not finished are left out. Each training is logged
with single batches' losses, thinned and resumed, at three levels of richness, and each log is held against the
epoch-wise log of the same level. Printed are the share of logs whose state is unchanged, by axis and by pair of
states, with 95 % Wilson intervals, and the states of sound configurations. With `--facts` also the share of logs in
which each fact differs by more than 20 %, or is known in one log alone; worst first.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from trainings.derived import labels_of, logged_run, overfitted, spoilt

from plateau_doctor.facts import Facts, known_facts

LEVELS = ("loss", "rate", "rich")
AXES = ("step", "thinned", "resumed")
SEEDS = 3
FAR = 0.2
Values = Mapping[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--facts", action="store_true", help="compare all facts as well; takes longer")
    parser.add_argument("--every", type=int, default=1, help="take every n-th configuration (default all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    names = tuple(known_facts()) if args.facts else ("state.name",)
    units = sorted(file.parent for file in args.folder.glob("*/done"))
    jobs = [(unit, one, names) for unit in units for one in json.loads((unit / "outcomes.json").read_text())]
    jobs = jobs[:: args.every]
    with ProcessPoolExecutor(args.jobs) as pool:
        found = [log for logs in pool.map(_logs, jobs, chunksize=4) for log in logs]
    print(f"{len(jobs)} configurations of {len(units)} units, {len(found)} logs")
    print_states(found)
    if args.facts:
        print_facts(found, names)


Log = tuple[str, int, str, str, bool, Values]  # configuration, seed, level, axis, whether it is sound, facts


def _logs(job: tuple[Path, Mapping[str, Any], Sequence[str]]) -> list[Log]:
    unit, outcome, names = job
    return list(logs_of(unit, outcome, names))


def logs_of(unit: Path, outcome: Mapping[str, Any], names: Sequence[str]) -> Iterator[Log]:
    """Yield the facts called `names` of every log of one configuration."""
    name, setup = outcome["name"], outcome["setup"]
    labels, undecided = labels_of(outcome, overfitted(unit.parent, outcome))
    sound = not (labels or undecided or outcome["injected"] or outcome["artifact"])
    with np.load(unit / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    for seed in range(SEEDS):
        logs = {key.split("/")[0]: value for key, value in arrays.items() if key.endswith(f"/{seed}")}
        logs = spoilt(logs, outcome["artifact"], setup["steps_per_epoch"])
        for level in LEVELS:
            for axis in ("epoch", *AXES):
                facts = Facts(logged_run(name, logs, setup, level, axis))
                yield name, seed, level, axis, sound, {one: facts[one] for one in names}


def print_states(found: Sequence[Log]) -> None:
    base = {log[:3]: log[5]["state.name"] for log in found if log[3] == "epoch"}
    others = [(log[2], log[3], base[log[:3]], log[5]["state.name"]) for log in found if log[3] != "epoch"]
    print(f"\n{'state unchanged against the epoch-wise log':44s} share  95 % interval     logs")
    for axis in AXES:
        _print_share(axis, [was == now for _, one, was, now in others if one == axis])
    for level in LEVELS:
        _print_share(f"level {level}", [was == now for one, _, was, now in others if one == level])
    _print_share("all", [was == now for _, _, was, now in others])
    pairs = Counter((str(was), str(now), axis) for _, axis, was, now in others if was != now)
    print(
        "\nepoch-wise -> otherwise" + " " * 24 + "".join(f"{axis:>9s}" for axis in AXES) + "   share of all"
    )
    totals = Counter({pair: sum(pairs[(*pair, axis)] for axis in AXES) for pair in {p[:2] for p in pairs}})
    for pair, total in totals.most_common():
        counts = "".join(f"{pairs[(*pair, axis)]:9d}" for axis in AXES)
        print(f"{pair[0] + ' -> ' + pair[1]:47s}{counts}   {total / len(others):6.1%}")
    print("\nstates, epoch-wise        all   sound")
    epochs = [log for log in found if log[3] == "epoch"]
    sound = [log for log in epochs if log[4]]
    for state, count in Counter(str(log[5]["state.name"]) for log in epochs).most_common():
        share = sum(log[5]["state.name"] == state for log in sound) / max(1, len(sound))
        print(f"{state:22s} {count / len(epochs):6.1%}  {share:6.1%}")


def print_facts(found: Sequence[Log], names: Sequence[str]) -> None:
    base = {log[:3]: log[5] for log in found if log[3] == "epoch"}
    print(f"\nshare of logs that differ by more than {FAR:.0%} from the epoch-wise log")
    print(f"{'fact':32s}" + "".join(f"{axis:>9s}" for axis in AXES))
    rows = []
    for name in names:
        shares = []
        for axis in AXES:
            pairs = [(base[log[:3]][name], log[5][name]) for log in found if log[3] == axis]
            known = [pair for pair in pairs if pair != (None, None)]
            shares.append(sum(differ(*pair) for pair in known) / len(known) if known else 0.0)
        rows.append((max(shares), name, shares))
    for worst, name, shares in sorted(rows, reverse=True):
        if worst > 0:
            print(f"{name:32s}" + "".join(f"{share:9.0%}" for share in shares))


def differ(one: object, other: object) -> bool:
    """Whether two values of a fact differ by more than a fifth of the larger; numbers near 0 by 0.02."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) > max(FAR * max(abs(one), abs(other)), FAR / 10)
    return one != other


def _print_share(what: str, same: Sequence[bool]) -> None:
    share, (low, high) = sum(same) / max(1, len(same)), wilson(sum(same), len(same))
    print(f"  {what:42s} {share:6.1%}  {low:6.1%} to {high:6.1%}  {len(same):6d}")


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    if of == 0:
        return 0.0, 1.0
    z, share = 1.96, hits / of
    middle, half = share + z * z / (2 * of), z * ((share * (1 - share) + z * z / (4 * of)) / of) ** 0.5
    return (middle - half) / (1 + z * z / of), (middle + half) / (1 + z * z / of)


if __name__ == "__main__":
    main()

"""Whether a run is judged alike when it comes from files, under the names that people give their logs.

    python benchmarks/renamed.py FOLDER [--verbose]

FOLDER is a corpus that `corpus.py train` made, or what `peers.py` trained; the trainings of
`trainings/sub_corpus.py` that it holds are written in the ways of `trainings/writers.py`, read back, and judged by
the shipped weights. Prints the share whose state, and whose first cause, are those of the run as it was before
it was written, with Wilson intervals; then the tags whose role was not found.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from accuracy import CORPUS, wilson
from trainings.sub_corpus import choose, logs_of, outcomes_of
from trainings.writers import WRITTEN, Written

from plateau_doctor import readers
from plateau_doctor.examination import examine, load_rules
from plateau_doctor.labeled import read_table
from plateau_doctor.rule import Rule
from plateau_doctor.run import Run


@dataclass(frozen=True)
class Reread:
    """One run before it was written and after it was read: state and first cause, "" where none is named."""

    way: Written
    name: str
    before: tuple[str, str]
    after: tuple[str, str]
    lost: tuple[str, ...] = ()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--verbose", action="store_true", help="print a line for every run that changed")
    args = parser.parse_args()
    table = read_table(CORPUS)
    chosen = choose(table.configs, set(table.rows["name"][table.sound()]))
    found = [one for outcome in outcomes_of(args.folder, chosen) for one in reread(args.folder, outcome)]
    for line in lines(found):
        print(line)
    for one in found:
        if args.verbose and one.before != one.after:
            print(
                f"{one.name} {one.way.level} {one.way.name}: {' '.join(one.before)} -> {' '.join(one.after)}"
            )


def reread(folder: Path, outcome: dict[str, object]) -> Iterator[Reread]:
    """Yield what becomes of one training in every way of writing it."""
    rules = load_rules()
    runs = {
        (level, axis): run
        for level, axis, run in logs_of(folder, outcome, *{(way.level, way.axis) for way in WRITTEN})
    }
    before = {kind: verdict(run, rules) for kind, run in runs.items()}
    for way in WRITTEN:
        kind = way.level, way.axis
        with tempfile.TemporaryDirectory() as place:
            written = Path(place) / str(outcome["name"])
            way.write(runs[kind], written)
            again = [one for one in readers.read(written) if isinstance(one, Run)]
        if len(again) == 1:
            yield Reread(
                way, str(outcome["name"]), before[kind], verdict(again[0], rules), _lost(runs[kind], again[0])
            )
        else:
            yield Reread(way, str(outcome["name"]), before[kind], (f"{len(again)} runs", ""))


def verdict(run: Run, rules: tuple[Rule, ...]) -> tuple[str, str]:
    """Return the state and the first cause that is named, "" for none."""
    found = examine(run, rules)
    return found.state, found.diagnoses[0].cause if found.diagnoses else ""


def _lost(run: Run, again: Run) -> tuple[str, ...]:
    """Return the roles that fewer values have than were written, with the tags that might hold them."""
    had, has = Counter(run.scalars["role"]), Counter(again.scalars["role"])
    lost = [role for role, many in had.items() if has[role] < many]
    unknown = [
        tag for tag, role in zip(again.scalars["tag"], again.scalars["role"], strict=True) if role not in had
    ]
    return tuple(f"{role} (of {', '.join(sorted(set(unknown) - {'epoch'})[:3])})" for role in lost)


def lines(found: list[Reread]) -> Iterator[str]:
    """Yield the table, one row a way of writing, and what was lost."""
    yield f"{'written as':42s} {'log':5s} {'n':>4s}  {'state unchanged':20s}  first cause unchanged"
    for way in WRITTEN:
        yield _row(way.name, way.level, [one for one in found if one.way is way])
    yield _row("all", "", found)
    lost = Counter((one.way.name, what) for one in found for what in one.lost)
    for (name, what), many in lost.most_common():
        yield f"  {name}: {what} lost in {many}"


def _row(name: str, level: str, found: list[Reread]) -> str:
    shares = []
    for part in (0, 1):
        same = [one.before[part] == one.after[part] for one in found]
        low, high = wilson(sum(same), len(same))
        shares.append(f"{sum(same) / max(1, len(same)):6.1%} ({abs(low) * 100:.0f}-{high * 100:.0f})")
    return f"{name:42s} {level:5s} {len(found):4d}  {shares[0]:20s}  {shares[1]}"


if __name__ == "__main__":
    main()

"""plateau-doctor beside the log-only tools on PyPI, on the same few trainings, in minutes.

    python benchmarks/peers.py FOLDER [--peers-venv DIR] [--jobs 2]

FOLDER is a corpus that `corpus.py train` made, whole or in part; if it is not there, the hundred trainings that are
asked about are trained into it (`trainings/sub_corpus.py`). The rivals are installed below DIR, each release in an
environment of its own (`rivals/`). All are asked about the first seed of each configuration, as logged epoch by
epoch and step by step: losses, accuracies, learning rate, and for the rivals the gradient norm. Our own answers are
those that `accuracy.py` predicts across folds, by weights that have not seen the data set; "rich" has histograms.

A cause is right when undoing it, alone, made that training end clearly better. A finding of a rival is right when
any of the causes that it stands for is. A sound training is accused by any problem above a note.
"""

from __future__ import annotations

import argparse
import csv
import io
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from accuracy import CORPUS, Judged, judge, wilson
from rivals import RIVALS, Answer
from trainings.derived import row_of
from trainings.sub_corpus import choose, logs_of, outcomes_of, train_chosen

from plateau_doctor.facts import known_facts
from plateau_doctor.labeled import Table, read_table
from plateau_doctor.run import Run

AXES = ("epoch", "step")
OURS = (("plateau-doctor, rich", "rich"), ("plateau-doctor", "rate"))
COLUMNS = {
    "train_loss": "loss",
    "val_loss": "val_loss",
    "train_metric": "accuracy",
    "val_metric": "val_accuracy",
    "learning_rate": "lr",
    "grad_norm": "grad_norm",
}
KEYS = ["name", "seed", "level", "axis"]


@dataclass(frozen=True)
class Asked:
    """What one tool said of logs of one kind, beside what the trainings have.

    Attributes:
        name: The tool.
        axis: `epoch` or `step`.
        answers: Name of a training -> its answer.
    """

    name: str
    axis: str
    answers: Mapping[str, Answer]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peers-venv", type=Path, default=Path(tempfile.gettempdir()) / "peers-venv")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folds", type=int, default=5)
    args = parser.parse_args()
    table = read_table(CORPUS)
    chosen = choose(table.configs, set(table.rows["name"][table.sound()]))
    if not args.folder.exists():
        train_chosen(args.folder, set(chosen), args.jobs)
    outcomes = outcomes_of(args.folder, chosen)
    print(f"{len(chosen)} trainings chosen, {len(outcomes)} of them in {args.folder}")
    kept = [one["name"] for one in outcomes]
    asked = [
        *ours(judge(with_logs(table, args.folder, outcomes), args.folds), kept),
        *theirs(args.folder, outcomes, args.peers_venv),
        *control(table, kept),
    ]
    truth = {name: table.configs.at[name, "labels"] for name in kept}
    for line in (
        *lines(asked, truth),
        "",
        *by_cause(asked[: -len(AXES)], {name: chosen[name] for name in kept}),
    ):
        print(line)


def with_logs(table: Table, folder: Path, outcomes: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table with the logs at hand in the place of its own of these trainings' first seeds.

    A training of a few copies has other random numbers than the same one among many; so our answers are made for
    the very logs that the rivals get.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*KEYS, *known_facts()])
    for outcome in outcomes:
        for level, axis, run in logs_of(
            folder, outcome, *((level, axis) for _, level in OURS for axis in AXES)
        ):
            writer.writerow(row_of(run, outcome["name"], 0, level, axis))
    text.seek(0)
    new = pd.read_csv(text)
    old = pd.concat([table.rows, table.facts], axis=1)
    same = old.set_index(KEYS).index.isin(new.set_index(KEYS).index)
    frame = pd.concat([old[~same], new.reindex(columns=old.columns)], ignore_index=True)
    return Table(frame.drop(columns=KEYS), frame[KEYS], table.configs)


def ours(judged: Judged, names: Sequence[str]) -> Iterator[Asked]:
    """Yield our answers from the predictions across folds."""
    rows = judged.table.rows
    for title, level in OURS:
        for axis in AXES:
            wanted = (
                judged.logs(level, axis)
                & (rows["seed"] == 0).to_numpy()
                & rows["name"].isin(names).to_numpy()
            )
            yield Asked(
                title, axis, {rows["name"][i]: _our_answer(judged, i) for i in np.flatnonzero(wanted)}
            )


def _our_answer(judged: Judged, i: int) -> Answer:
    if not judged.named[i]:
        return Answer(accused=bool(judged.accused[i]))
    first = int(judged.first[i])
    order = [first, *(k for k in np.argsort(-judged.odds[i]) if judged.told[i, k] and k != first)]
    return Answer(tuple(frozenset({judged.causes[k]}) for k in order), bool(judged.accused[i]))


def theirs(folder: Path, outcomes: Sequence[Mapping[str, Any]], environments: Path) -> Iterator[Asked]:
    """Yield what each rival says of the same logs, written as CSV files."""
    with tempfile.TemporaryDirectory() as place:
        files: dict[str, dict[str, Path]] = {axis: {} for axis in AXES}
        for outcome in outcomes:
            for _, axis, run in logs_of(folder, outcome, *(("norm", axis) for axis in AXES)):
                files[axis][outcome["name"]] = Path(place) / f"{outcome['name']}-{axis}.csv"
                write_csv(run, files[axis][outcome["name"]], axis)
        for rival in RIVALS:
            python = rival.installed(environments)
            for axis in rival.axes:
                answers = rival.ask(python, list(files[axis].values()))
                yield Asked(rival.name, axis, dict(zip(files[axis], answers, strict=True)))


def write_csv(run: Run, file: Path, axis: str) -> None:
    """Write a log in the columns that every rival knows, one row an epoch or a step."""
    rows: dict[float, dict[str, float]] = {}
    for one in run.scalars.itertuples():
        if one.role in COLUMNS:
            at = np.ceil(one.epoch - 1e-9) if axis == "epoch" else one.step
            rows.setdefault(at, {"step": at, "epoch": np.ceil(one.epoch - 1e-9)})[COLUMNS[one.role]] = (
                one.value
            )
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, ["step", "epoch", *COLUMNS.values()])
        writer.writeheader()
        for at in sorted(rows):
            writer.writerow(
                {k: int(v) if k in ("step", "epoch") else repr(float(v)) for k, v in rows[at].items()}
            )


def control(table: Table, names: Sequence[str]) -> Iterator[Asked]:
    """Yield the answer that knows nothing: the commonest cause of the corpus, always."""
    counts = Counter(cause for labels in table.configs["labels"] for cause in labels)
    most = counts.most_common(1)[0][0]
    for axis in AXES:
        yield Asked(f"always {most}", axis, dict.fromkeys(names, Answer((frozenset({most}),), True)))


def lines(asked: Sequence[Asked], truth: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """Yield the table of tools: right first, right anywhere, accused."""
    sick = [name for name, labels in truth.items() if labels]
    sound = [name for name, labels in truth.items() if not labels]
    yield (
        f"{len(sick)} trainings with a cause (on average {np.mean([len(truth[n]) for n in sick]):.2f}), "
        f"{len(sound)} sound; 95 % intervals (Wilson)"
    )
    yield f"{'tool':22s} {'log':5s}  {'right cause first':22s}  {'right cause anywhere':22s}  {'sound runs accused':s}"
    for one in asked:
        said = one.answers
        first = [bool(said[n].findings[:1] and said[n].findings[0] & truth[n]) for n in sick]
        anywhere = [any(causes & truth[n] for causes in said[n].findings) for n in sick]
        accused = [said[n].accused for n in sound]
        yield f"{one.name:22s} {one.axis:5s}  {share(first):22s}  {share(anywhere):22s}  {share(accused)}".rstrip()
    for one in asked:
        errors = Counter(answer.error for answer in one.answers.values() if answer.error)
        for error, count in errors.items():
            yield f"  {one.name}, {one.axis}: {count} logs refused: {error[:60]}"


def share(hits: Sequence[bool]) -> str:
    """Return a count, its share and its interval: `45/63  71% (59-81)`."""
    low, high = wilson(sum(hits), len(hits))
    return f"{sum(hits):2d}/{len(hits)} {sum(hits) / max(1, len(hits)):4.0%} ({abs(low) * 100:.0f}-{high * 100:.0f})"


def by_cause(asked: Sequence[Asked], stands_for: Mapping[str, str]) -> Iterator[str]:
    """Yield for each cause how many of the trainings chosen for it each tool names it of, anywhere, by epoch."""
    tools = {one.name.replace("plateau-doctor", "ours"): one for one in asked if one.axis == "epoch"}
    yield f"{'named at all, by epoch':22s} {'n':>2s}  " + "  ".join(tools)
    for cause in sorted(set(stands_for.values()) - {""}):
        names = [name for name, own in stands_for.items() if own == cause]
        found = {
            tool: sum(any(cause in causes for causes in one.answers[name].findings) for name in names)
            for tool, one in tools.items()
        }
        counts = "  ".join(f"{count or '-':>{len(tool)}}" for tool, count in found.items())
        yield f"{cause:22s} {len(names):2d}  {counts}"


if __name__ == "__main__":
    main()

"""Our verdicts on a folder of real logs against the labels a person gave them.

    python benchmarks/real_logs.py FOLDER [--verbose]

FOLDER holds log files and a `manifest.csv` with the columns file, repo, label, onset. Prints one table of
labels against what was found, one row a repository, the false accusations, the files that were not read and
why, and the seconds it took. A plateau label counts as seen when a plateau of any series begins near the
onset (within a fifth of the run, whatever the run's final state); an overfitting label when overfitting,
small_dataset or label_noise is among the causes. A healthy run is accused by any diagnosis of severity
warning or above.
"""

from __future__ import annotations

import argparse
import csv
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from plateau_doctor.examination import Examination, RunExamination, analyze

PLATEAU_LABELS = ("plateau from start", "early plateau")
OVERFIT_CAUSES = {"overfitting", "small_dataset", "label_noise"}
HEALTHY = "healthy/converging"
NEAR = 0.2
WORTH = ("unjudged", "calm", "missed", "accused", "seen")  # which trial of several stands for the file


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--verbose", action="store_true", help="print a line for every labelled file")
    args = parser.parse_args()
    with (args.folder / "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    began = time.perf_counter()
    found = analyze([args.folder])
    seconds = time.perf_counter() - began
    table(args.folder, rows, found, args.verbose)
    print(f"\n{len(found.runs)} runs and {len(found.problems)} problems in {seconds:.1f} s")


def judged(
    folder: Path, rows: list[dict[str, str]], found: Examination
) -> Iterator[tuple[dict[str, str], str, bool]]:
    """Yield each row of the manifest, the verdict on it, and whether its file was read or named."""
    for row, one, problems in matched(folder, rows, found):
        yield row, judge(row, one), one is not None or bool(problems)


def matched(
    folder: Path, rows: list[dict[str, str]], found: Examination
) -> Iterator[tuple[dict[str, str], RunExamination | None, list[str]]]:
    """Yield each row of the manifest with the run its file stands for and what was said of the file."""
    runs: dict[str, list[RunExamination]] = defaultdict(list)
    for each in found.runs:
        runs[str(Path(each.run.source))].append(each)
    named = defaultdict(list)
    for problem in found.problems:
        named[str(Path(problem.path))].append(f"{problem.what}: {problem.why}")
    for row in rows:
        file = folder / row["file"]
        mine = find(file, runs)  # of several trials in one file, the one that decides
        one = max(mine, key=lambda each, row=row: WORTH.index(judge(row, each)), default=None)  # type: ignore[misc]
        yield row, one, named.get(str(file), [])


def table(folder: Path, rows: list[dict[str, str]], found: Examination, verbose: bool) -> None:
    by_label: dict[str, Counter[str]] = defaultdict(Counter)
    by_repo: dict[str, Counter[str]] = defaultdict(Counter)
    silent, accused, missed = [], [], []
    for row, one, problems in matched(folder, rows, found):
        if one is None and not problems:
            silent.append(row["file"])
        verdict = judge(row, one)
        cause = one.diagnoses[0].cause if one and one.diagnoses else "-"
        state = one.state if one else "not a run" if problems else "NOT READ"
        by_label[row["label"]][f"{state}/{cause}"] += 1
        by_label[row["label"]][f"={verdict}"] += 1
        by_repo[row["repo"]][verdict] += 1
        line = f"{row['file'][-72:]:72} {row['label']:20} {row['onset']:14} {state:14} {cause}"
        if verdict == "accused":
            accused.append(line)
        if verdict == "missed":
            missed.append(line)
        if verbose:
            print(f"{verdict:8} {line} {[d.cause for d in one.diagnoses] if one else problems[:1]}")
    print(f"{'label':22} files seen  share  what was found (state/first cause)")
    for label, counts in sorted(by_label.items()):
        n = sum(v for k, v in counts.items() if k.startswith("="))
        good = counts["=seen"] + counts["=calm"]
        judged = good + counts["=missed"] + counts["=accused"]
        share = f"{good / judged:6.0%}" if judged else "     -"
        what = ", ".join(f"{k} {v}" for k, v in counts.most_common() if not k.startswith("="))
        print(f"{label:22} {n:5} {good:4} {share}  {what}")
    target = [v for label in (*PLATEAU_LABELS, "overfitting") for v in [by_label[label]]]
    seen, all_ = sum(c["=seen"] for c in target), sum(c["=seen"] + c["=missed"] for c in target)
    healthy = by_label[HEALTHY]
    print(f"\nplateau and overfitting labels seen: {seen} of {all_} ({seen / max(1, all_):.0%})")
    print(f"healthy runs accused: {healthy['=accused']} of {healthy['=accused'] + healthy['=calm']}")
    print("\nrepository".ljust(50) + "seen missed calm accused unjudged")
    for repo, c in sorted(by_repo.items()):
        print(f"{repo:48} {c['seen']:5} {c['missed']:6} {c['calm']:4} {c['accused']:7} {c['unjudged']:8}")
    for title, lines in (("accused", accused), ("missed", missed), ("neither read nor named", silent)):
        print(f"\n{title}: {len(lines)}", *lines, sep="\n  ")
    print("\nnamed as no run or as damaged:")
    for why, count in Counter(f"{p.what}: {p.why}"[:110] for p in found.problems).most_common():
        print(f"  {count:4} {why}")


def find(file: Path, runs: dict[str, list[RunExamination]]) -> list[RunExamination]:
    """Return the runs that a file holds or belongs to: its own, its folder's, or those of the folder above.

    A copy of a run that was joined with another file of its folder stands under that file.
    """
    for place in (file, file.parent, file.parent.parent):
        if runs.get(str(place)):
            return runs[str(place)]
    return [one for each in runs.values() for one in each if str(file) in one.run.reasons.get("joined", "")]


def judge(row: dict[str, str], one: RunExamination | None) -> str:
    if one is None:
        return "missed" if row["label"] in (*PLATEAU_LABELS, "overfitting") else "unjudged"
    if row["label"] == "overfitting":
        return "seen" if {d.cause for d in one.diagnoses} & OVERFIT_CAUSES else "missed"
    if row["label"] in PLATEAU_LABELS:
        return "seen" if any(near(p.start_step, p.start_epoch, row, one) for p in one.plateaus) else "missed"
    accused = any(d.severity in ("warning", "error") for d in one.diagnoses)
    if row["label"] == HEALTHY:
        return "accused" if accused else "calm"
    return "unjudged"


def near(step: float, epoch: float | None, row: dict[str, str], one: RunExamination) -> bool:
    """Whether a plateau starts within a fifth of the run from the labelled onset; without one, in the first half."""
    scalars = one.run.scalars
    number = re.search(r"[0-9]+(?:\.[0-9]+)?(?:e[0-9]+)?", row["onset"])
    by_epoch = "epoch" in row["onset"] and epoch is not None
    axis = scalars["epoch"] if by_epoch else scalars["step"]
    at = epoch if by_epoch and epoch is not None else step
    low, span = float(axis.min()), max(float(axis.max() - axis.min()), 1.0)
    if number is None:
        return at <= low + span / 2
    return abs(at - float(number.group())) <= NEAR * span


if __name__ == "__main__":
    main()

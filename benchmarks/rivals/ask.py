"""Asks one rival what is wrong with logs; run by the Python of the environment that the rival is installed in.

    python ask.py RIVAL FILE...

FILE is a CSV with the columns step, epoch, loss, val_loss, accuracy, val_accuracy, lr, grad_norm, an empty cell where
nothing was logged. Prints one JSON object: file -> list of (finding, severity), in the rival's own order, or the
text of the error that it raised. Each is called as its own command line calls it.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable

Findings = list[tuple[str, str]]


def runmedic(path: str) -> Findings:
    from runmedic import loaders, roles
    from runmedic.checks import run_checks

    run = loaders.load(path)[0]
    return [(f.check, f.severity) for f in run_checks(run, roles.detect(run))]


def trainspotter(path: str) -> Findings:
    from trainspotter.detectors import run_all
    from trainspotter.readers import load_run

    return [(f"{f.detector}: {f.title}", f.severity) for f in run_all(load_run(path))]


def trainproof(path: str) -> Findings:
    from trainproof.epoch import check_epoch

    return [(f["id"], f["level"]) for f in check_epoch(path)["findings"]]


def runwise(path: str) -> Findings:
    from runwise import detect_anomalies

    return [(f"{a.type}: {a.message.split()[0]}", a.severity) for a in detect_anomalies(rows(path))]


def sk_autod(path: str) -> Findings:
    from sk_autod import diagnose

    both = [row for row in rows(path) if "loss" in row and "val_loss" in row]
    report = diagnose([row["loss"] for row in both], [row["val_loss"] for row in both])
    return [(f.detector_name, f.severity.value) for f in report.findings]


def rows(path: str) -> list[dict[str, float]]:
    with open(path, newline="") as file:  # noqa: PTH123
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def main() -> None:
    asked: dict[str, Callable[[str], Findings]] = {
        one.__name__: one for one in (runmedic, trainspotter, trainproof, runwise, sk_autod)
    }
    told: dict[str, Findings | str] = {}
    for path in sys.argv[2:]:
        try:
            told[path] = asked[sys.argv[1]](path)
        except Exception as error:  # whatever a rival raises is its answer
            told[path] = f"{type(error).__name__}: {error}"
    print(json.dumps(told))


if __name__ == "__main__":
    main()

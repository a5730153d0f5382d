"""Reads damaged logs of every format and counts what became of them.

    python benchmarks/fuzz_readers.py [--count 100000] [--start 0] [--limit 20]

Case number i is made from i alone, so a run may be cut in pieces: `--start 50000 --count 50000` is the second half
of 100,000, and `--start 1234 --count 1` repeats one case, with its traceback. A case is one small sound log (events,
CSV, JSON lines, JSON, MLflow, text) with one to four wounds. It fails when reading it raises, takes longer than
`--limit` seconds, or loses an intact row without a word. Ends with 1 if any failed.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tests" / "readers"))

from making_damage import SAMPLES, damaged, lost, write

from plateau_doctor.readers import read
from plateau_doctor.run import Problem

KINDS = ("read", "read in part, the damage named", "named as unreadable", "lost a row silently", "crashed")


class TooLongError(Exception):
    """Reading one case took longer than the limit."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--limit", type=int, default=20, help="seconds that one case may take")
    asked = parser.parse_args()
    warnings.simplefilter("error")  # a warning on the screen of a user is a fault, too
    signal.signal(signal.SIGALRM, _too_long)
    counts: Counter[str] = Counter()
    slowest, biggest = (0.0, asked.start), (0.0, asked.start)
    at_start = _peak()
    for case in range(asked.start, asked.start + asked.count):
        before, began = _peak(), time.perf_counter()
        signal.alarm(asked.limit)
        try:
            kind = _outcome(case)
        except Exception:
            kind = "crashed"
            print(f"case {case} ({SAMPLES[case % len(SAMPLES)].name}):", file=sys.stderr)
            traceback.print_exc(None if asked.count == 1 else 3)
        signal.alarm(0)
        counts[kind] += 1
        slowest = max(slowest, (time.perf_counter() - began, case))
        biggest = max(biggest, (_peak() - before, case))
    for kind in KINDS:
        print(f"{kind:32} {counts[kind]:8,}")
    print(f"{'slowest':32} {slowest[0]:8.2f} s    case {slowest[1]}")
    print(f"{'most memory that a case added':32} {biggest[0]:8.1f} MB   case {biggest[1]}")
    print(f"{'peak of the process':32} {_peak():8.1f} MB   {at_start:.1f} MB at the start")
    sys.exit(bool(counts["crashed"] + counts["lost a row silently"]))


def _outcome(case: int) -> str:
    sample = SAMPLES[case % len(SAMPLES)]
    content = damaged(sample.content, case)
    with tempfile.TemporaryDirectory() as folder:
        found = list(read(write(sample, content, Path(folder))))
    missing = lost(sample, content, found)
    if missing or not found:
        print(f"case {case} ({sample.name}): lost {missing or 'all'} without a word", file=sys.stderr)
        return "lost a row silently"
    if all(isinstance(one, Problem) for one in found):
        return "named as unreadable"
    named = any(isinstance(one, Problem) or one.problems for one in found)
    return "read in part, the damage named" if named else "read"


def _too_long(*_: object) -> None:
    raise TooLongError


def _peak() -> float:
    """Return the most memory that the process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)


if __name__ == "__main__":
    main()

"""Verifies the classic remedies on unmodified example scripts: `python benchmarks/remedies.py [FOLDER] [--jobs N]`.

A learning-rate schedule (step, cyclical, on-plateau), augmentation on a small set of images, and transfer learning,
from a small net that the example pretrains itself on other classes: first frozen, then with its last layers free. Each
is one `plateau-doctor verify` of one fix on a run that it ought to help, and one on a run that it ought not to.
Prints the verdicts.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
NOISY = ("--sick", "lr_never_lowered")
SMALL = ("--sick", "small_dataset", "--epochs", "150")
SLOW = ("--sick", "lr_too_low")


@dataclass(frozen=True)
class Case:
    """A fix on a run.

    Attributes:
        fix: The fix.
        framework: Whose example is trained.
        flags: What it is given.
        helps: Whether the fix ought to help.
        weights: Whether it takes pretrained weights.
    """

    fix: str
    framework: str
    flags: tuple[str, ...]
    helps: bool
    weights: bool = False


CASES = (
    *(Case(fix, "torch", NOISY, True) for fix in ("step_decay", "reduce_on_plateau")),
    Case("one_cycle", "torch", (*SLOW, "--epochs", "60"), True),
    Case("step_decay", "keras", NOISY, True),
    Case("step_decay", "torch", SLOW, False),
    Case("augment_data", "torch", SMALL, True),
    Case("augment_data", "keras", SMALL, True),
    Case("augment_data", "torch", SLOW, False),
    Case("transfer_learning", "keras", SMALL, True, weights=True),
)


def ran(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, *command], env={**os.environ, **QUIET}, capture_output=True, text=True, check=False
    )


def verdict(case: Case, folder: Path, weights: Path, jobs: int) -> dict[str, object]:
    """Train the run unless it is there, verify the fix on it, and return the verdict as `verify` writes it."""
    name = "-".join((case.framework, *(flag.strip("-") for flag in case.flags)))
    logs, script = folder / "logs" / name, str(EXAMPLES / f"train_{case.framework}.py")
    if not logs.exists():
        done = ran(script, *case.flags, "--logdir", str(logs))
        if done.returncode:
            raise SystemExit(done.stderr)
    told = folder / f"{case.fix}-{name}.json"
    # a schedule shows at the end of it; what overfits is trained until its validation loss has turned
    budget = () if case.flags == SMALL else ("--budget", "100%")
    pretrained = ("--weights", str(weights)) if case.weights else ()
    verify = ("-m", "plateau_doctor", "verify", str(logs), "--fix", case.fix)
    done = ran(
        *(*verify, "--jobs", str(jobs), "--seeds", "8", *budget, *pretrained),
        *("--folder", str(folder / "trials" / f"{case.fix}-{name}"), "--format", "json", "-o", str(told)),
        *("--", sys.executable, script, *case.flags, "--logdir", str(folder / "own" / name)),
    )
    if not told.exists():
        raise SystemExit(done.stderr)
    found: dict[str, object] = json.loads(told.read_text())["runs"][0]["verdicts"][0]
    return found


def lower(gain: object) -> str:
    """Return how much lower the held-out loss ends, from the logarithm of the ratio."""
    return f"{1 - math.exp(-gain):+.0%}" if isinstance(gain, float) else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "folder", type=Path, nargs="?", help="keeps what is trained; by default it is thrown away"
    )
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as away:
        folder = options.folder or Path(away)
        weights = folder / "pretrained.keras"
        if not weights.exists():
            pretraining = ("--pretrain", str(weights), "--logdir", str(folder / "pretraining"))
            done = ran(str(EXAMPLES / "train_keras.py"), *pretraining)
            if done.returncode:
                raise SystemExit(done.stderr)
        print(f"{'fix':<18} {'script':<6} {'of':<34} {'verdict':<13} {'loss lower by':>13}  interval")
        for case in CASES:
            found = verdict(case, folder, weights, options.jobs)
            gain, low, high = (lower(found[key]) for key in ("gain", "low", "high"))
            right = (found["kind"] == "confirmed") == case.helps
            print(
                f"{case.fix:<18} {case.framework:<6} {' '.join(case.flags):<34} {found['kind']:<13} {gain:>13}"
                f"  {low} to {high}{'' if right else '  (it ought to help)' if case.helps else '  (it ought not to)'}",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""Runs scripts as a trial's child does, and as they run by themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from plateau_doctor.trials.environment import environment
from plateau_doctor.trials.order import Order, Outcome

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}


def alone(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder, by itself."""
    env = {**os.environ, **QUIET, "PYTHONPATH": ""}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def trial(
    folder: Path, *command: str, name: str = "trial", extra: dict[str, str] | None = None, **order: object
) -> tuple[subprocess.CompletedProcess[str], Outcome]:
    """Run a script in a folder as an arm; the trial's folder lies beside it."""
    told = Order(str(folder.parent / f"{folder.name}-{name}"), **order)  # type: ignore[arg-type]
    told.write()
    env = {**os.environ, **QUIET, "PYTHONPATH": "", **environment(told), **(extra or {})}
    ran = subprocess.run(
        [sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    outcome = Outcome.read(Path(told.folder))
    assert outcome is not None, ran.stderr
    return ran, outcome

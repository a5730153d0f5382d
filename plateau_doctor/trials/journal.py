"""The journal of a trial folder: one line of JSON for each arm that ended, so that a killed verification resumes.

The folder is held by one verification at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from plateau_doctor.ledger import append, held
from plateau_doctor.letters import UsageError
from plateau_doctor.trials.trial import Arm, Trainer, Trial, run_in

__all__ = ["JOURNAL", "Journal", "digest", "opened"]

JOURNAL, README = "journal.jsonl", "README.txt"
ABOUT = """This folder was made by `plateau-doctor verify`.

control/seed-N      the script as it is
<fix>/seed-N        the same with one fix
  order.json        what the arm was told      outcome.json   what it told back
  logs/             what it logged             saved/         what it meant to save elsewhere
  stdout.txt, stderr.txt
journal.jsonl       one line for each arm that ended; a verification that was killed goes on from it

Nothing here is needed once you have read the report; delete it as you like.
"""


@dataclass(frozen=True)
class Journal:
    """The open journal of one folder; use it in a `with`, which gives the folder back."""

    folder: Path
    _descriptor: int

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        os.close(self._descriptor)

    def resumed(self, train: Trainer, key: Callable[[Arm], str]) -> Trainer:
        """Return a trainer that takes arms from the journal where they ended under the same key, and writes the rest.

        Arms that were interrupted are trained again.
        """

        def train_the_rest(arms: Sequence[Arm]) -> Generator[Trial, None, None]:
            known = self._ended()
            left = []
            for arm in arms:
                line = known.get(arm.name)
                if line is not None and line["key"] == key(arm):
                    yield _trial(line["trial"], self.folder / arm.name)
                else:
                    left.append(arm)
            training = train(left)
            try:
                for trial in training:
                    arm = next(one for one in left if one.name == trial.name)
                    if trial.outcome != "stopped":
                        self.write({"arm": trial.name, "key": key(arm), "trial": _record(trial)})
                    yield trial
            finally:
                training.close()

        return train_the_rest

    def write(self, line: dict[str, object]) -> None:
        """Append one line.

        Raises:
            UsageError: The disk is full, or the folder was taken away.
        """
        try:
            append(self._descriptor, line)
        except OSError as error:
            raise _refused(self.folder, error) from None

    def _ended(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for line in (self.folder / JOURNAL).read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError):
                one = json.loads(line)
                found[one["arm"]] = {"key": one["key"], "trial": dict(one["trial"])}
        return found


def opened(folder: Path) -> Journal:
    """Make a trial folder, or open one, and hold it.

    Raises:
        UsageError: It cannot be written, or another verification is at work in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / README).exists():
            (folder / README).write_text(ABOUT, encoding="utf-8")
        descriptor = held(folder / JOURNAL)
    except BlockingIOError:
        raise UsageError(f"{folder}: another verification is at work in this folder; give --folder") from None
    except OSError as error:
        raise _refused(folder, error) from None
    return Journal(folder, descriptor)


def digest(*parts: object) -> str:
    """Return a short key of everything that an arm depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _refused(folder: Path, error: OSError) -> UsageError:
    return UsageError(f"{folder}: the trial folder cannot be written: {error.strerror or error}")


def _record(trial: Trial) -> dict[str, object]:
    return asdict(replace(trial, run=None))


def _trial(record: dict[str, Any], folder: Path) -> Trial:
    known = {one.name for one in fields(Trial)}
    return Trial(**{**{k: v for k, v in record.items() if k in known}, "run": run_in(folder)})

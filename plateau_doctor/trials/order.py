"""What a trial's child process is told, and what it tells back: two small JSON files in the trial's folder.

The parent writes `order.json` and sets PLATEAU_DOCTOR_ORDER to its path; the child finds it from the bootstrap on
its PYTHONPATH, trains, and leaves `outcome.json`, ordinary event files under `logs/`, and what the script meant to
save under `saved/`. Both sides need only the standard library here: the child's Python may be another one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

__all__ = ["EITHER", "ENVIRONMENT", "ORDER", "OUTCOME", "Order", "Outcome"]

# turned together, one of these knobs that can be turned is enough
EITHER = frozenset({"dropout_scale", "weight_decay_scale"})

ENVIRONMENT = "PLATEAU_DOCTOR_ORDER"
ORDER, OUTCOME = "order.json", "outcome.json"


@dataclass(frozen=True)
class Order:
    """How one arm is to be trained.

    Attributes:
        folder: The trial's own folder, absolute; everything the child writes goes there.
        change: The knobs of a `Change` that are set; empty for the control.
        seed: Offset to the seeds that the script sets itself; 0 leaves them.
        epochs: Most epochs to train, all phases together; None for the script's own.
        steps: Most optimizer steps to train; None for the script's own.
        weights: File of pretrained weights for transfer learning.
        checkpoint: File to start from.
        logdir: Folder to record into, absolute; then the training is only watched: nothing is changed, seeded, capped,
            redirected or scored. None for an arm of a trial.
        every: Steps between two records of gradients and weights.
    """

    folder: str
    change: Mapping[str, object] = field(default_factory=dict)
    seed: int = 0
    epochs: int | None = None
    steps: int | None = None
    weights: str | None = None
    checkpoint: str | None = None
    logdir: str | None = None
    every: int = 50

    def write(self) -> Path:
        """Write the order into its folder, and return the file's path."""
        return _write(Path(self.folder) / ORDER, asdict(self))

    @classmethod
    def read(cls, file: Path) -> Order:
        """Read an order back."""
        return cls(**_known(cls, file))


@dataclass(frozen=True)
class Outcome:
    """What came of an arm, told by its child; a child that died leaves none, or an early one.

    Attributes:
        held_on: What of the script was wrapped ("keras.Model.fit", "torch.optim", "lightning.Trainer",
            "transformers.Trainer"); None where there was nothing to hold on to.
        looked_for: What was looked for, as names a person knows.
        applied: Knob -> what was done, in words ("0.1 -> 0.01 at every optimizer").
        not_testable: Knob -> why it cannot be turned here.
        ended: "cap" at the cap of the order, "not testable" where a knob could not be turned, "script" when the script
            ended by itself, None while it runs.
        steps: Optimizer steps done.
        epochs: Epochs done.
        loss: Original loss on held-out data, in evaluation mode, at the end; None without held-out data.
        metrics: Original metrics on the same data, by name; `macro_recall` and `accuracy` where there are classes.
        scored_on: What was scored on, in words, or why nothing was.
        seeds: Seeds that the script set, as it set them (before the offset).
        fingerprint: Digest of the weights at the end: equal across seeds means that the seed had no effect.
        redirected: Files that the script meant to write and that went into the folder instead, and what it meant to
            delete and no longer sees.
        refused: What was refused, in words ("would overwrite /data/labels.csv"): changes to files that existed before.
        problems: What went wrong in the wrap itself, or why this training is not run ("WORLD_SIZE=4: ...").
        seconds: Wall time from the first step to the last.
        peak_memory: Largest resident memory in bytes.
    """

    held_on: str | None = None
    looked_for: tuple[str, ...] = ()
    applied: Mapping[str, str] = field(default_factory=dict)
    not_testable: Mapping[str, str] = field(default_factory=dict)
    ended: str | None = None
    steps: int = 0
    epochs: int = 0
    loss: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    scored_on: str = ""
    seeds: tuple[int, ...] = ()
    fingerprint: str | None = None
    redirected: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    seconds: float = 0.0
    peak_memory: int = 0

    def write(self, folder: Path) -> Path:
        """Write the outcome into a trial's folder, whole or not at all."""
        return _write(folder / OUTCOME, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Outcome | None:
        """Read the outcome that a child left in its folder; None if it left none."""
        file = folder / OUTCOME
        if not file.is_file():
            return None
        values = _known(cls, file)
        values.update({name: tuple(v) for name, v in values.items() if isinstance(v, list)})
        return cls(**values)


def _write(file: Path, values: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    part.write_text(json.dumps(values, indent=1), encoding="utf-8")
    part.replace(file)
    return file


def _known(kind: type, file: Path) -> dict[str, Any]:
    names = {one.name for one in fields(kind)}
    return {name: v for name, v in json.loads(file.read_text(encoding="utf-8")).items() if name in names}

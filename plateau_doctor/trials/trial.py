"""One arm of a trial, and what came of it: its outcome in a word, its scores, and the run that it logged."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from plateau_doctor import readers
from plateau_doctor.fix import Change
from plateau_doctor.run import Run
from plateau_doctor.runners.process import Ended
from plateau_doctor.series import curve_of
from plateau_doctor.trials.length import Length, length_of
from plateau_doctor.trials.order import Order, Outcome

__all__ = ["CONTROL", "Arm", "Trainer", "Trial", "Word", "judged", "knobs_of", "run_in", "trial_of"]

CONTROL = "control"
Word = Literal[
    "trained",
    "nan",
    "crashed",
    "out of memory",
    "timed out",
    "would overwrite",
    "not testable",
    "nothing to hold on to",
    "stopped",
]
_MEMORY = re.compile(
    r"MemoryError|out of memory|OutOfMemory|ResourceExhausted|RESOURCE_EXHAUSTED|bad_alloc|Cannot allocate memory",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Arm:
    """What is to be trained: a fix, or the control where it is None, and a seed."""

    fix: str | None
    change: Change
    seed: int

    @property
    def name(self) -> str:
        """Its folder within the trial, and its name in the journal."""
        return _name(self.fix, self.seed)


@dataclass(frozen=True, eq=False)
class Trial:
    """What came of one arm.

    Attributes:
        fix: Id of the fix, None for the control.
        seed: Offset to the script's own seeds.
        outcome: `trained`, or what kept it from that, in a word.
        why: The same in a sentence, where it did not train.
        steps: Steps of training, None where its log counts epochs alone.
        epochs: Epochs of training, None where its log counts steps alone.
        seconds: Wall time.
        loss: Original loss on held-out data at the end; None without held-out data, NaN where it was lost.
        original: Whether the loss was scored by the original function, so that a change of the loss cannot touch it.
        metrics: Metrics on the same data, by name.
        fingerprint: Digest of the weights at the end, None where nobody took one.
        peak_memory: Largest resident memory, bytes; 0 where unknown.
        tail: The end of its stderr.
        applied: Knob -> what was done.
        held_on: What of the script was wrapped, empty where nothing was.
        run: What it logged, None where it logged nothing.
    """

    fix: str | None
    seed: int
    outcome: Word
    why: str = ""
    steps: float | None = None
    epochs: float | None = None
    seconds: float | None = None
    loss: float | None = None
    original: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    fingerprint: str | None = None
    peak_memory: int = 0
    tail: str = ""
    applied: Mapping[str, str] = field(default_factory=dict)
    held_on: str = ""
    run: Run | None = None

    @property
    def name(self) -> str:
        """Name of its arm."""
        return _name(self.fix, self.seed)

    @property
    def arm(self) -> str:
        """`control` or `treated`."""
        return CONTROL if self.fix is None else "treated"

    @property
    def score(self) -> float | None:
        """Its held-out loss, else the first of its metrics; None where nothing was held out."""
        return self.loss if self.loss is not None else next(iter(self.metrics.values()), None)

    @property
    def ran(self) -> bool:
        """Whether it can be compared: it trained to its end, be that NaN."""
        return self.outcome in ("trained", "nan")


Trainer = Callable[[Sequence[Arm]], Generator[Trial, None, None]]  # closing it stops what still trains


def knobs_of(change: Change) -> dict[str, object]:
    """Return the knobs of a change that are set."""
    return {knob: value for knob, value in asdict(change).items() if value is not None}


def trial_of(arm: Arm, order: Order, ended: Ended) -> Trial:
    """Return what came of an arm, from how its process ended and from what it left in its folder."""
    folder = Path(order.folder)
    return judged(arm, ended, _outcome_in(folder), run_in(folder))


def judged(arm: Arm, ended: Ended, told: Outcome | None, run: Run | None) -> Trial:
    """Return what came of an arm, from how its process ended, what its child told, and what it logged."""
    word, why = _word(arm, ended, told, run)
    loss, metrics = scores_of(run)
    original = told is not None and (told.loss is not None or bool(told.metrics))
    if told is not None and original:
        loss, metrics = told.loss, dict(told.metrics)
    if word == "trained" and ((loss is not None and not math.isfinite(loss)) or _lost(run)):
        word, loss = "nan", math.nan
    steps, epochs = _length(told, run)
    trial = Trial(
        arm.fix,
        arm.seed,
        word,
        why or ("the loss went to NaN or Inf" if word == "nan" else ""),
        steps=steps,
        epochs=epochs,
        seconds=(told.seconds if told and told.seconds else None) or ended.seconds,
        loss=loss,
        original=original,
        metrics=metrics,
        peak_memory=ended.peak_memory or (told.peak_memory if told else 0),
        tail="" if word in ("trained", "nan") else ended.tail,
        run=run,
    )
    if told is None:
        return trial
    return replace(
        trial, fingerprint=told.fingerprint, applied=dict(told.applied), held_on=told.held_on or ""
    )


def run_in(folder: Path) -> Run | None:
    """Return the run that an arm logged: of several the one with the most held-out points, then the most rows."""
    place = folder / "logs"
    if not place.is_dir():
        return None
    runs = [one for one in readers.read(place) if isinstance(one, Run)]
    held_out = ("val_loss", "val_metric")
    return max(
        runs,
        key=lambda run: (int(run.scalars["role"].isin(held_out).sum()), len(run.scalars), run.name),
        default=None,
    )


def scores_of(run: Run | None) -> tuple[float | None, dict[str, float]]:
    """Return the held-out loss and metrics that a log ends with: the median of the last tenth of its evaluations.

    Metrics are those that rise, by tag. A loss that ends in NaN or Inf is NaN.
    """
    if run is None:
        return None, {}
    curve = curve_of(run, "val_loss")
    loss = None
    if curve is not None:
        loss = math.nan if curve.lost[1] or not len(curve.values) else _end(curve.values.tolist())
    metrics = {}
    rows = run.scalars[(run.scalars["role"] == "val_metric") & run.scalars["live"]]
    for tag, part in rows.groupby("tag", sort=False):
        values = [float(value) for value in part["value"] if math.isfinite(value)]
        if values:
            metrics[str(tag)] = _end(values)
    return loss, metrics


def _name(fix: str | None, seed: int) -> str:
    return f"{fix or CONTROL}/seed-{seed}"


def _end(values: Sequence[float]) -> float:
    last = sorted(values[-max(1, len(values) // 10) :])
    return float((last[(len(last) - 1) // 2] + last[len(last) // 2]) / 2)


def _outcome_in(folder: Path) -> Outcome | None:
    try:
        return Outcome.read(folder)
    except (OSError, ValueError, TypeError):
        return None  # half written by a script that died, or not ours


def _word(arm: Arm, ended: Ended, told: Outcome | None, run: Run | None) -> tuple[Word, str]:
    """Return how an arm ended, in a word and in a sentence."""
    if ended.how == "not started":
        return "crashed", f"not started: {ended.tail}"
    if ended.how == "timed out":
        return "timed out", f"stopped after {ended.seconds:.0f} s"
    if ended.how == "stopped":
        return "stopped", "interrupted"
    if told is not None and told.refused and (ended.code or told.ended is None):
        return "would overwrite", f"the script {told.refused[0]}, which was there before"
    if told is not None:
        knobs = [f"{knob}: {why}" for knob, why in told.not_testable.items() if knob in knobs_of(arm.change)]
        if knobs:
            return "not testable", f"not testable here, because {'; '.join(knobs)}"
    if told is not None and told.problems and (ended.code or told.held_on is None):
        return "crashed", told.problems[0]
    if ended.code:
        return _crash(ended)
    if told is not None and told.held_on is None and told.looked_for:
        looked = ", ".join(told.looked_for)
        return (
            "nothing to hold on to",
            f"looked for {looked}; use --command with a script that takes its settings",
        )
    if run is None and told is None:
        return "crashed", "it ended without an error, and without a log in its folder"
    return "trained", ""


def _crash(ended: Ended) -> tuple[Word, str]:
    last = ended.tail.splitlines()[-1].strip() if ended.tail else ""
    if ended.code == -9:
        return "out of memory", "killed from outside, as the kernel does when memory runs out"
    if _MEMORY.search(ended.tail):
        return "out of memory", last
    how = f"ended by signal {-ended.code}" if ended.code and ended.code < 0 else f"exit status {ended.code}"
    return "crashed", f"{how}{': ' + last if last else ''}"


def _lost(run: Run | None) -> bool:
    """Whether the training loss ends in NaN or Inf."""
    curve = curve_of(run, "train_loss") if run is not None else None
    return curve is not None and curve.lost[1] > 0


def _length(told: Outcome | None, run: Run | None) -> tuple[float | None, float | None]:
    """Return (steps, epochs) of training: as the child counted them, else by its log."""
    if told is not None and told.steps:
        return float(told.steps), float(told.epochs) or None
    length = length_of(run) if run is not None else Length()
    return length.steps, length.epochs

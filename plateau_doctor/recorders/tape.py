"""What every recorder writes, and under which tags.

    train/<name>  validation/<name>  learning_rate  epoch     once an epoch
    validation/recall/<class>  validation/balanced_accuracy   likewise, for classifiers
    train/loss_step  gradient_norm                            of single batches; the norm over all layers
    rates/group_<n>                                           learning rates of further parameter groups
    gradients/<layer>  weights/<layer>  activations/<layer>   histograms
    gradient_norm/<layer>  weight_norm/<layer>  update_ratio/<layer>
    dead_units/<layer>                                        share of units that give 0 on all of a batch

The step is always the number of updates so far. A layer's name starts with its place in forward order:
`00_conv2d/kernel`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from plateau_doctor.recorders.events import EventWriter, Setting
from plateau_doctor.recorders.sample import Sample, norm_of_values

__all__ = [
    "LOSS_EVERY",
    "MOST_HEARD",
    "Layer",
    "Tape",
    "due",
    "loss_every",
    "never_raises",
    "next_due",
    "or_none",
    "place",
    "warn",
]

LOSS_EVERY = 10  # steps between two records of the batch loss: 100 KB in 20,000 steps
A_FEW = (
    4  # records of the batch loss that an epoch has at least: what repeats from epoch to epoch shows in them
)
MOST_HEARD = 16  # layers whose activations are recorded; of more some are taken
COARSE = 1.1**6  # every sixth of TensorFlow's edges: norms and zeros stay exact, a histogram takes 500 bytes

Made = TypeVar("Made")
Method = TypeVar("Method", bound=Callable[..., None])


@dataclass(frozen=True)
class Layer:
    """One weight array around one update.

    Attributes:
        name: Its place and path: `00_conv2d/kernel`.
        weights: Those after the update.
        norm: Norm over all of them.
        before: Values of the same sample before the update.
        gradient: Its gradient, None where there was none.
        gradient_norm: Norm over all of that.
        steps: Updates between before and after.
    """

    name: str
    weights: Sample
    norm: float
    before: np.ndarray
    gradient: Sample | None = None
    gradient_norm: float | None = None
    steps: int = 1

    @property
    def update_ratio(self) -> float | None:
        """How far a step moved the weights, as a share of their norm; None where they were zero."""
        base = norm_of_values(self.before)
        return norm_of_values(self.weights.values - self.before) / self.steps / base if base > 0 else None


class Tape:
    """An event file and the names of what goes in.

    Args:
        logdir: Folder of the run.
        histograms: Whether histograms are written, beside norms and ratios.

    Raises:
        OSError: The folder cannot be written.
    """

    def __init__(self, logdir: str | Path, histograms: bool = True) -> None:
        self._writer = EventWriter(logdir)
        self._histograms = histograms

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        """Write numbers under their own names; None is left out."""
        self._write(step, values, {})

    def settings(self, settings: Mapping[str, Setting | None]) -> None:
        """Write the settings of the run; None is left out."""
        self._writer.settings(settings)

    def epoch(
        self,
        step: int,
        epoch: float | None,
        rate: float | None,
        logs: Mapping[str, float],
        scores: Mapping[str, float] | None = None,
    ) -> None:
        """Write what a framework reports after an epoch, where `val_loss` becomes `validation/loss`.

        `scores` go by tag, as they are.
        """
        named = {_sided(name): float(value) for name, value in logs.items()}
        self.scalars(step, {**named, **(scores or {}), "learning_rate": rate, "epoch": epoch})

    def layers(self, step: int, layers: Iterable[Layer]) -> None:
        """Write norms, update ratios and histograms of the layers."""
        scalars: dict[str, float | None] = {}
        samples: dict[str, Sample] = {}
        for layer in layers:
            scalars[f"weight_norm/{layer.name}"] = layer.norm
            scalars[f"update_ratio/{layer.name}"] = layer.update_ratio
            scalars[f"gradient_norm/{layer.name}"] = layer.gradient_norm
            if layer.gradient is not None:
                samples[f"gradients/{layer.name}"] = layer.gradient
            samples[f"weights/{layer.name}"] = layer.weights
        self._write(step, scalars, samples)

    def activations(
        self, step: int, outputs: Mapping[str, Sample], dead: Mapping[str, float | None] | None = None
    ) -> None:
        """Write the histograms of layers' outputs, and the share of their units that are `dead`."""
        shares = {f"dead_units/{name}": share for name, share in (dead or {}).items()}
        self._write(step, shares, {f"activations/{name}": output for name, output in outputs.items()})

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _write(self, step: int, scalars: Mapping[str, float | None], samples: Mapping[str, Sample]) -> None:
        known = {tag: value for tag, value in scalars.items() if value is not None}
        self._writer.write(step, known, samples if self._histograms else None, COARSE)


def due(step: int, every: int) -> bool:
    """Whether the update after `step` others is recorded: every N-th, and the 1st, 2nd, 3rd, 5th, 9th ... before."""
    return step % every == 0 or (step < every and step & (step - 1) == 0)


def loss_every(epoch: float | None) -> int:
    """Return the steps between two records of the batch loss, by the steps of an epoch; None where unknown."""
    return LOSS_EVERY if not epoch else max(1, min(LOSS_EVERY, int(epoch) // A_FEW))


def next_due(step: int, every: int) -> int:
    """Return the number of updates, `step` or more, after which the next one is recorded."""
    return next(one for one in range(step, step + every + 1) if due(one, every))


def place(index: int, of: int, name: str) -> str:
    """Return a name that sorts by its place: `place(3, 12, "conv2d")` is `03_conv2d`."""
    return f"{index:0{max(2, len(str(of - 1)))}d}_{name}"


def never_raises(method: Method) -> Method:
    """Make a recorder's method safe to call from a training: its first error ends the recording, in one line.

    The recorder, `self`, has an attribute `off`, which is then True.
    """

    @functools.wraps(method)
    def safe(self: Any, *args: Any, **kwargs: Any) -> None:
        if self.off:
            return
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            self.off = True
            warn(f"recording ends here, training goes on: {type(error).__name__}: {error}")

    return cast(Method, safe)


def or_none(what: str, make: Callable[[], Made]) -> Made | None:
    """Return what `make` makes; where it fails, say in one line that `what` is not recorded."""
    try:
        return make()
    except Exception as error:
        warn(f"{what}: not recorded, the rest is: {type(error).__name__}: {error}")
        return None


def warn(what: str) -> None:
    """Say one line; through logging, since a warning can be turned into an error that would end the training."""
    logging.getLogger("plateau_doctor").warning("plateau-doctor: %s", " ".join(what.split()))


def _sided(name: str) -> str:
    if "/" in name:
        return name
    return f"validation/{name.removeprefix('val_')}" if name.startswith("val_") else f"train/{name}"

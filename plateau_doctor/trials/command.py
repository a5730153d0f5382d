"""`--command`: a training command whose settings stand in braces, filled in for each arm.

    python train.py --lr {learning_rate} --epochs {epochs} --seed {seed} --logdir {logdir}

The line is split as a shell splits it, then filled in token by token: no value can become two arguments, and no
shell runs. What a fix changes must have a placeholder; what it scales must have a value to scale, from the settings
that the run logged or from --set.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from plateau_doctor.fix import Change
from plateau_doctor.letters import UsageError, did_you_mean
from plateau_doctor.run import Run
from plateau_doctor.series import curve_of
from plateau_doctor.trials.order import EITHER, Order
from plateau_doctor.trials.trial import knobs_of

__all__ = ["Template", "settings_of", "template"]

KNOBS = tuple(one.name for one in fields(Change))
OURS = ("seed", "epochs", "steps", "logdir", "weights", "checkpoint")
SCALED = tuple(knob.removesuffix("_scale") for knob in KNOBS if knob.endswith("_scale"))
NAMES = (*OURS, *dict.fromkeys((*(knob for knob in KNOBS if not knob.endswith("_scale")), *SCALED)))
NEUTRAL: Mapping[str, object] = {  # what a placeholder holds in an arm that does not turn it
    "schedule": "none",
    "class_weights": "none",
    "augmentation": "none",
    "label_smoothing": 0,
    "clip_norm": 0,
    "batch_normalization": 0,
    "skip_connections": 0,
    "normalize_inputs": 0,
    "train_all_layers": 0,
    "early_stopping_patience": 0,
    "backbone": "none",
    "unfreeze_last": 0,
}
ALIASES = {
    "learning_rate": ("learning_rate", "lr", "initial_lr", "base_lr"),
    "batch_size": ("batch_size", "bs"),
    "weight_decay": ("weight_decay", "wd", "l2"),
}
WHOLE = ("batch_size", "width")
_PLACE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Template:
    """A command with placeholders, and the values they hold in the control.

    Attributes:
        tokens: The command, split.
        settings: Placeholder -> value of the original run.
    """

    tokens: tuple[str, ...]
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Its placeholders."""
        return tuple(dict.fromkeys(name for token in self.tokens for name in _PLACE.findall(token)))

    def untestable(self, change: Change) -> str:
        """Return why a change cannot be made by this command; empty where it can."""
        reasons = {knob: self._untestable(knob) for knob in knobs_of(change)}
        either = EITHER & reasons.keys()
        if any(not reasons[knob] for knob in either):
            reasons |= dict.fromkeys(either, "")
        return next(filter(None, reasons.values()), "")

    def _untestable(self, knob: str) -> str:
        name = knob.removesuffix("_scale")
        if name not in self.names:
            return f"not testable here, because the command has no {{{name}}}"
        if knob.endswith("_scale") and not isinstance(self.settings.get(name), (int, float)):
            return f"not testable here, because the log does not tell {name}; give --set {name}=VALUE"
        return ""

    def filled(self, order: Order) -> tuple[str, ...]:
        """Return the command of one arm.

        Raises:
            UsageError: A placeholder has no value.
        """
        values = self._values(order)
        return tuple(_PLACE.sub(lambda found: self._text(found[1], values), token) for token in self.tokens)

    def _values(self, order: Order) -> dict[str, object]:
        seed = self.settings.get("seed", 0)
        values: dict[str, object] = {**NEUTRAL, **self.settings}
        values |= {
            "seed": int(seed if isinstance(seed, (int, float)) else 0) + order.seed,
            "epochs": order.epochs,
            "steps": order.steps,
            "logdir": str(Path(order.folder) / "logs"),
            "weights": order.weights,
            "checkpoint": order.checkpoint,
        }
        for knob, value in order.change.items():
            name = knob.removesuffix("_scale")
            if knob in EITHER and self._untestable(knob):
                continue  # the other one is turned
            if knob.endswith("_scale"):
                scaled = float(value) * float(self.settings[name])  # type: ignore[arg-type]  # numbers, see untestable
                value = max(1, round(scaled)) if name in WHOLE else scaled
            values[name] = value
        return values

    def _text(self, name: str, values: Mapping[str, object]) -> str:
        value = values.get(name)
        if value is None:
            hint = "give --epochs" if name in ("epochs", "steps") else f"give --set {name}=VALUE"
            raise UsageError(f"--command: no value is known for {{{name}}}; {hint}")
        if isinstance(value, bool):
            return str(int(value))
        if isinstance(value, (list, tuple)):
            return ",".join(str(one) for one in value)
        return f"{value:.10g}" if isinstance(value, float) else str(value)


def template(command: str, settings: Mapping[str, object]) -> Template:
    """Return the template that a command line is.

    Raises:
        UsageError: It cannot be split, or holds a placeholder that is none, or lacks {logdir} or the cap.
    """
    try:
        tokens = tuple(shlex.split(command))
    except ValueError as error:
        raise UsageError(f"--command: {str(error).lower()}\n    {command}") from None
    if not tokens:
        raise UsageError("--command: it is empty")
    found = Template(tokens, settings)
    for name in found.names:
        if name not in NAMES and name not in settings:
            raise UsageError(f"--command: there is no placeholder {{{name}}}{did_you_mean(name, NAMES)}")
    for needed, why in (
        (("logdir",), "arms must not write into each other's logs"),
        (("epochs", "steps"), "arms must train equally long"),
    ):
        if not set(needed) & set(found.names):
            raise UsageError(f"--command: {{{'} or {'.join(needed)}}} is missing: {why}")
    return found


def settings_of(run: Run, pairs: Sequence[str] = ()) -> dict[str, object]:
    """Return the values of the original run by placeholder: as it logged them, then as --set NAME=VALUE says.

    Raises:
        UsageError: A pair is none.
    """
    found: dict[str, object] = {}
    for name in (*NAMES[len(OURS) :], "seed"):
        for alias in ALIASES.get(name, (name,)):
            if alias in run.settings:
                found[name] = run.settings[alias]
                break
    rate = curve_of(run, "learning_rate")
    if "learning_rate" not in found and rate is not None and len(rate.values):
        found["learning_rate"] = float(rate.values.max())
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {pair}: expected NAME=VALUE, e.g. learning_rate=0.01")
        found[name] = _number(value)
    return found


def _number(text: str) -> object:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text

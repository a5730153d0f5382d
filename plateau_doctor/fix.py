"""Fixes as data: reads `rules/fixes/*.toml` into Fixes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, get_args, get_origin, get_type_hints

from plateau_doctor.letters import RuleError, did_you_mean
from plateau_doctor.toml import place_of, read_toml

__all__ = ["Change", "Fix", "load"]

KEYS = ("title", "advice", "why", "references", "change", "snippets")
FRAMEWORKS = ("keras", "torch")
SHARES = ("dropout", "label_smoothing")  # knobs that are a share of the whole: below 1

Schedule = Literal["step", "cosine", "one_cycle", "cyclical", "on_plateau", "warm_up"]
Optimizer = Literal["sgd", "adam", "adamw", "rmsprop"]
Activation = Literal["relu", "leaky_relu", "elu", "gelu", "tanh"]
Initializer = Literal[
    "he_normal", "he_uniform", "glorot_normal", "glorot_uniform", "lecun_normal", "orthogonal"
]
Motion = Literal["flip", "rotate", "shift", "shear", "zoom"]


@dataclass(frozen=True)
class Change:
    """What a fix turns, typed, so that a trial can apply it. None means: leave as it is.

    Scales multiply the user's own value; numbers are neither negative nor infinite.
    """

    learning_rate: float | None = None
    learning_rate_scale: float | None = None
    schedule: Schedule | None = None
    optimizer: Optimizer | None = None
    clip_norm: float | None = None
    batch_size_scale: float | None = None
    weight_decay: float | None = None
    weight_decay_scale: float | None = None
    dropout: float | None = None
    dropout_scale: float | None = None
    batch_normalization: bool | None = None
    skip_connections: bool | None = None
    activation: Activation | None = None
    initializer: Initializer | None = None
    width_scale: float | None = None
    class_weights: Literal["balanced"] | None = None
    label_smoothing: float | None = None
    normalize_inputs: bool | None = None
    shuffle: bool | None = None
    augmentation: tuple[Motion, ...] | None = None
    backbone: str | None = None
    unfreeze_last: int | None = None
    train_all_layers: bool | None = None
    early_stopping_patience: int | None = None


@dataclass(frozen=True)
class Fix:
    """Something to change: advice for a person, code per framework, and the typed Change for a trial."""

    id: str
    title: str
    advice: str
    why: str
    references: tuple[str, ...]
    snippets: Mapping[str, str]  # framework ("keras", "torch") -> code
    change: Change | None


def load(folders: Sequence[Path]) -> dict[str, Fix]:
    """Read every fix file of these folders; a file's name is the fix's id.

    Raises:
        RuleError: A file that cannot be read or is wrong, with file, line and caret.
    """
    fixes: dict[str, Fix] = {}
    homes: dict[str, Path] = {}
    for folder in folders:
        for file in sorted(folder.glob("*.toml")):
            if file.stem in fixes:
                raise RuleError(
                    f"the fix {file.stem!r} is defined twice", file, hint=f"first in {homes[file.stem]}"
                )
            if not re.fullmatch(r"[a-z][a-z0-9_]*", file.stem):
                raise RuleError(
                    "a fix's id is its file name: small letters, digits and _, as in lower_lr", file
                )
            fixes[file.stem], homes[file.stem] = _FixFile(file, *read_toml(file)).fix(), file
    return fixes


@dataclass(frozen=True)
class _FixFile:
    """One fix file on its way to a Fix: its path, its text (for carets) and its tables."""

    file: Path
    text: str
    tables: Mapping[str, object]

    def fix(self) -> Fix:
        for key in self.tables:
            if key not in KEYS:
                self.fail(f"a fix has no key {key!r}{did_you_mean(key, KEYS)}", key)
        return Fix(
            id=self.file.stem,
            title=self.prose("title"),
            advice=self.prose("advice"),
            why=self.prose("why"),
            references=self.references(),
            snippets=self.snippets(),
            change=self.change(),
        )

    def prose(self, key: str) -> str:
        value = self.tables.get(key)
        if not isinstance(value, str) or not value.strip():
            self.fail(f"the key {key!r} is missing, or is no text", key)
        return value

    def references(self) -> tuple[str, ...]:
        value = self.tables.get("references")
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            self.fail("`references` is a list of texts, empty where there are none", "references")
        return tuple(value)

    def snippets(self) -> dict[str, str]:
        table = self.tables.get("snippets")
        if not isinstance(table, dict):
            self.fail("`snippets` is a table with code, and may be empty", "snippets")
        for framework, code in table.items():
            if framework not in FRAMEWORKS:
                near = did_you_mean(framework, FRAMEWORKS)
                self.fail(
                    f"`snippets` holds code for {' and '.join(FRAMEWORKS)}, not {framework!r}{near}",
                    framework,
                )
            if not isinstance(code, str):
                self.fail(f"the snippet for {framework} is no text", framework)
        return dict(table)

    def change(self) -> Change | None:
        """Return the typed knobs of the `[change]` table, None without one."""
        if "change" not in self.tables:
            return None
        table = self.tables["change"]
        if not isinstance(table, dict) or not table:
            self.fail("`change` is a table with one knob or more; without any, leave it out", "change")
        types = {knob: get_args(hint)[0] for knob, hint in get_type_hints(Change).items()}
        knobs: dict[str, object] = {}
        for knob, value in table.items():
            if knob not in types:
                self.fail(f"no knob is called {knob!r}{did_you_mean(knob, types)}", knob)
            if bar := _mistake(knob, value, types[knob]):
                self.fail(f"the knob {knob!r} is {bar}", knob)
            knobs[knob] = _typed(value, types[knob])
        return Change(**knobs)  # type: ignore[arg-type]  # each was held against its field's type above

    def fail(self, message: str, key: str) -> NoReturn:
        """Raise a letter whose caret points at `key` where it is set, else at the first place that holds it."""
        head = re.search(
            rf"""^[ \t]*\[*[ \t]*(?:[\w-]+\.)?["']?({re.escape(key)})\b""", self.text, re.MULTILINE
        )
        if head is None:
            line, column, source = place_of(key, self.text)
            raise RuleError(message, self.file, line, column, source)
        line = self.text.count("\n", 0, head.start(1)) + 1
        column = head.start(1) - (self.text.rfind("\n", 0, head.start(1)) + 1)
        raise RuleError(message, self.file, line, column, self.text.split("\n")[line - 1])


def _mistake(knob: str, value: object, kind: object) -> str:
    """Return what a knob must be where `value` is not that, nothing where it is; the caret shows the value."""
    if get_origin(kind) is tuple:
        if not isinstance(value, list) or not value:
            return "a list of texts, at least one"
        return next((bar for one in value if (bar := _mistake(knob, one, get_args(kind)[0]))), "")
    if get_origin(kind) is Literal:
        words = [str(word) for word in get_args(kind)]
        near = did_you_mean(value, words) if isinstance(value, str) else ""
        return "" if value in words else f"one of {', '.join(words)}{near}"
    if kind is str:
        return "" if isinstance(value, str) else "a text"
    if kind is bool:
        return "" if isinstance(value, bool) else "true or false"
    return _bar_of_number(knob, value, whole=kind is int)


def _bar_of_number(knob: str, value: object, whole: bool) -> str:
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        return "a whole number" if whole else "a number"
    if not 0 <= value < 1e9:  # false for nan as well
        return "a number from 0 to 1e9"
    return "a share of the whole, below 1" if knob in SHARES and value >= 1 else ""


def _typed(value: object, kind: object) -> object:
    if isinstance(value, list):
        return tuple(value)
    return float(value) if kind is float and isinstance(value, int) else value

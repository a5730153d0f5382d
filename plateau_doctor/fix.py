"""Fixes as data: reads `rules/fixes/*.toml` into Fixes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NoReturn

from plateau_doctor.letters import RuleError, did_you_mean
from plateau_doctor.toml import place_of, read_toml

__all__ = ["Change", "Fix", "load"]

KEYS = ("title", "advice", "why", "references", "change", "snippets")
FRAMEWORKS = ("keras", "torch")


@dataclass(frozen=True)
class Change:
    """What a fix turns, typed, so that a trial can apply it. None means: leave as it is."""

    learning_rate_scale: float | None = None
    schedule: str | None = None
    optimizer: str | None = None
    clip_norm: float | None = None
    batch_size_scale: float | None = None
    weight_decay: float | None = None
    weight_decay_scale: float | None = None
    dropout: float | None = None
    dropout_scale: float | None = None
    batch_normalization: bool | None = None
    skip_connections: bool | None = None
    activation: str | None = None
    initializer: str | None = None
    width_scale: float | None = None
    class_weights: str | None = None
    label_smoothing: float | None = None
    normalize_inputs: bool | None = None
    shuffle: bool | None = None
    augmentation: tuple[str, ...] | None = None
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
    for folder in folders:
        for file in sorted(folder.glob("*.toml")):
            if file.stem in fixes:
                raise RuleError(f"the fix {file.stem!r} is defined twice", file)
            fixes[file.stem] = _fix(file, *read_toml(file))
    return fixes


def _fix(file: Path, text: str, tables: Mapping[str, object]) -> Fix:
    def fail(message: str, near: str) -> NoReturn:
        line, column, source = place_of(near, text)
        raise RuleError(message, file, line, column, source)

    for key in tables:
        if key not in KEYS:
            fail(f"a fix has no key {key!r}{did_you_mean(key, KEYS)}", key)
    for key in ("title", "advice", "why"):
        if not isinstance(tables.get(key), str):
            fail(f"the key {key!r} is missing, or is no text", key)
    references, snippets, change = (tables.get(key) for key in ("references", "snippets", "change"))
    if not isinstance(references, list):
        fail("`references` is a list of texts", "references")
    if not isinstance(snippets, dict) or not set(snippets) <= set(FRAMEWORKS):
        fail(f"`snippets` is a table with code for {' and '.join(FRAMEWORKS)}", "snippets")
    return Fix(
        id=file.stem,
        title=str(tables["title"]),
        advice=str(tables["advice"]),
        why=str(tables["why"]),
        references=tuple(str(one) for one in references),
        snippets={str(k): str(v) for k, v in snippets.items()},
        change=_change(change, fail) if isinstance(change, dict) else None,
    )


def _change(table: Mapping[str, object], fail: Callable[[str, str], NoReturn]) -> Change:
    """Return the typed knobs of a `[change]` table."""
    types = {field.name: str(field.type).removesuffix(" | None") for field in fields(Change)}
    knobs: dict[str, object] = {}
    for knob, value in table.items():
        if knob not in types:
            fail(f"no knob is called {knob!r}{did_you_mean(knob, types)}", knob)
        if not _fits(value, types[knob]):
            fail(f"the knob {knob!r} is a {types[knob]}, not {value!r}", knob)
        knobs[knob] = tuple(value) if isinstance(value, list) else value
    return Change(**knobs)  # type: ignore[arg-type]  # each was held against its field's type above


def _fits(value: object, type_name: str) -> bool:
    if type_name == "bool":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if type_name == "float":
        return isinstance(value, (int, float))
    if type_name == "int":
        return isinstance(value, int)
    if type_name == "str":
        return isinstance(value, str)
    return isinstance(value, list) and all(isinstance(one, str) for one in value)

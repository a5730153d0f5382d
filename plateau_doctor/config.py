"""Settings from a file: `[tool.plateau-doctor]` of pyproject.toml, or plateau-doctor.toml.

A file is looked for from the working directory upward, never from the folder that is analyzed: logs come from
anywhere, and may not say which of their findings count.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from plateau_doctor.letters import RuleError, did_you_mean
from plateau_doctor.toml import place_of, read_toml

__all__ = ["Config", "Suppression", "find", "load"]

OWN, SHARED, TABLE = "plateau-doctor.toml", "pyproject.toml", "plateau-doctor"
SUPPRESS = "suppress"
KEYS = ("run", "cause", "reason", "expires")


@dataclass(frozen=True)
class Suppression:
    """Findings that do not count: of which runs and causes, why, and until when.

    Attributes:
        run: Pattern of the run's name, as `sweeps/*`.
        cause: A cause, or a family of causes; `*` for any.
        reason: Why it does not count.
        expires: Last day on which it holds.
    """

    run: str
    cause: str
    reason: str
    expires: date


@dataclass(frozen=True)
class Config:
    """What a file sets: options by their name on the command line, and suppressions."""

    file: Path | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    suppressions: tuple[Suppression, ...] = ()


def find(folder: Path) -> Path | None:
    """Return the nearest file with settings, from a folder upward; None without one."""
    for place in (folder, *folder.parents):
        if (place / OWN).is_file():
            return place / OWN
        if (place / SHARED).is_file() and _has_table(place / SHARED):
            return place / SHARED
    return None


def load(file: Path, known: Mapping[str, bool], paths: Collection[str] = ()) -> Config:
    """Read a file's settings.

    Args:
        file: A pyproject.toml, or any other TOML file whose top level is the table.
        known: Options that may be set, and whether each takes a list.
        paths: Those of them that name files, relative to the file.

    Raises:
        RuleError: Not TOML, an unknown key, a value of another kind, or a suppression without reason or expiry.
    """
    return _Letters(file, *read_toml(file)).config(known, paths)


def _has_table(file: Path) -> bool:
    """Whether a pyproject.toml has our table; one that is broken and names it is read, to be told of."""
    try:
        text = file.read_text(encoding="utf-8")
        return TABLE in text and TABLE in tomllib.loads(text).get("tool", {})
    except (OSError, UnicodeDecodeError):
        return False
    except ValueError:
        return f"tool.{TABLE}" in text


class _Letters:
    """One file under reading: knows the text, so that every letter can name the line."""

    def __init__(self, file: Path, text: str, tables: Mapping[str, object]) -> None:
        self.file, self.text = file, text
        self.table: Mapping[str, object] = tables
        if file.name == SHARED:
            tool = tables.get("tool", {})
            inner = tool.get(TABLE, {}) if isinstance(tool, dict) else {}
            self.table = inner if isinstance(inner, dict) else {}

    def config(self, known: Mapping[str, bool], paths: Collection[str]) -> Config:
        options: dict[str, object] = {}
        for key, value in self.table.items():
            if key == SUPPRESS:
                continue
            if key not in known:
                self.fail(f"no setting is called {key!r}{did_you_mean(key, [*known, SUPPRESS])}", key)
            options[key] = self.value(key, value, known[key], key in paths)
        return Config(self.file, options, self.suppressions())

    def value(self, key: str, value: object, several: bool, is_path: bool) -> object:
        """Return a value as the command line would have it: texts, a flag, or a list of texts."""
        if several:
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                self.fail(f"{key!r} is a list of texts", key)
            texts = [str(one) for one in value] if isinstance(value, list) else []
            return [self.beside(one) if is_path else one for one in texts]
        if not isinstance(value, (str, bool)):
            self.fail(f"{key!r} is a text, or true or false", key)
        return self.beside(value) if is_path and isinstance(value, str) else value

    def beside(self, path: str) -> str:
        return str(self.file.parent / path)

    def suppressions(self) -> tuple[Suppression, ...]:
        tables = self.table.get(SUPPRESS, [])
        if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
            head = f"[[tool.{TABLE}.{SUPPRESS}]]" if self.file.name == SHARED else f"[[{SUPPRESS}]]"
            self.fail(f"suppressions are written {head}", SUPPRESS)
        return tuple(self.suppression(one) for one in tables) if isinstance(tables, list) else ()

    def suppression(self, table: Mapping[str, object]) -> Suppression:
        near = str(next(iter(table.values()), SUPPRESS))
        for key in table:
            if key not in KEYS:
                self.fail(f"a suppression has no key {key!r}{did_you_mean(key, KEYS)}", key)
        texts = {}
        for key, default in (("run", "*"), ("cause", ""), ("reason", "")):
            text = table.get(key, default)
            if not isinstance(text, str) or not text.strip():
                self.fail(f"a suppression needs `{key}`, a text", near)
            texts[key] = str(text)
        expires = table.get("expires")
        if type(expires) is not date:
            self.fail("a suppression needs `expires`, a day such as 2027-01-31 without quotes", near)
        return Suppression(**texts, expires=expires)  # type: ignore[arg-type]  # its type was just checked

    def fail(self, message: str, near: str) -> None:
        raise RuleError(message, self.file, *place_of(near, self.text))

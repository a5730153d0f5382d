"""Causes as data: reads `rules/causes/*.toml` into Rules.

Every mistake in a file is answered by a letter with file, line, caret and the nearest thing that would work.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from plateau_doctor.condition import Condition, check_template
from plateau_doctor.curve import HISTOGRAM_COLUMNS, LAYERED, ROLE_NAMES, points
from plateau_doctor.letters import RuleError, did_you_mean
from plateau_doctor.roles import ROLES
from plateau_doctor.toml import place_of, read_toml

__all__ = ["Example", "Rule", "Severity", "Sign", "Strength", "load", "load_file"]

Severity = Literal["error", "warning", "note"]
Strength = Literal["decisive", "strong", "fair", "slight"]
Table = Mapping[str, object]

STRENGTHS: tuple[Strength, ...] = get_args(Strength)
TEXTS = ("cause", "family", "status", "severity", "says", "why", "falsepositives")
LISTS = ("fixes", "confused_with", "references")
TABLES = ("for", "against", "fires", "silent")


@dataclass(frozen=True)
class Sign:
    """One condition that speaks for or against a cause, and the sentence that says what was seen.

    `shows` names the phenotype that the sign belongs to; it is empty where it belongs to all of them.
    """

    side: Literal["for", "against"]
    strength: Strength
    condition: Condition
    says: str
    shows: str

    @cached_property
    def asks_siblings(self) -> bool:
        """Whether it is about other runs beside this one."""
        return any(name.startswith("siblings.") for name in self.condition.names)


@dataclass(frozen=True)
class Example:
    """A small run, in the short-hand of `curve.py`, that a cause must or must not be named for.

    `siblings` are runs found beside it, written [[fires.siblings]]; they inherit the series and settings that
    they do not name, and are examples of nothing themselves.
    """

    name: str
    fires: bool
    series: Mapping[str, str]
    settings: Mapping[str, float | str | bool]
    siblings: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Rule:
    """One cause: what it is called, what speaks for and against it, and what mends it."""

    cause: str
    family: str
    status: Literal["measured", "draft"]
    severity: Severity
    says: str
    why: str
    fixes: tuple[str, ...]
    confused_with: tuple[str, ...]
    references: tuple[str, ...]
    falsepositives: str
    signs: tuple[Sign, ...]
    examples: tuple[Example, ...]
    source: str


def load(
    folders: Sequence[Path], known_facts: Collection[str], known_fixes: Collection[str] | None = None
) -> tuple[Rule, ...]:
    """Read every rule file of these folders, sorted by cause.

    Args:
        folders: Folders of `*.toml` files, one cause a file.
        known_facts: Names that conditions and sentences may use.
        known_fixes: Ids that `fixes` may name; not checked when None.

    Raises:
        RuleError: A file that is wrong, or a cause that two files claim.
    """
    rules: dict[str, Rule] = {}
    for folder in folders:
        for file in sorted(folder.glob("*.toml")):
            rule = load_file(file, known_facts, known_fixes)
            if rule.cause in rules:
                raise RuleError(
                    f"the cause {rule.cause!r} is already defined in {rules[rule.cause].source}", file
                )
            rules[rule.cause] = rule
    return tuple(rules[cause] for cause in sorted(rules))


def load_file(file: Path, known_facts: Collection[str], known_fixes: Collection[str] | None = None) -> Rule:
    """Read one rule file; see `load`.

    Raises:
        RuleError: It is wrong.
    """
    return _Letters(file, *read_toml(file)).rule(known_facts, known_fixes)


class _Letters:
    """One rule file under reading: knows the text, so that every letter can name the line."""

    def __init__(self, file: Path, text: str, tables: Table) -> None:
        self.file, self.text, self.tables = file, text, tables

    def rule(self, facts: Collection[str], fixes: Collection[str] | None) -> Rule:
        self.keys(self.tables, (*TEXTS, *LISTS, *TABLES), "a rule")
        cause = self.one_of("cause", None)
        if cause != self.file.stem or not re.fullmatch(r"[a-z][a-z0-9_]*", cause):
            self.fail(
                f"the cause {cause!r} must be the file's name, {self.file.stem!r}, in a-z, 0-9 and _", cause
            )
        signs = [self.sign(table, side, facts) for side in ("for", "against") for table in self.list_of(side)]
        examples = [
            self.example(table, key == "fires") for key in ("fires", "silent") for table in self.list_of(key)
        ]
        named = self.texts("fixes")
        for fix in named:
            if fixes is not None and fix not in fixes:
                self.fail(f"no fix is called {fix!r}{did_you_mean(fix, fixes)}", fix)
        if not signs:
            self.fail("a rule needs at least one [[for]]", cause)
        return Rule(
            cause=cause,
            family=self.one_of("family", None),
            status=self.one_of("status", ("measured", "draft")),  # type: ignore[arg-type]
            severity=self.one_of("severity", get_args(Severity)),  # type: ignore[arg-type]
            says=self.one_of("says", None),
            why=self.one_of("why", None),
            fixes=named,
            confused_with=self.texts("confused_with"),
            references=self.texts("references"),
            falsepositives=self.one_of("falsepositives", None),
            signs=tuple(signs),
            examples=tuple(examples),
            source=str(self.file),
        )

    def sign(self, table: Table, side: str, facts: Collection[str]) -> Sign:
        self.keys(table, (*STRENGTHS, "says", "shows"), "a sign")
        strengths = [s for s in STRENGTHS if s in table]
        if len(strengths) != 1:
            near = str(next(iter(table.values()), ""))
            self.fail(
                f"a sign has exactly one of {', '.join(STRENGTHS)}; this one has {len(strengths)}", near
            )
        text, says = str(table[strengths[0]]), str(table.get("says", ""))
        if not says:
            self.fail("a sign needs `says`, the sentence that tells what was seen", text)
        try:
            condition = Condition.parse(text, facts)
            check_template(says, facts)
        except RuleError as error:
            raise self.placed(error) from None
        shows = str(table.get("shows", ""))
        return Sign("for" if side == "for" else "against", strengths[0], condition, says, shows)

    def example(self, table: Table, fires: bool) -> Example:
        name = str(table.get("name", ""))
        if not name:
            self.fail("an example needs a `name`", str(next(iter(table.values()), "")))
        series, settings = self.series(table), self.settings(table)
        beside = table.get("siblings", [])
        if not isinstance(beside, list) or not all(isinstance(one, dict) for one in beside):
            self.fail(f"siblings are written [[{'fires' if fires else 'silent'}.siblings]]", "siblings")
        siblings = tuple(
            Example(f"{name} {n}", fires, {**series, **self.series(one)}, {**settings, **self.settings(one)})
            for n, one in enumerate(beside if isinstance(beside, list) else [])
        )
        return Example(name, fires, series, settings, siblings)

    def series(self, table: Table) -> Mapping[str, str]:
        series = {k: str(value) for k, value in table.items() if k not in ("name", "settings", "siblings")}
        for key, text in series.items():
            if not _is_series(key):
                roles = (*ROLES, *ROLE_NAMES, *LAYERED, "axis")
                self.fail(f"an example has no series {key!r}{did_you_mean(key, roles)}", key)
            if key != "axis":
                try:
                    points(text)
                except RuleError as error:
                    raise self.placed(error) from None
        return series

    def settings(self, table: Table) -> Mapping[str, float | str | bool]:
        settings = table.get("settings", {})
        if not isinstance(settings, dict):
            self.fail("`settings` is a table such as { samples = 60 }", "settings")
        return settings if isinstance(settings, dict) else {}

    def keys(self, table: Table, allowed: Collection[str], what: str) -> None:
        for key in table:
            if key not in allowed:
                self.fail(f"{what} has no key {key!r}{did_you_mean(key, allowed)}", key)

    def one_of(self, key: str, allowed: Collection[str] | None) -> str:
        value = self.tables.get(key)
        if not isinstance(value, str):
            raise RuleError(f"the key {key!r} is missing, or is no text", self.file)
        if allowed is not None and value not in allowed:
            self.fail(f"{key} is one of {', '.join(allowed)}{did_you_mean(value, allowed)}", value)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.tables.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            self.fail(f"{key!r} is a list of texts", key)
        return tuple(str(one) for one in value) if isinstance(value, list) else ()

    def list_of(self, key: str) -> list[Table]:
        value = self.tables.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            self.fail(f"{key!r} is written [[{key}]]", key)
        return value if isinstance(value, list) else []

    def fail(self, message: str, near: str) -> None:
        """Raise a letter whose caret points at `near` in the first line that holds it."""
        line, column, source = self.place(near)
        raise RuleError(message, self.file, line, column, source)

    def placed(self, error: RuleError) -> RuleError:
        """Return a letter about a condition, curve or sentence with its line in the file."""
        line, start, source = self.place(error.source or "")
        if line is None or start is None or error.column is None:
            return error.placed(self.file, line, error.column, error.source)
        return error.placed(self.file, line, start + error.column, source)

    def place(self, near: str) -> tuple[int | None, int | None, str | None]:
        return place_of(near, self.text)


def _is_series(key: str) -> bool:
    head, slash, rest = key.partition("/")
    if slash:
        return bool(rest) and (
            head in LAYERED or head in HISTOGRAM_COLUMNS or head in ("recall", "f1", "iou")
        )
    return key in ROLES or key in ROLE_NAMES or key == "axis"

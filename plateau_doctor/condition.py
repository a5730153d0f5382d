"""The small, safe language of rules: comparisons, and, or, not, + - * / over named facts and numbers.

A whitelist over Python's own syntax tree; nothing is ever handed to eval. Facts that were not logged are None
and follow Kleene's three-valued logic: None and False is False, None or True is True, all else is None.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from plateau_doctor.letters import RuleError, did_you_mean

__all__ = ["Condition", "check_template", "render", "unfilled"]

Value = float | str | bool | None
Compare = Callable[[Any, Any], Any]
Ask = Callable[[Mapping[str, Value]], Value]
LONGEST, DEEPEST = 500, 20

_COMPARE: Mapping[type[ast.cmpop], Compare] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_FIELD = re.compile(r"\{([^{}:]*)(?::([^{}]*))?\}")
_SPEC = re.compile(r"\.[0-3](%|f|g)|d")


@dataclass(frozen=True)
class Condition:
    """One parsed condition; `names` are the facts it asks for, in order."""

    text: str
    names: tuple[str, ...]
    ask: Ask = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str, known: Collection[str] | None = None) -> Condition:
        """Parse a condition.

        Args:
            text: The condition, at most 500 characters.
            known: Names of the facts there are; any name is taken when None.

        Raises:
            RuleError: Not in the language, or a fact that is not known; the caret points into `text`.
        """
        if len(text) > LONGEST:
            raise RuleError(f"a condition has at most {LONGEST} characters, this one has {len(text)}")
        try:
            tree = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            column = max(0, (getattr(error, "offset", None) or 1) - 1)
            raise RuleError(
                f"not a condition: {getattr(error, 'msg', error)}", source=text, column=column
            ) from None
        names: list[str] = []
        _check(tree, text, known, names, 0)
        return cls(text, tuple(dict.fromkeys(names)), _compiled(tree))

    def __reduce__(self) -> tuple[object, ...]:
        return Condition.parse, (self.text,)

    def evaluate(self, facts: Mapping[str, Value]) -> bool | None:
        """Return whether the condition holds; None when what was logged cannot tell."""
        value = self.ask(facts)
        return None if value is None else bool(value)


def render(template: str, facts: Mapping[str, Value]) -> str:
    """Fill `{name}` and `{name:spec}` in; a fact that was not logged is shown as `?`."""
    parts = _fields(template)
    said = list(parts)
    for i in range(1, len(parts), 3):
        said[i], said[i + 1] = _shown(facts[parts[i]], parts[i + 1]), ""
    return "".join(said)


def unfilled(template: str) -> str:
    """Return a sentence with an ellipsis in place of each fact, as it reads before there is a run."""
    return _FIELD.sub("\N{HORIZONTAL ELLIPSIS}", template)


@lru_cache(maxsize=4096)
def _fields(template: str) -> tuple[str, ...]:
    """Return text, name, format, text, name, format, ..., text."""
    return tuple(part or "" for part in _FIELD.split(template))


def _shown(value: Value, spec: str) -> str:
    if value is None:
        return "?"
    if isinstance(value, (str, bool)):
        return str(value)
    return format(round(value) if spec == "d" else value, spec or ".3g")


def check_template(template: str, known: Collection[str] | None) -> None:
    """Raise RuleError when a sentence names an unknown fact or a format that is not on the short list."""
    for match in _FIELD.finditer(template):
        name, spec = match[1], match[2]
        if known is not None and name not in known:
            raise RuleError(
                f"no fact is called {name!r}{did_you_mean(name, known)}",
                source=template,
                column=match.start(1),
            )
        if spec is not None and not _SPEC.fullmatch(spec):
            raise RuleError(
                f"{spec!r} is no format; use .0% .1% .2g .3g .0f .1f .2f or d",
                source=template,
                column=match.start(2),
            )
    rest = _FIELD.sub("", template)
    if "{" in rest or "}" in rest:
        column = template.find("{") if "{" in rest else template.find("}")
        raise RuleError("a brace that opens or closes no fact", source=template, column=column)


def _check(node: ast.expr, text: str, known: Collection[str] | None, names: list[str], depth: int) -> None:
    if depth > DEEPEST:
        raise RuleError(f"a condition is nested at most {DEEPEST} deep", source=text)
    if isinstance(node, (ast.Name, ast.Attribute)):
        names.append(_fact(node, text, known))
        return
    children: list[ast.expr]
    match node:
        case ast.BoolOp():
            children = node.values
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            children = [node.operand]
        case ast.BinOp() if type(node.op) in _ARITHMETIC:
            children = [node.left, node.right]
        case ast.Compare() if all(type(op) in _COMPARE for op in node.ops):
            children = [node.left, *node.comparators]
            _check_text(node, text)
        case ast.Constant() if isinstance(node.value, (int, float, str)) and not isinstance(node.value, bool):
            return
        case _:
            raise RuleError(
                "a condition knows comparisons, and, or, not, + - * /, facts and numbers; nothing else",
                source=text,
                column=_column(text, node),
            )
    for child in children:
        _check(child, text, known, names, depth + 1)


def _check_text(node: ast.Compare, text: str) -> None:
    """Refuse a quoted text that is compared by more than == and !=, or with a number."""
    parts = [node.left, *node.comparators]
    texts = [p for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)]
    if texts and not all(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops):
        raise RuleError(
            "a text can be compared by == and != only", source=text, column=_column(text, texts[0])
        )
    if texts and any(isinstance(p, ast.Constant) and not isinstance(p.value, str) for p in parts):
        raise RuleError(
            "a text cannot be compared with a number", source=text, column=_column(text, texts[0])
        )


def _column(text: str, node: ast.expr) -> int:
    """Return the column in characters; the tree counts bytes."""
    return len(text.encode()[: node.col_offset].decode(errors="ignore")) if node.lineno == 1 else 0


def _fact(node: ast.expr, text: str, known: Collection[str] | None) -> str:
    name = _dotted(node)
    if name is None:
        raise RuleError("only facts have dots in their names", source=text, column=_column(text, node))
    if known is not None and name not in known:
        raise RuleError(
            f"no fact is called {name!r}{did_you_mean(name, known)}", source=text, column=_column(text, node)
        )
    return name


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = _dotted(node.value)
        return None if head is None else f"{head}.{node.attr}"
    return None


def _compiled(node: ast.expr) -> Ask:
    """Return a function of the facts that gives the value of a checked tree, so that it is walked only once."""
    match node:
        case ast.Constant():
            constant = node.value if isinstance(node.value, (int, float, str)) else None
            return lambda _: constant
        case ast.BoolOp():
            children = [_compiled(child) for child in node.values]
            return _logic(children, isinstance(node.op, ast.Or))
        case ast.UnaryOp():
            inner = _compiled(node.operand)
            return _negated(inner) if isinstance(node.op, ast.Not) else _minus(inner)
        case ast.BinOp():
            return _arithmetic(_ARITHMETIC[type(node.op)], _compiled(node.left), _compiled(node.right))
        case ast.Compare(left=ast.Name() | ast.Attribute(), comparators=[ast.Constant(value=bar)]):
            return _against(_COMPARE[type(node.ops[0])], _dotted(node.left) or "", bar)
        case ast.Compare():
            parts = [_compiled(part) for part in (node.left, *node.comparators)]
            pairs = zip(node.ops, parts, parts[1:], strict=False)
            answers = [_compared(_COMPARE[type(op)], left, right) for op, left, right in pairs]
            return answers[0] if len(answers) == 1 else _logic(answers, decides=False)
    name = _dotted(node) or ""
    return lambda facts: _known(facts.get(name))


def _known(value: Value) -> Value:
    return None if isinstance(value, float) and math.isnan(value) else value


def _logic(parts: Sequence[Ask], decides: bool) -> Ask:
    """Return `or` where True decides, `and` where False does."""

    def ask(facts: Mapping[str, Value]) -> bool | None:
        unknown = False
        for part in parts:
            value = part(facts)
            if value is None:
                unknown = True
            elif bool(value) is decides:
                return decides
        return None if unknown else not decides

    return ask


def _negated(inner: Ask) -> Ask:
    def ask(facts: Mapping[str, Value]) -> bool | None:
        value = inner(facts)
        return None if value is None else not value

    return ask


def _minus(inner: Ask) -> Ask:
    def ask(facts: Mapping[str, Value]) -> Value:
        value = inner(facts)
        return None if value is None or isinstance(value, str) else -value

    return ask


def _arithmetic(compute: Callable[[float, float], float], one: Ask, other: Ask) -> Ask:
    def ask(facts: Mapping[str, Value]) -> Value:
        left, right = one(facts), other(facts)
        if left is None or right is None or isinstance(left, str) or isinstance(right, str):
            return None
        try:
            return _known(compute(left, right))
        except (ZeroDivisionError, OverflowError):
            return None

    return ask


def _against(holds: Compare, name: str, bar: object) -> Ask:
    """Return the comparison of a fact with a constant: nearly all that rules ask, so it is one step."""
    is_text = isinstance(bar, str)

    def ask(facts: Mapping[str, Value]) -> bool | None:
        value = facts.get(name)
        if value is None or value != value or isinstance(value, str) != is_text:
            return None
        return bool(holds(value, bar))

    return ask


def _compared(holds: Compare, one: Ask, other: Ask) -> Ask:
    def ask(facts: Mapping[str, Value]) -> bool | None:
        left, right = one(facts), other(facts)
        if left is None or right is None or isinstance(left, str) != isinstance(right, str):
            return None
        return bool(holds(left, right))

    return ask

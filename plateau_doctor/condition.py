"""The small, safe language of rules: comparisons, and, or, not, + - * / over named facts and numbers.

A whitelist over Python's own syntax tree; nothing is ever handed to eval. Facts that were not logged are None
and follow Kleene's three-valued logic: None and False is False, None or True is True, all else is None.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from plateau_doctor.letters import RuleError, did_you_mean

__all__ = ["Condition", "check_template", "render"]

Value = float | str | bool | None
Compare = Callable[[Any, Any], Any]
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
    tree: ast.expr

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
        return cls(text, tuple(dict.fromkeys(names)), tree)

    def evaluate(self, facts: Mapping[str, Value]) -> bool | None:
        """Return whether the condition holds; None when what was logged cannot tell."""
        value = _value(self.tree, facts)
        return None if value is None else bool(value)


def render(template: str, facts: Mapping[str, Value]) -> str:
    """Fill `{name}` and `{name:spec}` in; a fact that was not logged is shown as `?`."""

    def fill(match: re.Match[str]) -> str:
        value = facts[match[1]]
        if value is None:
            return "?"
        if isinstance(value, (str, bool)):
            return str(value)
        return format(round(value) if match[2] == "d" else value, match[2] or ".3g")

    return _FIELD.sub(fill, template)


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


def _value(node: ast.expr, facts: Mapping[str, Value]) -> Value:
    match node:
        case ast.Constant():
            return node.value if isinstance(node.value, (int, float, str)) else None
        case ast.BoolOp():
            return _logic(node, facts)
        case ast.UnaryOp():
            inner = _value(node.operand, facts)
            if isinstance(node.op, ast.Not):
                return None if inner is None else not inner
            return None if inner is None or isinstance(inner, str) else -inner
        case ast.BinOp():
            return _arithmetic(node, facts)
        case ast.Compare():
            return _compared(node, facts)
    value = facts.get(_dotted(node) or "")
    return None if isinstance(value, float) and math.isnan(value) else value


def _logic(node: ast.BoolOp, facts: Mapping[str, Value]) -> bool | None:
    values = [_value(child, facts) for child in node.values]
    decides = isinstance(node.op, ast.Or)
    if any(v is not None and bool(v) is decides for v in values):
        return decides
    return None if any(v is None for v in values) else not decides


def _arithmetic(node: ast.BinOp, facts: Mapping[str, Value]) -> Value:
    left, right = _value(node.left, facts), _value(node.right, facts)
    if left is None or right is None or isinstance(left, str) or isinstance(right, str):
        return None
    try:
        result = _ARITHMETIC[type(node.op)](left, right)
    except (ZeroDivisionError, OverflowError):
        return None
    return None if math.isnan(result) else result


def _compared(node: ast.Compare, facts: Mapping[str, Value]) -> bool | None:
    values = [_value(part, facts) for part in (node.left, *node.comparators)]
    answers: list[bool | None] = []
    for op, left, right in zip(node.ops, values, values[1:], strict=False):
        mixed = isinstance(left, str) != isinstance(right, str)
        known = left is not None and right is not None and not mixed
        answers.append(bool(_COMPARE[type(op)](left, right)) if known else None)
    if False in answers:
        return False
    return None if None in answers else True

"""Errors are letters: what was wrong, where, what was expected, and the nearest thing that would have worked.

PlateauDoctorError
├── UsageError          a wrong option, an unknown tag, a missing path (exit 2)
├── RuleError           a rule or fix file that cannot be read, with file, line and caret (exit 2)
└── NothingToAnalyze    no run in any of the paths (exit 3)
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "NothingToAnalyze",
    "PlateauDoctorError",
    "RuleError",
    "UsageError",
    "did_you_mean",
    "uncommanded",
    "visible",
]


class PlateauDoctorError(Exception):
    """Something a user can mend; its text is the letter to print."""


class UsageError(PlateauDoctorError):
    """A wrong option, an unknown tag, or a path that does not exist."""


class NothingToAnalyze(PlateauDoctorError):  # noqa: N818  # an answer, not a fault
    """No training run was found in any of the paths."""


class RuleError(PlateauDoctorError):
    """A rule or fix file, or a condition in it, that cannot be read.

    Args:
        message: What was wrong.
        file: The file, where it is known.
        line: Line number in it, from 1.
        column: Column in `source`, from 0, that the caret points at.
        source: The line or expression that is wrong.
        hint: What would have worked.
    """

    def __init__(
        self,
        message: str,
        file: Path | None = None,
        line: int | None = None,
        column: int | None = None,
        source: str | None = None,
        hint: str = "",
    ) -> None:
        self.message, self.file, self.line, self.column = message, file, line, column
        self.source, self.hint = source, hint
        super().__init__(message)

    def placed(self, file: Path, line: int | None, column: int | None, source: str | None) -> RuleError:
        """Return the same letter with its place in a file."""
        return RuleError(self.message, file, line, column, source, self.hint)

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        lines = [f"{where}: {self.message}" if where else self.message]
        if self.source is not None:
            lines.append(f"    {visible(self.source)}")
            if self.column is not None:
                lines.append("    " + " " * self.column + "^")
        if self.hint:
            lines.append(self.hint)
        return "\n".join(lines)


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest of `words`, or nothing when none is near."""
    import difflib  # where a mistake was made

    near = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def visible(text: str) -> str:
    """Return `text` with every control, escape and bidirectional character shown as an escape of Python's."""
    if text.isprintable():  # most text is, and much of it is asked for
        return text
    return "".join(
        c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") else ascii(c)[1:-1]
        for c in text
    )


def uncommanded(text: str) -> str:
    """Return lines for a terminal in which none is a workflow command: GitHub obeys those that begin with ::."""
    return re.sub(r"(?m)^((?:\s|\x1b\[[0-9;]*m)*):(?=:)", r"\1: ", text).replace("##[", "# #[")

"""Reading TOML files whose mistakes are answered by letters: file, line and caret."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from plateau_doctor.letters import RuleError

__all__ = ["place_of", "read_toml"]

LARGEST_FILE = 1_000_000


def read_toml(file: Path) -> tuple[str, Mapping[str, object]]:
    """Return the text and the tables of a TOML file.

    Raises:
        RuleError: Unreadable, larger than a megabyte, not UTF-8, or not TOML; with line and caret.
    """
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise RuleError(f"a rule file has at most {LARGEST_FILE} bytes", file)
        text = file.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise RuleError(f"cannot be read: {error.strerror}", file) from None
    except UnicodeDecodeError as error:
        raise RuleError(f"not UTF-8 at byte {error.start}", file) from None
    except (ValueError, RecursionError) as error:  # ValueError: TOML, or a number of thousands of digits
        at = re.search(r"at line (\d+), column (\d+)", str(error))
        line = int(at[1]) if at else None
        source = text.splitlines()[line - 1] if line and line <= len(text.splitlines()) else None
        message = re.sub(r" \(at .*\)$", "", str(error))
        raise RuleError(f"not TOML: {message}", file, line, int(at[2]) - 1 if at else None, source) from None


def place_of(near: str, text: str) -> tuple[int | None, int | None, str | None]:
    """Return line (from 1), column (from 0) and text of the first line that holds `near`; None without one."""
    for number, line in enumerate(text.splitlines(), start=1):
        if near and near in line:
            return number, line.index(near), line
    return None, None, None

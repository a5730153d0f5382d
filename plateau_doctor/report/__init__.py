"""What people and machines read: an Examination as text, HTML, Markdown, or a format that pipelines know.

Each format has a module of its own, imported when it is asked for: text and JSON need neither jinja2 nor
altair, and a new format is one module and one line here.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plateau_doctor.report.describe import describe
from plateau_doctor.report.explain import explain_cause, explain_fix

if TYPE_CHECKING:
    from plateau_doctor.examination import Examination

__all__ = ["FORMATS", "describe", "explain_cause", "explain_fix", "render"]

_HOMES: Mapping[str, tuple[str, str]] = {
    "full": ("text", "full"),
    "concise": ("text", "concise"),
    "json": ("json", "render"),
    "jsonl": ("json", "render_lines"),
    "markdown": ("markdown", "render"),
    "comment": ("markdown", "comment"),
    "junit": ("junit", "render"),
    "github": ("github", "render"),
    "gitlab": ("gitlab", "render"),
    "sarif": ("sarif", "render"),
    "html": ("html", "render"),
}
FORMATS: Sequence[str] = tuple(_HOMES)


def render(
    examination: Examination,
    format: str = "full",
    *,
    color: bool = False,
    plain: bool = False,
    width: int = 80,
    templates: Path | None = None,
) -> str:
    """Return what was found, in one of the formats; the same examination gives the same text.

    Args:
        examination: What was found.
        format: `full` or `concise` text, or any other of FORMATS.
        color: Color text by ANSI escapes; the other formats take no notice.
        plain: Keep text to ASCII, for terminals without Unicode.
        width: Columns that text is wrapped to, at least 40.
        templates: A folder whose templates come before the shipped ones, for HTML; they run in Jinja's sandbox.

    Raises:
        ValueError: There is no such format.
        UsageError: A template of one's own is wrong, or reaches for what the sandbox forbids.
    """
    if format not in _HOMES:
        raise ValueError(f"no format is called {format!r}; there are {', '.join(FORMATS)}")
    module, name = _HOMES[format]
    function = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    if module == "text":
        return str(function(examination, color=color, plain=plain, width=width))
    if module != "html":
        return str(function(examination))
    from plateau_doctor.report.sandbox import letters

    with letters(templates):
        return str(function(examination, templates))

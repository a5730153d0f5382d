"""An Examination as one self-contained HTML page: nothing is loaded, and it reads without JavaScript."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plateau_doctor import places
from plateau_doctor.letters import visible
from plateau_doctor.report.page import page_of
from plateau_doctor.report.words import STATES, confidence, number, place_of, since, strength

if TYPE_CHECKING:
    from jinja2 import Environment

    from plateau_doctor.examination import Examination

__all__ = ["render"]

TEMPLATE, SCRIPT = "report.html.jinja", "report.js"


def render(examination: Examination, templates: Path | None = None) -> str:
    """Return the page.

    Args:
        examination: What was found.
        templates: A folder with `report.html.jinja` and `report.js` of one's own; those shipped when None. A
            template sees the fields of `page.Page`.
    """
    folder = templates or places.templates_folder()
    page = page_of(examination, _hash((folder / SCRIPT).read_text(encoding="utf-8")))
    return _environment(folder).get_template(TEMPLATE).render(vars(page)) + "\n"


def _environment(folder: Path) -> Environment:
    """Return a sandbox in which every text is made visible and escaped before it is put out."""
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "code": _code,
        "confidence": confidence,
        "number": number,
        "place": place_of,
        "since": since,
        "strength": strength,
        "svg": _svg,
        "url": _url,
    }
    environment.globals = {"STATES": STATES}
    return environment


def _shown(value: Any) -> Any:
    """Show control and bidirectional characters as escapes; markup of our own passes."""
    return value if not isinstance(value, str) or hasattr(value, "__html__") else visible(value)


def _code(text: str) -> Any:
    """Return code with its line ends, escaped."""
    from markupsafe import Markup, escape

    return Markup("\n").join(escape(visible(line)) for line in text.strip("\n").expandtabs(4).split("\n"))


def _svg(text: str) -> Any:
    """Pass a picture that the chart module drew; vl-convert escapes the names in it."""
    from markupsafe import Markup

    return Markup(text)


def _url(reference: str) -> str:
    """Return where a reference can be read, for one that names an arXiv paper; else nothing."""
    head, _, paper = reference.rpartition("arXiv:")
    return f"https://arxiv.org/abs/{paper}" if head and paper.replace(".", "").isdigit() else ""


def _hash(script: str) -> str:
    """Return the source that the page's content security policy allows: its own script, by its hash.

    Jinja drops the last line end of what it includes.
    """
    digest = hashlib.sha256(script.removesuffix("\n").encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()

"""The sandbox that templates run in, what they may call, and letters for what goes wrong in one's own."""

from __future__ import annotations

import base64
import hashlib
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plateau_doctor import places
from plateau_doctor.letters import UsageError, visible
from plateau_doctor.report.words import STATES, confidence, number, place_of, since, strength

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["environment", "letters", "script_hash"]

SCRIPT = "report.js"


@lru_cache(maxsize=4)
def environment(templates: Path | None = None) -> Environment:
    """Return a sandbox in which every text is made visible and escaped before it is put out.

    A template is looked for in a folder of one's own first, then among those that are shipped. It is kept: reading
    the templates anew takes a third of a page's time.
    """
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    made = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader([*([templates] if templates else []), places.templates_folder()]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "code": _code,
        "confidence": confidence,
        "number": number,
        "place": place_of,
        "since": since,
        "strength": strength,
        "svg": _svg,
        "url": _url,
    }
    made.globals = {"STATES": STATES}
    return made


def script_hash(made: Environment) -> str:
    """Return the source that a page's content security policy allows: its own script, by its hash.

    Jinja drops the last line end of what it includes.
    """
    assert made.loader is not None
    script = made.loader.get_source(made, SCRIPT)[0]
    digest = hashlib.sha256(script.removesuffix("\n").encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()


@contextmanager
def letters(templates: Path | None) -> Iterator[None]:
    """Turn what goes wrong in templates of one's own into a letter with the file and the line.

    Raises:
        UsageError: Such a template is wrong, or reaches for what the sandbox forbids.
    """
    from jinja2 import TemplateError, TemplateSyntaxError

    try:
        yield
    except TemplateSyntaxError as error:
        raise UsageError(f"{error.filename}:{error.lineno}: {error.message}") from None
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        if templates is None:
            raise
        own = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).parent == templates]
        place = f"{own[-1].filename}:{own[-1].lineno}: " if own else f"--templates {templates}: "
        raise UsageError(f"{place}{error}") from None


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

"""An Examination as one self-contained HTML page: nothing is loaded, and it reads without JavaScript."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from plateau_doctor.report.page import Way, page_of
from plateau_doctor.report.sandbox import environment, script_hash

if TYPE_CHECKING:
    from plateau_doctor.examination import Examination

__all__ = ["render"]

TEMPLATE = "report.html.jinja"


def render(examination: Examination, templates: Path | None = None, way: Way | None = None) -> str:
    """Return the page.

    Args:
        examination: What was found.
        templates: A folder with files of one's own in place of `report.html.jinja`, `report.css` or `report.js`;
            those that it lacks are the shipped ones. A template sees the fields of `page.Page`.
        way: To the pages of other runs, None for a page that stands alone.

    Raises:
        jinja2.TemplateError: A template of one's own is wrong, or reaches for what the sandbox forbids.
    """
    made = environment(templates)
    page = page_of(examination, script_hash(made), way)
    return made.get_template(TEMPLATE).render(vars(page)) + "\n"

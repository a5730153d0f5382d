"""plateau-doctor: says why a training run went flat, from the logs it left, and what to change.

    import plateau_doctor
    found = plateau_doctor.analyze(["logs/"])
    print(plateau_doctor.render(found, "full"))

Everything is imported at first use (PEP 562), so that `plateau-doctor --help` costs no more than click.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plateau_doctor.examination import Examination, analyze
    from plateau_doctor.readers import Follower
    from plateau_doctor.readers import read as read_runs
    from plateau_doctor.report import render
    from plateau_doctor.run import Problem, Run
    from plateau_doctor.verification import verify

__version__ = "0.1.0"
__all__ = [
    "Examination",
    "Follower",
    "Problem",
    "Run",
    "__version__",
    "analyze",
    "read_runs",
    "render",
    "verify",
]

_HOMES = {
    "Examination": ("examination", "Examination"),
    "Follower": ("readers", "Follower"),
    "Problem": ("run", "Problem"),
    "Run": ("run", "Run"),
    "analyze": ("examination", "analyze"),
    "read_runs": ("readers", "read"),
    "render": ("report", "render"),
    "verify": ("verification", "verify"),
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    return __all__

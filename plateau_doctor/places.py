"""Where rules/ and templates/ are: beside the package in a checkout, inside it in a wheel; and the fitted weights."""

from __future__ import annotations

from pathlib import Path

__all__ = ["rules_folder", "templates_folder", "weights_folder"]

_PACKAGE = Path(__file__).resolve().parent


def rules_folder() -> Path:
    """Return the folder that holds causes/ and fixes/."""
    return _folder("rules")


def templates_folder() -> Path:
    """Return the folder of the report's templates."""
    return _folder("templates")


def weights_folder() -> Path:
    """Return the folder of the fitted weights."""
    return _PACKAGE / "fitted"


def _folder(name: str) -> Path:
    """A checkout's folder comes first: an editable install may have left a stale copy inside the package."""
    beside = _PACKAGE.parent / name
    if beside.is_dir() and (_PACKAGE.parent / "pyproject.toml").is_file():
        return beside
    return _PACKAGE / name

"""What is installed here: the package, what it needs, its optional parts, and GPUs, without importing any framework."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement

from plateau_doctor import places
from plateau_doctor.runners.local import find_gpus

__all__ = ["Part", "installation"]

NAME = "plateau-doctor"


@dataclass(frozen=True)
class Part:
    """One thing that is looked at: what it is, how it stands, and whether it must be mended."""

    name: str
    says: str
    broken: bool = False


def installation(version: str) -> tuple[Part, ...]:
    """Return everything that `doctor` tells, the package of this version first."""
    rules = sorted((places.rules_folder() / "causes").glob("*.toml"))
    template = places.templates_folder() / "report.html.jinja"
    return (
        Part(NAME, f"{version}, Python {platform.python_version()} on {platform.system()}"),
        Part("rules", f"{len(rules)} causes in {places.rules_folder()}", not rules),
        Part("templates", str(places.templates_folder()), not template.is_file()),
        *_packages(),
        Part("GPUs", ", ".join(find_gpus()) or "none found: trials train on the CPU"),
    )


def _packages() -> list[Part]:
    """Return how each requirement of the package stands; an extra that is not installed is nothing broken."""
    try:
        needed = metadata.requires(NAME) or []
    except metadata.PackageNotFoundError:
        return [Part("packages", "not installed as a package: what it needs is not known", broken=True)]
    found = []
    for text in needed:
        need = Requirement(text)
        extra = next(
            (e for e in metadata.metadata(NAME).get_all("Provides-Extra") or [] if _only_for(need, e)), ""
        )
        if extra or need.marker is None or need.marker.evaluate():
            found.append(_package(need, extra))
    return found


def _only_for(need: Requirement, extra: str) -> bool:
    marker = need.marker
    return marker is not None and not marker.evaluate({"extra": ""}) and marker.evaluate({"extra": extra})


def _package(need: Requirement, extra: str) -> Part:
    try:
        version = metadata.version(need.name)
    except metadata.PackageNotFoundError:
        if extra:
            return Part(need.name, f'not installed; pip install "{NAME}[{extra}]"')
        return Part(need.name, f"missing; {need.specifier} is needed", broken=True)
    fits = need.specifier.contains(version, prereleases=True)
    return Part(need.name, version if fits else f"{version}, but {need.specifier} is needed", broken=not fits)

"""The table of what a trial can turn in each framework, made from what the wraps themselves know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from plateau_doctor.fix import Change
from plateau_doctor.trials import keras, torch

__all__ = ["FRAMEWORKS", "Knob", "table"]

FRAMEWORKS = {"keras": keras, "torch": torch}


@dataclass(frozen=True)
class Knob:
    """One knob of `Change` in one framework.

    Attributes:
        name: Its name.
        framework: "keras" or "torch".
        can: Whether it can be turned there.
        where: On what it can be turned, or why it cannot.
    """

    name: str
    framework: str
    can: bool
    where: str


def table() -> Iterator[Knob]:
    """Yield every knob in every framework, knob by knob in the order of `Change`."""
    for one in fields(Change):
        for framework, wrap in FRAMEWORKS.items():
            can = one.name in wrap.CAN
            yield Knob(one.name, framework, can, (wrap.CAN if can else wrap.CANNOT)[one.name])

"""How a function becomes a fact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from plateau_doctor.facts.logged import Logged

__all__ = ["REGISTRY", "Fact", "Value", "fact"]

Value = float | str | bool | None
REGISTRY: dict[str, Fact] = {}


@dataclass(frozen=True)
class Fact:
    """One fact: its name, unit, meaning, the log it needs, and how to compute it."""

    name: str
    unit: str
    needs: str
    meaning: str
    compute: Callable[[Logged], Value]


def fact(
    name: str, unit: str, needs: str, *series: str
) -> Callable[[Callable[[Logged, str], Value]], Callable[[Logged, str], Value]]:
    """Register a function of (logged, series) as a fact.

    With `series`, the name is a property and one fact `<series>.<name>` is made for each; `needs` names
    an entry of `logs.LOGS`, where `{series}` stands for the series.
    """

    def register(function: Callable[[Logged, str], Value]) -> Callable[[Logged, str], Value]:
        meaning = " ".join((function.__doc__ or "").split())
        for one in series or (name.split(".")[0],):
            full = f"{one}.{name}" if series else name

            def compute(logged: Logged, one: str = one) -> Value:
                return function(logged, one)

            REGISTRY[full] = Fact(full, unit, needs.format(series=one), meaning, compute)
        return function

    return register

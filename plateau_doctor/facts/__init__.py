"""Facts: named numbers about one run, computed once and only when asked for; None where not logged.

A module in this folder is found by itself; a fact is one decorated function in it. Its docstring says
what it means and where it comes from; unit and needed log stand in the decorator.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from plateau_doctor.facts.logged import Logged
from plateau_doctor.facts.needs import BESIDE, was_logged
from plateau_doctor.facts.registry import REGISTRY, Fact, Value
from plateau_doctor.run import Run
from plateau_doctor.siblings import Siblings

__all__ = ["Fact", "Facts", "Logged", "Value", "known_facts"]


class Facts(Mapping[str, Value]):
    """The facts of one run: a lazy, cached mapping from name to number, text, flag or None.

    None means that the log does not tell; NaN and Inf never appear. What siblings tell (`siblings.*`) is None
    without them. Where the siblings lie elsewhere, `beside` says what they tell (`facts.siblings.told_by`).
    """

    def __init__(
        self, run: Run | Logged, siblings: Siblings | None = None, beside: Mapping[str, Value] | None = None
    ) -> None:
        self.logged = Logged.of(run).among(siblings)
        self._known = known_facts()
        self._values: dict[str, Value] = {name: _clean(value) for name, value in (beside or {}).items()}
        self._logged: dict[str, bool] = {} if beside is None else {BESIDE: True}

    def __getitem__(self, name: str) -> Value:
        try:
            return self._values[name]
        except KeyError:
            value = self._values[name] = _clean(self._known[name].compute(self.logged))
            return value

    def get(self, name: str, default: Any = None) -> Any:
        """Return a fact; one that is not known by name is None, or `default`."""
        try:
            return self._values[name]  # rules ask for each of them many times
        except KeyError:
            return self[name] if name in self._known else default

    def missing(self, name: str) -> str | None:
        """Return what must be logged for a fact that is None, or None where nothing is missing.

        A fact whose log is there but that does not apply (a rate that was never cut) misses nothing.
        """
        if self[name] is not None:
            return None
        need = self._known[name].needs
        return None if self.was_logged(need) else need

    def was_logged(self, need: str) -> bool:
        """Whether the run logged what `need` (a key of NEEDS, or BESIDE) stands for."""
        if need not in self._logged:
            self._logged[need] = was_logged(self.logged, need)
        return self._logged[need]

    def lacks(self) -> tuple[str, ...]:
        """Return the kinds of log that were not logged and leave a fact unknown."""
        return tuple(
            need
            for need, names in _by_need().items()
            if not self.was_logged(need) and any(self[name] is None for name in names)
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


@cache
def known_facts() -> Mapping[str, Fact]:
    """Return every fact by name, from all modules of this folder, in alphabetical order."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(REGISTRY.items()))


@cache
def _by_need() -> Mapping[str, tuple[str, ...]]:
    """Return kind of log -> the facts that need it."""
    found: dict[str, tuple[str, ...]] = {}
    for name, one in known_facts().items():
        found[one.needs] = (*found.get(one.needs, ()), name)
    return found


def _clean(value: Value) -> Value:
    if isinstance(value, (bool, str)) or value is None:
        return value
    number = float(value)
    return number if math.isfinite(number) else None

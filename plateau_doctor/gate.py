"""What decides whether findings fail a pipeline: the bar, what was waived and why, and what had to be logged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["CONFIDENCES", "SEVERITIES", "STATES_GATED", "Gate", "Lack", "Waiver"]

By = Literal["suppressed", "baseline", "not selected"]

SEVERITIES = ("note", "warning", "error")  # the mildest first
CONFIDENCES: Mapping[str, float] = {"low": 0.0, "medium": 0.5, "high": 0.8}
UNCALIBRATED = 0.5  # ranks as medium
STATES_GATED: Mapping[str, str] = {
    "diverged": "diverged",
    "plateaued": "stuck",
}  # state -> what a finding is called


@dataclass(frozen=True)
class Waiver:
    """One finding that does not count, and why: still told in every report, never a reason to fail.

    Attributes:
        run: Name of the run.
        cause: The cause that was named.
        by: A suppression of the configuration, the baseline, or what was selected.
        why: The reason, in words.
        expires: Day as 2027-01-31 after which it counts again, empty without one.
    """

    run: str
    cause: str
    by: By
    why: str
    expires: str = ""


@dataclass(frozen=True)
class Lack:
    """Something that --require asks for and a run did not log: what, and the line that logs it."""

    run: str
    need: str
    log: str
    how: str


@dataclass(frozen=True)
class Gate:
    """The bar, and what does not have to pass it.

    Attributes:
        fail_on: Lowest severity that fails: `error`, `warning`, `note`, or `never`.
        min_confidence: Lowest confidence that fails: `low`, `medium`, `high`.
        waivers: Findings that do not count, by run and cause.
        lacks: What was required and not logged; each fails, unless nothing does.
        fail_on_state: States that fail whatever the cause and however sure: `diverged`, `stuck`.
    """

    fail_on: str = "error"
    min_confidence: str = "medium"
    waivers: tuple[Waiver, ...] = ()
    lacks: tuple[Lack, ...] = ()
    fail_on_state: tuple[str, ...] = ("diverged",)

    def stops(self, severity: str, probability: float | None) -> bool:
        """Whether a finding of this severity and probability (None: uncalibrated) fails."""
        if self.fail_on == "never":
            return False
        heavy = SEVERITIES.index(severity) >= SEVERITIES.index(self.fail_on)
        sure = UNCALIBRATED if probability is None else probability
        return heavy and sure >= CONFIDENCES[self.min_confidence]

    def state_of(self, state: str) -> str | None:
        """Return the name of the finding that a run's state is by itself, None where it is none."""
        name = STATES_GATED.get(state)
        return name if name in self.fail_on_state else None

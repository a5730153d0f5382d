"""What every format says alike: how a run stands, how sure a cause is, how a number looks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from plateau_doctor.findings import findings_of
from plateau_doctor.gate import SEVERITIES
from plateau_doctor.letters import visible
from plateau_doctor.plateau import Plateau, moment
from plateau_doctor.recorders import lines

if TYPE_CHECKING:
    from plateau_doctor.diagnosis import Diagnosis, Evidence
    from plateau_doctor.examination import Examination, RunExamination
    from plateau_doctor.fix import Fix
    from plateau_doctor.gate import Gate
    from plateau_doctor.missing import Missing
    from plateau_doctor.run import Problem

__all__ = [
    "BLIND",
    "STATES",
    "WAIVED",
    "Standing",
    "cause_of",
    "confidence",
    "counted",
    "fixes_of",
    "framework_of",
    "gate_says",
    "gravity",
    "grouped",
    "last_plateau",
    "number",
    "place_of",
    "run_labels",
    "sentence",
    "shown",
    "since",
    "snippet_for",
    "standing",
    "strength",
    "summary",
    "unused_anchor",
]

Standing = Literal["sick", "undetermined", "noted", "fine", "not judged"]

STATES: Mapping[str, str] = {
    "improving": "improving",
    "plateaued": "stuck",
    "converged": "converged",
    "diverged": "diverged",
    "too_short": "too short",
    "not_a_training_run": "no curve",
}
BLIND = "Check the labels, the loss against the output layer, and whether one batch can be overfitted."
WAIVED: Mapping[str, str] = {
    "suppressed": "suppressed by the configuration",
    "baseline": "in the baseline",
    "not selected": "not selected",
}
_BANDS = ((0.8, "high"), (0.5, "medium"), (0.0, "low"))
_STRENGTHS = ((math.log(30), "decisive"), (math.log(5), "strong"), (math.log(2), "fair"), (0.0, "slight"))
_KERAS_TAGS = frozenset({"epoch_accuracy", "epoch_learning_rate", "val_loss", "val_accuracy"})


def standing(one: RunExamination) -> Standing:
    """Return whether a run has a cause named, is stuck without one, is fine, or cannot be judged.

    A run that goes well and has notes alone is called noted.
    """
    if one.diagnoses:
        stuck = one.state in ("plateaued", "diverged")
        return "sick" if stuck or any(d.severity != "note" for d in one.diagnoses) else "noted"
    if one.undetermined is not None or one.state in ("plateaued", "diverged"):
        return "undetermined"
    return "not judged" if one.state in ("too_short", "not_a_training_run") else "fine"


def gravity(one: RunExamination) -> int:
    """Return how grave the gravest cause of a run is, from 0."""
    return max((SEVERITIES.index(diagnosis.severity) for diagnosis in one.diagnoses), default=0)


def summary(examination: Examination) -> str:
    """Return the counts of an analysis in one line."""
    found = [standing(one) for one in examination.runs]
    words = {
        "fine": "fine",
        "noted": "with a note",
        "sick": "sick",
        "undetermined": "undetermined",
        "not judged": "not judged",
    }
    parts = [f"{found.count(kind)} {word}" for kind, word in words.items() if kind in found]
    line = counted(len(found), "run") + (": " + ", ".join(parts) if parts else "")
    troubles = len(examination.problems) + sum(len(one.run.problems) for one in examination.runs)
    if troubles:
        line += f"; {counted(troubles, 'problem')} reading the logs"
    return "; ".join([line, *_failing(examination), *gate_says(examination.gate)])


def _failing(examination: Examination) -> list[str]:
    """Return how many runs make the exit code 1, and by which bar; nothing where none was found or is gated.

    Trials gate nothing: their verdict is the exit code.
    """
    gate, found = examination.gate, findings_of(examination)
    if not found or gate.fail_on == "never" or any(one.trials for one in examination.runs):
        return []
    number_of = len({one.run for one in found if one.stops})
    bar = f"--fail-on {gate.fail_on}, --min-confidence {gate.min_confidence}"
    return [f"{number_of or 'none'} fail{'' if number_of > 1 else 's'} ({bar})"]


def gate_says(gate: Gate) -> list[str]:
    """Return what does not count and what was required, as counts; nothing where there is neither."""
    said = []
    for by, words in WAIVED.items():
        number_of = sum(one.by == by for one in gate.waivers)
        if number_of:
            said.append(f"{counted(number_of, 'finding')} {words}")
    if gate.lacks:
        said.append(f"{counted(len(gate.lacks), 'required log')} missing")
    return said


def confidence(diagnosis: Diagnosis) -> str:
    """Return how sure a cause is, in a word; a percentage only where it was calibrated."""
    if diagnosis.probability is None or not diagnosis.calibrated:
        return "uncalibrated"
    band = next(word for bar, word in _BANDS if diagnosis.probability >= bar)
    return f"{band} confidence, {_percent(diagnosis.probability)}"


def _percent(probability: float) -> str:
    """Return a probability as a percentage; never 100% for one that is not certain."""
    return f"{probability:.0%}" if probability < 0.995 else "over 99%"


def strength(evidence: Evidence) -> str:
    """Return the word for the weight of a sign: decisive, strong, fair or slight."""
    return next(word for bar, word in _STRENGTHS if abs(evidence.log_odds) >= bar or bar == 0.0)


def since(plateau: Plateau, brief: bool = False) -> str:
    """Return when a plateau begins: epoch and step, once where they are counted alike; briefly, the epoch alone."""
    said = moment(plateau.start_step, plateau.start_epoch)
    return said.partition(" (")[0] if brief else said


def last_plateau(one: RunExamination) -> Plateau | None:
    """Return the flat stretch that a stuck or converged run ends in; None for any other run."""
    if one.state not in ("plateaued", "converged"):
        return None
    return next((p for p in reversed(one.plateaus) if p.tag == one.primary), None)


def cause_of(one: RunExamination) -> str:
    """Return the likeliest cause of a run, or what stands in its place."""
    if one.diagnoses:
        return one.diagnoses[0].cause
    return "undetermined" if standing(one) == "undetermined" else ""


def run_labels(names: Sequence[str]) -> list[str]:
    """Return names of runs without the folders and files that all begin and end with; something is left of each."""
    parts = [name.split("/") for name in names]
    most = min(map(len, parts), default=1) - 1 if len(names) > 1 else 0
    before = next((i for i in range(most) if len({one[i] for one in parts}) > 1), most)
    behind = next((i for i in range(most - before) if len({one[-1 - i] for one in parts}) > 1), most - before)
    return ["/".join(one[before : len(one) - behind]) for one in parts]


def fixes_of(diagnosis: Diagnosis, fixes: Mapping[str, Fix]) -> tuple[Fix, ...]:
    """Return the fixes of a cause, the first to try first."""
    return tuple(fixes[name] for name in dict.fromkeys(diagnosis.fixes) if name in fixes)


def snippet_for(snippets: Mapping[str, str], framework: str) -> tuple[str, str]:
    """Return (framework, code) for a run's framework, else for the first one that the fix has."""
    chosen = framework if framework in snippets else next(iter(snippets), "")
    return chosen, snippets.get(chosen, "")


def sentence(one: RunExamination) -> str:
    """Return a run's headline as a sentence; a tag that it begins with keeps its letters."""
    text = one.headline
    if not (one.primary and text.startswith(one.primary)):
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."


def grouped(missing: Sequence[Missing]) -> list[tuple[str, str]]:
    """Return (logs, how): logs that the same line would log, named together."""
    by_line: dict[str, list[str]] = {}
    for one in missing:
        by_line.setdefault(one.how, []).append(one.log)
    return [(", ".join(logs), how) for how, logs in by_line.items()]


def framework_of(one: RunExamination) -> str:
    """Return the framework that code is shown for, `keras` or `torch`, by the run's trials or what it logged.

    Where neither tells, columns as Keras' CSVLogger names them do.
    """
    found = lines.framework_of(one.run, " ".join(trial.held_on for trial in one.trials))
    tags = frozenset(str(tag).rpartition("/")[2] for tag in one.run.scalars["tag"].unique())
    by_name = found is None and "loss" in tags and tags & _KERAS_TAGS
    return "keras" if found == "keras" or by_name else "torch"


def place_of(problem: Problem) -> str:
    """Return why something could not be read, with the bytes where they are known."""
    if problem.offset is None:
        return problem.why
    span = "" if problem.length is None else f", {problem.length} bytes"
    return f"{problem.why} (at byte {problem.offset}{span})"


def number(value: float | str | bool | None) -> str:
    """Return a fact's value as people read it: three digits, whole numbers in full, `?` where not logged."""
    if value is None or isinstance(value, (bool, str)):
        return "?" if value is None else str(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"
    return f"{value:.0f}" if abs(value) < 1e6 and value == int(value) else f"{value:.3g}"


def counted(n: int, thing: str) -> str:
    """Return `1 run`, `2 runs`."""
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def shown(evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Return the signs that were seen, those that speak for the cause first; none whose facts heavier ones told.

    The shares of one fact may lean to both sides; the larger one is told.
    """
    told: set[str] = set()
    kept: list[Evidence] = []
    for one in sorted((one for one in evidence if one.seen), key=lambda one: -abs(one.log_odds)):
        if not (one.facts and told >= one.facts.keys()):
            told |= one.facts.keys()
            kept.append(one)
    return tuple(one for side in ("for", "against") for one in evidence if one.side == side and one in kept)


def unused_anchor(name: str, taken: set[str]) -> str:
    """Return a name for a link: the run's letters and digits, with a number where two runs share them."""
    plain = "run-" + (re.sub(r"[^a-z0-9]+", "-", visible(name).lower()).strip("-")[:60] or "unnamed")
    anchor, rank = plain, 2
    while anchor in taken:
        anchor, rank = f"{plain}-{rank}", rank + 1
    taken.add(anchor)
    return anchor

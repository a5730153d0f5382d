"""The text that trainers print: nanoGPT and its speed-runs, llm.c, Caffe.

A line counts when it names a step and a loss in one of the ways below, or what llm.c and Caffe log in a line of its
own; all other lines (a script echoed at the head, warnings, timings) are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from plateau_doctor.readers.json_text import curves_of_records
from plateau_doctor.readers.texts import as_utf8, name_below, text_in
from plateau_doctor.run import Problem, Run

__all__ = ["NAME", "ORDER", "read", "sniff"]

NAME = "text"
ORDER = 80
FEWEST_LINES = 3

_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|nan|inf)"
_STEP = re.compile(r"\b(?:step|iter|iteration|s|epoch)[ :]*\s*(\d+)(?:/\d+)?\b", re.IGNORECASE)
_VALUE = re.compile(
    r"\b((?:train|val|valid|validation|test|eval)?[ _]?(?:loss|acc|accuracy)|trl|tel|lr|norm|grad_norm)"
    rf"\s*[:= ]\s*({_NUMBER})",
    re.IGNORECASE,
)
_ALONE = re.compile(rf"(?:^s:\d+ (eval):|Iteration \d+, (lr) = )({_NUMBER})\s*$")
_CAFFE_TEST = re.compile(rf"Test net output #\d+: (\S+) = ({_NUMBER})")
_LLM_C_TEST = re.compile(rf"\s*val loss:?\s+({_NUMBER})\s*", re.IGNORECASE)
_CAFFE_STEP = re.compile(r"Iteration (\d+)\b")


def sniff(path: Path, head: bytes) -> bool:
    """Whether several lines name a step and a loss."""
    plain = as_utf8(head)
    if b"\0" in plain or path.suffix.lower() not in (".log", ".txt", ".out", ""):
        return False
    text = plain.decode("utf-8", errors="replace")
    return sum(bool(_record(line)) for line in text.splitlines()) >= FEWEST_LINES or (
        "import torch" in text and path.suffix.lower() in (".log", ".txt")
    )


def read(paths: Sequence[Path], root: Path) -> Iterator[Run | Problem]:
    """Yield one Run a file."""
    for path in paths:
        try:
            text = text_in(path)
        except OSError as error:
            yield Problem(str(path), "cannot be read", error.strerror or str(error))
            continue
        records = list(_records(text))
        if len(records) < FEWEST_LINES:
            yield Problem(str(path), "not a training log", "no line names a step and a loss")
            continue
        yield Run(name_below(path, root), str(path), NAME, curves_of_records(records))


def _records(text: str) -> Iterator[dict[str, object]]:
    """Yield one record a line; what Caffe and llm.c say of their tests belongs to the step named before it."""
    iteration: float | None = None
    step: object = 0.0
    for line in text.splitlines():
        named = _CAFFE_STEP.search(line)
        if named:
            iteration = float(named[1])
        tested = _CAFFE_TEST.search(line)
        if tested and iteration is not None:
            name = tested[1] if "test" in tested[1].lower() else f"test_{tested[1]}"
            yield {"step": iteration, name: float(tested[2])}
            continue
        alone = _LLM_C_TEST.fullmatch(line)
        if alone:
            yield {"step": step, "val_loss": float(alone[1])}
            continue
        record = _record(line)
        if record:
            step = record["step"]
            yield record


def _record(line: str) -> dict[str, object]:
    """Return step and values of a line, empty where it names no step, or none of the values that count."""
    if len(line) > 1000:
        return {}
    step = _STEP.search(line)
    if step is None or step.start() > 60:
        return {}
    if alone := _ALONE.search(line):
        return {"step": float(step[1]), alone[1] or alone[2]: float(alone[3])}
    values: dict[str, object] = {}
    for match in _VALUE.finditer(line):
        name = match[1].strip().lower().replace(" ", "_")
        values.setdefault("grad_norm" if name == "norm" else name, float(match[2]))
    if not any("loss" in name or name in ("trl", "tel") for name in values):
        return {}
    return {"step": float(step[1]), **values}

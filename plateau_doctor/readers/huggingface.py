"""Hugging Face `trainer_state.json`: one record a logging step under `log_history`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from plateau_doctor.readers.json_text import curves_of_records, numbers_of, parsed
from plateau_doctor.readers.texts import as_utf8, name_below, text_in
from plateau_doctor.run import Problem, Run

__all__ = ["NAME", "ORDER", "read", "sniff", "together"]

NAME = "huggingface"
ORDER = 10
SUMMARY = frozenset({"train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos"})
CLOCKS = ("runtime", "samples_per_second", "steps_per_second")
SETTINGS = ("train_batch_size", "max_steps", "num_train_epochs", "eval_steps", "logging_steps", "best_metric")


def sniff(path: Path, head: bytes) -> bool:
    """Whether it is JSON with a trainer's state."""
    return as_utf8(head).lstrip()[:1] == b"{" and (
        b'"log_history"' in as_utf8(head) or path.name == "trainer_state.json"
    )


def together(paths: Sequence[Path]) -> list[list[Path]]:
    """Return the states of one run, group by group."""
    homes: dict[Path, list[Path]] = {}
    for path in sorted(paths):
        homes.setdefault(_home(path), []).append(path)
    return list(homes.values())


def read(paths: Sequence[Path], root: Path) -> Iterator[Run | Problem]:
    """Yield one Run a training; of several checkpoints of one run the longest is kept."""
    longest: dict[Path, tuple[int, Run, list[str]]] = {}
    for path in sorted(paths):
        one = _run(path, root)
        if isinstance(one, Problem):
            yield one
            continue
        home = _home(path)
        size, kept, left = longest.get(home, (-1, one, []))
        if len(one.scalars) >= size:
            longest[home] = (len(one.scalars), one, [*left, *([kept.source] if size >= 0 else [])])
        else:
            longest[home] = (size, kept, [*left, one.source])
    for _, run, left in longest.values():
        said = (
            {"(checkpoints)": f"shorter states of the same run were left out: {', '.join(left)}"}
            if left
            else {}
        )
        yield dataclasses.replace(run, reasons=said)


def _home(path: Path) -> Path:
    """Return the folder of the run that a state is of: a checkpoint's lies one deeper."""
    return path.parent.parent if path.parent.name.startswith("checkpoint-") else path.parent


def _run(path: Path, root: Path) -> Run | Problem:
    try:
        state = parsed(text_in(path))
    except OSError as error:
        return Problem(str(path), "cannot be read", error.strerror or str(error))
    history = state.get("log_history") if isinstance(state, dict) else None
    if not isinstance(history, list) or not isinstance(state, dict):
        return Problem(str(path), "not read", "the JSON is cut or damaged, or has no log_history")
    records = [record for record in history if isinstance(record, dict)]
    points = [_point(record) for record in records if not SUMMARY & set(record)]
    odd = len(history) - len(records)
    problems = (
        [Problem(str(path), f"{odd} of {len(history)} records are none", "no JSON objects")] if odd else []
    )
    settings = {name: value for name, value in numbers_of(state).items() if name in SETTINGS}
    for record in records:
        if SUMMARY & set(record):  # the mean of the whole run, not a point of its curve
            settings.update({f"final/{k}": v for k, v in numbers_of(record).items() if k != "step"})
    name = name_below(path, root)
    scalars = curves_of_records(points)
    if scalars.empty:
        return Problem(str(path), "not a training log", "its log_history holds no numbers")
    return Run(name, str(path), NAME, scalars, settings=settings, problems=tuple(problems))


def _point(record: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in record.items() if not key.endswith(CLOCKS)}

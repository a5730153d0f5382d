"""Hugging Face `trainer_state.json`: one record a logging step under `log_history`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from plateau_doctor.readers.axes import curves
from plateau_doctor.readers.json_text import numbers_of, parsed, table_of
from plateau_doctor.run import Problem, Run

__all__ = ["NAME", "ORDER", "read", "sniff"]

NAME = "huggingface"
ORDER = 10
SUMMARY = frozenset({"train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos"})
CLOCKS = ("runtime", "samples_per_second", "steps_per_second")
SETTINGS = ("train_batch_size", "max_steps", "num_train_epochs", "eval_steps", "logging_steps", "best_metric")


def sniff(path: Path, head: bytes) -> bool:
    """Whether it is JSON with a trainer's state."""
    return head.lstrip()[:1] == b"{" and (b'"log_history"' in head or path.name == "trainer_state.json")


def read(paths: Sequence[Path], root: Path) -> Iterator[Run | Problem]:
    """Yield one Run a training; of several checkpoints of one run the longest is kept."""
    longest: dict[Path, tuple[int, Run, list[str]]] = {}
    for path in sorted(paths):
        one = _run(path, root)
        if isinstance(one, Problem):
            yield one
            continue
        home = path.parent.parent if path.parent.name.startswith("checkpoint-") else path.parent
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
        yield Run(run.name, run.source, NAME, run.scalars, settings=run.settings, reasons=said)


def _run(path: Path, root: Path) -> Run | Problem:
    try:
        state = parsed(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        return Problem(str(path), "cannot be read", error.strerror or str(error))
    history = state.get("log_history") if isinstance(state, dict) else None
    if not isinstance(history, list) or not isinstance(state, dict):
        return Problem(str(path), "not read", "the JSON is cut or damaged, or has no log_history")
    records = [record for record in history if isinstance(record, dict)]
    points = [_point(record) for record in records if not SUMMARY & set(record)]
    settings = {name: value for name, value in numbers_of(state).items() if name in SETTINGS}
    for record in records:
        if SUMMARY & set(record):  # the mean of the whole run, not a point of its curve
            settings.update({f"final/{k}": v for k, v in numbers_of(record).items() if k != "step"})
    name = path.name if path == root else str(path.relative_to(root))
    scalars = curves(table_of(points))
    if scalars.empty:
        return Problem(str(path), "not a training log", "its log_history holds no numbers")
    return Run(name, str(path), NAME, scalars, settings=settings)


def _point(record: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in record.items() if not key.endswith(CLOCKS)}

"""Records of numbers as JSON: a line each (detectron2, mmengine, DETR) or a list of them (Chainer's LogReport)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from plateau_doctor.readers.axes import curves
from plateau_doctor.readers.json_text import numbers_of, parsed, table_of
from plateau_doctor.run import Problem, Run

__all__ = ["NAME", "ORDER", "read", "sniff"]

NAME = "json"
ORDER = 30


def sniff(path: Path, head: bytes) -> bool:
    """Whether its first line, or the first element of its list, is an object with numbers in it."""
    start = head.lstrip()
    if start[:1] == b"[":
        return b"loss" in start or b"accuracy" in start
    first = parsed(start.split(b"\n", 1)[0].decode("utf-8", errors="replace")) if start[:1] == b"{" else None
    return (
        isinstance(first, dict)
        and len(numbers_of(first)) >= 2
        and (b"\n" in start or path.suffix == ".jsonl")
    )


def read(paths: Sequence[Path], root: Path) -> Iterator[Run | Problem]:
    """Yield one Run a file; lines that are no JSON are named."""
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            yield Problem(str(path), "cannot be read", error.strerror or str(error))
            continue
        records, problems = _records(path, text)
        scalars = curves(table_of(records))
        if scalars.empty:
            yield from problems or [
                Problem(str(path), "not read", "the JSON is cut or damaged, or holds no numbers")
            ]
            continue
        name = path.name if path == root else str(path.relative_to(root))
        yield Run(name, str(path), NAME, scalars, problems=tuple(problems))


def _records(path: Path, text: str) -> tuple[list[Mapping[str, object]], list[Problem]]:
    if text.lstrip().startswith("["):
        whole = parsed(text)
        return [one for one in whole if isinstance(one, dict)] if isinstance(whole, list) else [], []
    records: list[Mapping[str, object]] = []
    problems: list[Problem] = []
    offset = 0
    for number, line in enumerate(text.split("\n"), start=1):
        one = parsed(line) if line.strip() else None
        if isinstance(one, dict):
            records.append(one)
        elif line.strip():
            problems.append(
                Problem(str(path), f"line {number} is no JSON record", line.strip()[:60], offset, len(line))
            )
        offset += len(line.encode()) + 1
    return records, problems

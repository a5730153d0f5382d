"""Records of numbers as JSON: a line each (detectron2, mmengine, DETR) or a list of them (Chainer's LogReport)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from plateau_doctor.readers.json_text import curves_of_records, numbers_of, parsed
from plateau_doctor.readers.texts import as_utf8, clipped, few, name_below
from plateau_doctor.run import Problem, Run

__all__ = ["NAME", "ORDER", "read", "sniff"]

NAME = "json"
ORDER = 30
FIRST_LINES = 6


def sniff(path: Path, head: bytes) -> bool:
    """Whether its first line, or most of its first lines, or the first element of its list, has numbers by name."""
    start = as_utf8(head).lstrip()
    if start[:1] == b"[":
        return b"loss" in start or b"accuracy" in start
    lines = start.split(b"\n", FIRST_LINES)[:FIRST_LINES]
    if len(lines) < 2 and path.suffix != ".jsonl":
        return False
    held = [_is_record(line) for line in lines if line.strip()]
    return bool(held) and (held[0] or 2 * sum(held) > len(held))


def read(paths: Sequence[Path], root: Path) -> Iterator[Run | Problem]:
    """Yield one Run a file; what is no JSON record is named."""
    for path in paths:
        try:
            content = as_utf8(path.read_bytes())
        except OSError as error:
            yield Problem(str(path), "cannot be read", error.strerror or str(error))
            continue
        listed = content.lstrip()[:1] == b"["
        records, problems = _elements(path, content) if listed else _lines(path, content)
        scalars = curves_of_records(records)
        if scalars.empty:
            yield from problems or [
                Problem(str(path), "not read", "the JSON is cut or damaged, or holds no numbers")
            ]
            continue
        yield Run(name_below(path, root), str(path), NAME, scalars, problems=tuple(problems))


def _is_record(line: bytes) -> bool:
    one = parsed(line.decode("utf-8", "replace")) if line.lstrip()[:1] == b"{" else None
    return isinstance(one, dict) and len(numbers_of(one)) >= 2


def _elements(path: Path, content: bytes) -> tuple[list[Mapping[str, object]], list[Problem]]:
    whole = parsed(content.decode("utf-8", "replace"))
    held = whole if isinstance(whole, list) else []
    records: list[Mapping[str, object]] = [one for one in held if isinstance(one, dict)]
    odd = len(held) - len(records)
    return records, [
        Problem(str(path), f"{odd} of {len(held)} elements are no records", "no JSON objects")
    ] if odd else []


def _lines(path: Path, content: bytes) -> tuple[list[Mapping[str, object]], list[Problem]]:
    records: list[Mapping[str, object]] = []
    problems: list[Problem] = []
    offset = 0
    for number, line in enumerate(content.split(b"\n"), start=1):
        text = line.decode("utf-8", "replace").strip()
        one = parsed(text) if text else None
        if isinstance(one, dict):
            records.append(one)
        elif text:
            what = f"line {number} is no JSON record"
            problems.append(Problem(str(path), what, clipped(text), offset, len(line)))
        offset += len(line) + 1
    return records, few(problems)

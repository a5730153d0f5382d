"""MLflow's file store: a folder a run, with a file a metric (`timestamp value step`) and a file a parameter.

The first versions wrote no step, the latest write the name and digest of a data set behind it.
Source: mlflow/store/tracking/file_store.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from plateau_doctor.readers.texts import clipped, few, text_in, writable
from plateau_doctor.run import Problem, Run, scalar_frame

__all__ = ["NAME", "ORDER", "may_be", "read", "sniff", "together"]

NAME = "mlflow"
ORDER = 40
_LINE = re.compile(rb"\d{10,} \S+(?: -?\d+(?: .*)?)?\s*$")
LONGEST_PARAMETER = 500
FIRST_LINES = 5  # one of these must be a metric


def may_be(path: Path) -> bool:
    """Whether it lies where metrics and parameters do: their names may end in anything, as `mAP_0.5` does."""
    return _home(path)[1] != ""


def sniff(path: Path, head: bytes) -> bool:
    """Whether it lies in a `metrics` or `params` folder of a run and reads like one value or parameter."""
    home, kind = _home(path)
    if kind == "metrics":
        return any(map(_LINE.match, head.split(b"\n", FIRST_LINES)[:FIRST_LINES]))
    return kind == "params" and (home / "metrics").is_dir() and 0 < len(head) <= LONGEST_PARAMETER


def together(paths: Sequence[Path]) -> list[list[Path]]:
    """Return the files of one run, folder by folder."""
    return [files for _, files in _by_run(paths)]


def read(paths: Sequence[Path], root: Path) -> Iterator[Run | Problem]:
    """Yield one Run a run folder, its parameters as settings."""
    for folder, files in _by_run(paths):
        rows: list[dict[str, object]] = []
        settings: dict[str, float | str | bool] = {}
        problems: list[Problem] = []
        for file in sorted(files):
            try:
                text = text_in(file)
            except OSError as error:
                problems.append(Problem(str(file), "cannot be read", error.strerror or str(error)))
                continue
            if _home(file)[1] == "params":
                settings[writable(file.name)] = _setting(text.strip())
            else:
                tag = writable(str(file.relative_to(folder / "metrics")))
                damaged: list[Problem] = []
                rows.extend(_points(tag, file, text, damaged))
                problems += few(damaged)
        inside = folder != root and folder.is_relative_to(root)  # else root lies in the run: one of its files
        name = writable(str(folder.relative_to(root)) if inside else folder.absolute().name)
        if rows:
            yield Run(
                name, str(folder), NAME, scalar_frame(rows), settings=settings, problems=tuple(problems)
            )
        else:
            yield from problems or [
                Problem(str(folder), "not a training log", "its metrics folder holds no values")
            ]


def _by_run(paths: Sequence[Path]) -> list[tuple[Path, list[Path]]]:
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(_home(path)[0], []).append(path)
    return sorted(folders.items())


def _home(path: Path) -> tuple[Path, str]:
    """Return the run folder that a file below `metrics/` or `params/` belongs to, and which of them; else its own.

    Metric names may have slashes; the nearest folder of either name counts.
    """
    for parent in path.parents:
        if parent.name in ("metrics", "params"):
            return parent.parent, parent.name
    return path.parent, ""


def _points(tag: str, file: Path, text: str, problems: list[Problem]) -> Iterator[dict[str, object]]:
    for number, line in enumerate(text.splitlines(), start=1):
        parts = line.split()
        try:
            yield {
                "tag": tag,
                "wall_time": float(parts[0]) / 1000,
                "value": float(parts[1]),
                "step": float(parts[2]) if len(parts) > 2 else number - 1.0,
            }
        except (ValueError, IndexError):
            if line.strip():
                problems.append(Problem(str(file), f"line {number} is no metric", clipped(line)))


def _setting(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text

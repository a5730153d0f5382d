"""MLflow's file store: a folder a run, with a file a metric (`timestamp value step`) and a file a parameter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from plateau_doctor.run import Problem, Run, scalar_frame

__all__ = ["NAME", "ORDER", "read", "sniff"]

NAME = "mlflow"
ORDER = 40
_LINE = re.compile(rb"\d{10,} \S+ -?\d+\s*$")
LONGEST_PARAMETER = 500


def sniff(path: Path, head: bytes) -> bool:
    """Whether it lies in a `metrics` or `params` folder of a run and reads like one value or parameter."""
    if _home(path, "metrics") is not None:
        return bool(_LINE.match(head.split(b"\n", 1)[0]))
    home = _home(path, "params")
    return home is not None and (home / "metrics").is_dir() and 0 < len(head) <= LONGEST_PARAMETER


def read(paths: Sequence[Path], root: Path) -> Iterator[Run | Problem]:
    """Yield one Run a run folder, its parameters as settings."""
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(_home(path, "metrics") or _home(path, "params") or path.parent, []).append(path)
    for folder, files in sorted(folders.items()):
        rows: list[dict[str, object]] = []
        settings: dict[str, float | str | bool] = {}
        problems: list[Problem] = []
        for file in sorted(files):
            try:
                text = file.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                problems.append(Problem(str(file), "cannot be read", error.strerror or str(error)))
                continue
            if _home(file, "params"):
                settings[file.name] = _setting(text.strip())
            else:
                tag = str(file.relative_to(folder / "metrics"))
                rows.extend(_points(tag, file, text, problems))
        name = str(folder.relative_to(root)) if folder != root else folder.name
        if rows:
            yield Run(
                name, str(folder), NAME, scalar_frame(rows), settings=settings, problems=tuple(problems)
            )
        else:
            yield from problems or [
                Problem(str(folder), "not a training log", "its metrics folder holds no values")
            ]


def _home(path: Path, kind: str) -> Path | None:
    """Return the run folder that a file under `metrics/` or `params/` belongs to; metric names may have slashes."""
    for parent in path.parents:
        if parent.name == kind:
            return parent.parent
    return None


def _points(tag: str, file: Path, text: str, problems: list[Problem]) -> Iterator[dict[str, object]]:
    for number, line in enumerate(text.splitlines(), start=1):
        parts = line.split()
        try:
            yield {
                "tag": tag,
                "wall_time": int(parts[0]) / 1000,
                "value": float(parts[1]),
                "step": int(parts[2]),
            }
        except (ValueError, IndexError):
            if line.strip():
                problems.append(Problem(str(file), f"line {number} is no metric", line[:60]))


def _setting(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text

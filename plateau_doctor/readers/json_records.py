"""Records of numbers as JSON: a line each (detectron2, mmengine, DETR) or a list of them (Chainer's LogReport)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from plateau_doctor.readers.json_text import Columns, curves_of_records, numbers_of, parsed
from plateau_doctor.readers.marks import Mark
from plateau_doctor.readers.texts import as_utf8, clipped, few, name_below
from plateau_doctor.run import Problem, Run

__all__ = ["NAME", "ORDER", "Lines", "follow", "read", "sniff"]

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
        yield from follow([path], root, {})


def follow(paths: Sequence[Path], root: Path, tails: dict[Path, Lines]) -> Iterator[Run | Problem]:
    """Yield what `read` does; of files of lines in `tails`, only what lies behind the last whole line is read."""
    for path in paths:
        lines = tails.setdefault(path, Lines(path))
        try:
            content, mark = lines.new_content()
        except OSError as error:
            yield Problem(str(path), "cannot be read", error.strerror or str(error))
            continue
        listed = lines.blank and as_utf8(content).lstrip()[:1] == b"["
        yield from _elements(path, root, content) if listed else lines.runs(root, content, mark)


def _is_record(line: bytes) -> bool:
    one = parsed(line.decode("utf-8", "replace")) if line.lstrip()[:1] == b"{" else None
    return isinstance(one, dict) and len(numbers_of(one)) >= 2


def _elements(path: Path, root: Path, content: bytes) -> list[Run | Problem]:
    whole = parsed(as_utf8(content).decode("utf-8", "replace"))
    held = whole if isinstance(whole, list) else []
    records = [one for one in held if isinstance(one, dict)]
    odd = len(held) - len(records)
    what = f"{odd} of {len(held)} elements are no records"
    problems = [Problem(str(path), what, "no JSON objects")] if odd else []
    return _run(path, root, curves_of_records(records), problems)


def _run(path: Path, root: Path, scalars: pd.DataFrame, problems: Sequence[Problem]) -> list[Run | Problem]:
    if not scalars.empty:
        return [Run(name_below(path, root), str(path), NAME, scalars, problems=tuple(problems))]
    return [*problems] or [Problem(str(path), "not read", "the JSON is cut or damaged, or holds no numbers")]


class Lines:
    """A file of one record a line, and what was read of it so far: its whole lines, up to the byte at `end`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin()

    def _begin(self) -> None:
        self.end, self._number = 0, 0
        self._columns = Columns()
        self._problems: list[Problem] = []
        self._mark: Mark | None = None

    @property
    def blank(self) -> bool:
        """Whether no line so far holds anything."""
        return not len(self._columns) and not self._problems

    def new_content(self) -> tuple[bytes, Mark]:
        """Return what lies behind the last whole line, and where that is; all of a file that is not what it was.

        Raises:
            OSError: The file cannot be read.
        """
        with self._path.open("rb") as file:
            mark = self._mark
            if mark is None or not mark.holds(file):
                self._begin()
                mark = Mark.at(file, 0)
            self._mark = None  # what an interrupt breaks off is begun anew
            file.seek(mark.end)
            return file.read(), mark

    def runs(self, root: Path, content: bytes, mark: Mark) -> list[Run | Problem]:
        """Take what `new_content` has returned, and return the run of all lines so far."""
        plain = content if self.end else as_utf8(content)
        stands = content.endswith(
            plain
        )  # else it was UTF-16, of which other bytes were read than lie in the file
        self.end += len(content) - len(plain) if stands else 0
        *lines, rest = plain.split(b"\n")
        for line in lines:
            found = self._record_in(line)
            if isinstance(found, Problem):
                self._problems.append(found)
            elif found is not None:
                self._columns.add(found)
            self._number += 1
            self.end += len(line) + 1
        if stands:
            self._mark = mark.behind(content[: len(content) - len(rest)])
        return self._runs_with(root, self._record_in(rest))  # half written, maybe: it is read again

    def _runs_with(self, root: Path, last: dict[str, object] | Problem | None) -> list[Run | Problem]:
        if not isinstance(last, dict):
            problems = [*self._problems, last] if last else self._problems
            return _run(self._path, root, self._columns.curves(), few(problems))
        self._columns.add(last)
        scalars = self._columns.curves()
        self._columns.drop_last()
        return _run(self._path, root, scalars, few(self._problems))

    def _record_in(self, line: bytes) -> dict[str, object] | Problem | None:
        """Return the record in the line behind those taken, None in a blank one."""
        text = line.decode("utf-8", "replace").strip()
        one = parsed(text) if text else None
        if isinstance(one, dict) or not text:
            return one if isinstance(one, dict) else None
        what = f"line {self._number + 1} is no JSON record"
        return Problem(str(self._path), what, clipped(text), self.end, len(line))

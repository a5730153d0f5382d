"""Tables with a loss column: Keras, Lightning, Ultralytics, SB3, exports, and whatever else people write.

Any separator and encoding; columns in any order; blanks between the values. What an axis is called and how a
restart looks is in `axes.py`, which the JSON formats share.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from plateau_doctor.readers.axes import BLANK, curves, trials
from plateau_doctor.readers.bulk.grid import NEVER
from plateau_doctor.readers.table_tail import Header, Table, TableTail
from plateau_doctor.readers.texts import clipped, few, name_below
from plateau_doctor.run import Problem, Run

__all__ = ["NAME", "ORDER", "follow", "header_of", "read", "sniff"]

NAME = "csv"
ORDER = 90  # asked last: nearly every text has lines
SEPARATORS = (",", ";", "\t", "|")
MOST_COLUMNS = 20_000
FIRST_LINES = 50  # lines that tell the separator
MOST_TRIALS = 1_000
MOST_HOLES, HOLES_ALLOWED = 40, 4_000_000  # places in the grid of columns and rows, for each cell and besides
HEAD = 65_536
ENCODINGS = ("utf-8-sig", "gb18030", "latin-1")
SHIFTED = "\u0a00"  # the end of a line in UTF-16 when its bytes are read one too early; else no character
_BOMS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_WANDB = re.compile(r"^(?P<run>.+) - (?P<metric>[^-]+?)(?P<bound>__MIN|__MAX)?$")
_OPEN = re.compile(r"""(?:^|[,;\t|])\s*"[^"]*$""")  # a quote that opens a cell and is never closed
_NOTHING = frozenset({"", "none", "null", "na", "n/a", "-", "nan"})


def sniff(path: Path, head: bytes) -> bool:
    """Whether the first lines are a header and rows of numbers under it."""
    text = _text(head)
    if text is None or text.lstrip().startswith(("{", "[", "<")):
        return False
    lines = [line for line in text.splitlines() if line.strip()][:6]
    if lines and lines[0].startswith("#"):
        return path.suffix.lower() in (".csv", ".tsv")
    if len(lines) < 2:  # a header longer than the head is told apart when the file is read
        return len(head) == HEAD and path.suffix.lower() in (".csv", ".tsv")
    separator = _separator(lines)
    header, row = _cells(lines[0], separator), _cells(lines[1], separator)
    if len(header) < 2 and path.suffix.lower() not in (".csv", ".tsv"):
        return False
    named = sum(not _is_number(cell) for cell in header)
    return (
        named >= max(1, len(header) // 2) and abs(len(header) - len(row)) <= 1 and any(map(_is_number, row))
    )


def read(paths: Sequence[Path], root: Path) -> Iterator[Run | Problem]:
    """Yield the runs of each table; a table without numbers is a Problem."""
    for path in paths:
        yield from _read(path, root, TableTail(path, header_of, keeps=False))


def follow(paths: Sequence[Path], root: Path, tails: dict[Path, TableTail]) -> Iterator[Run | Problem]:
    """Yield what `read` does; of tables of nothing but numbers in `tails`, only the new lines are read."""
    for path in paths:
        yield from _read(path, root, tails.setdefault(path, TableTail(path, header_of)))


def _read(path: Path, root: Path, tail: TableTail) -> Iterator[Run | Problem]:
    try:
        found = tail.read()
    except OSError as error:
        yield Problem(str(path), "cannot be read", error.strerror or str(error))
    else:
        yield from _runs(path, root, found)


def header_of(content: bytes) -> Header | None:
    """Return the columns of an ASCII file of one line of names and else, as far as its head tells, plain numbers."""
    head = content[:HEAD]
    lines = head.splitlines()
    if len(lines) < 3 or not head.isascii() or not lines[0].strip() or any(one in lines[0] for one in NEVER):
        return None
    texts = [line.decode() for line in lines[:-1] if line.strip()][:FIRST_LINES]
    separator = _separator(texts)
    names = _header(_cells(texts[0], separator))
    if separator is None or not 1 < len(names) <= MOST_COLUMNS or not all(names[1:]):
        return None
    line = content[: content.find(b"\n") + 1]
    if line.rstrip(b"\r\n") != lines[0]:  # a lone carriage return
        return None
    settled = len(content) >= HEAD or len(texts) == FIRST_LINES
    return Header(line, tuple(names), separator, settled)


def _runs(path: Path, root: Path, found: Table | bytes) -> Iterator[Run | Problem]:
    table, problems = (found, []) if isinstance(found, dict) else _any_table(path, found)
    if table is None:
        yield problems[0]
        return
    name = name_below(path, root)
    for title, part in _by_run(path, table):
        scalars, reasons = curves(part)
        if scalars.empty:
            yield Problem(str(path), "not a training log", "it has no column of numbers")
            continue
        parts = trials(scalars)
        if len(parts) > MOST_TRIALS:
            why = f"the axis begins anew {len(parts) - 1} times; only the last stretch counts"
            problems.append(Problem(str(path), "too many trainings for one file", why))
            parts = [scalars]
        for number, one in enumerate(parts, start=1):
            full = " ".join(filter(None, [name, title, f"#{number}" if len(parts) > 1 else ""]))
            said, own = (tuple(problems) if number == 1 else ()), (reasons if len(parts) == 1 else {})
            yield Run(full, str(path), NAME, one, problems=said, reasons=own)


def _any_table(path: Path, content: bytes) -> tuple[Table | None, list[Problem]]:
    text = _text(content)
    if text is None:
        return None, [Problem(str(path), "not a training log", "binary content")]
    if text.startswith('#{"t_start"'):
        why = "an episode monitor of an agent, not a training curve"
        return None, [Problem(str(path), "not a training log", why)]
    table, problems = _table(path, text)
    if table is not None and SHIFTED in text:
        why = "a byte is missing or too many: half of each character belongs to the one before"
        problems.append(Problem(str(path), "damaged UTF-16", why, 2 * text.index(SHIFTED)))
    return table, problems


def _table(path: Path, text: str) -> tuple[Table | None, list[Problem]]:
    """Return the numbers of a table, one float column for each that has any, and what was not a number."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        return None, [Problem(str(path), "not a training log", "the file is empty")]
    separator = _separator(lines[:FIRST_LINES])
    rows = _rows(lines, separator)
    if len(rows[0]) > MOST_COLUMNS:
        return None, [Problem(str(path), "not read", f"{len(rows[0])} columns are more than {MOST_COLUMNS}")]
    header = _header(rows[0])
    if len(rows) < 2:
        return None, [Problem(str(path), "not a training log", "it has a header and no rows")]
    cut = _OPEN.search(lines[-1]) if separator else None
    if cut:
        rows[-1][-1] = ""
    held = sum(map(len, rows))
    if len(header) * len(rows) > MOST_HOLES * held + HOLES_ALLOWED:
        why = f"{len(header)} columns over {len(rows) - 1} rows that hold {held - len(header)} cells between them"
        return None, [Problem(str(path), "not read", why)]
    body = [row for row in rows[1:] if [cell.strip() for cell in row] != [cell.strip() for cell in rows[0]]]
    long = [(i, len(row)) for i, row in enumerate(body) if len([c for c in row if c.strip()]) > len(header)]
    problems = few(
        [
            Problem(str(path), "row with too many cells", f"row {i + 2}: {n} cells under {len(header)} names")
            for i, n in long
        ]
    )
    if cut:
        why = f"row {len(body) + 1}: the quote of its last cell is never closed, so the cell is left out"
        problems.append(Problem(str(path), "cut within a cell", why))
    width = len(header)
    columns = zip(*((row + [""] * width)[:width] for row in body), strict=True)
    kept: Table = {}
    for place, (name, cells) in enumerate(zip(header, columns, strict=False)):
        column, bad = _numbers(cells, comma=separator != ",")
        if column is not None and name:
            kept[name] = column
        elif column is not None and place and not np.isnan(column).all():
            why = f"column {place + 1} holds numbers and is left out"
            problems.append(Problem(str(path), "a column without a name", why))
        if bad and name:
            first = ", ".join(f"row {row + 2}: {clipped(cells[row])!r}" for row in bad[:3])
            left = "" if column is not None else "; the column is left out"
            what = f"{len(bad)} cells of {clipped(name)!r} are no numbers{left}"
            problems.append(Problem(str(path), what, first))
    return kept, problems


def _header(cells: Sequence[str]) -> list[str]:
    """Return unique names; a first column without one is pandas' index and is dropped by its empty name."""
    names: list[str] = []
    seen: Counter[str] = Counter()
    for cell in cells:
        name = cell.strip().strip("\ufeff").strip('"')
        name = "" if name.startswith("Unnamed:") else name
        unique = name
        while unique and seen[unique]:
            unique = f"{name}.{seen[name]}"
            seen[name] += 1
        seen[unique] += 1
        names.append(unique)
    return names


def _numbers(cells: Sequence[str], comma: bool) -> tuple[np.ndarray | None, list[int]]:
    """Return a column as floats and the rows that are no numbers among some; None where fewer than half are."""
    if cells and not any("_" in cell for cell in cells):  # Python reads 1_000 as a number, people do not
        try:
            return np.array([float(cell) for cell in cells]), []
        except ValueError:
            pass
    plain = pd.Series(cells, dtype="object").str.strip()
    if comma and plain.str.contains(r"^-?\d+,\d+$", regex=True).any():
        plain = plain.str.replace(",", ".", regex=False)
    plain = plain.str.removesuffix("%")
    numbers = pd.to_numeric(plain, errors="coerce").astype("float64")
    unwritten = plain.str.lower().isin(_NOTHING)
    written_nan = plain.str.lower() == "nan"
    bad = np.flatnonzero((numbers.isna() & ~unwritten).to_numpy())
    good = int(numbers.notna().sum() + written_nan.sum())
    if good == 0 or len(bad) > good:
        return None, [int(row) for row in bad] if good else []
    marked = numbers.where(numbers.notna() | written_nan, BLANK)
    return marked.to_numpy(), [int(row) for row in bad]


def _by_run(path: Path, table: Table) -> Iterator[tuple[str, Table]]:
    """Yield (title, table): one each for the runs of a W&B export, else the table itself."""
    if set(table) == {"Wall time", "Step", "Value"}:  # TensorBoard's export names the tag in the file's name
        tag = re.sub(r"^run-|\.csv$", "", path.name).replace("-tag-", "/")
        values = tag if tag not in table else path.name
        yield "", {values if name == "Value" else name: column for name, column in table.items()}
        return
    exported = {name: match for name in table if (match := _WANDB.match(name))}
    if len(exported) < len(table) - 2 or not exported or "Step" not in table:
        yield "", table
        return
    axes = [name for name in table if name not in exported]
    for run in dict.fromkeys(match["run"] for match in exported.values()):
        named = {n: m["metric"] for n, m in exported.items() if m["run"] == run and not m["bound"]}
        mine = {name: metric if metric not in axes else name for name, metric in named.items()}
        yield run, {mine.get(name, name): table[name] for name in (*axes, *mine)}


def _text(content: bytes) -> str | None:
    """Return bytes as text, None for binary content."""
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return content[: len(content) // 2 * 2].decode(encoding, errors="replace")
    if b"\0" in content or content.startswith((b"\x1f\x8b", b"version https://git-lfs")):
        return None
    for encoding in ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError as error:
            if encoding == ENCODINGS[0] and error.start >= len(content) - 4 and len(content) == HEAD:
                return content[: error.start].decode(encoding)  # a character cut by the head's end
    return None


def _separator(lines: Sequence[str]) -> str | None:
    """Return the separator that cuts most lines into equally many cells; None for runs of blanks."""
    best, most = None, 0
    for separator in SEPARATORS:
        counts = [line.count(separator) for line in lines]
        if counts.count(counts[0]) >= 0.8 * len(counts) and counts[0] > most:
            best, most = separator, counts[0]
    return best if best or len(lines[0].split()) > 1 else ","


def _rows(lines: Sequence[str], separator: str | None) -> list[list[str]]:
    """Return the cells of each line; a cell in quotes may hold ends of lines, where that makes more rows whole.

    A quote that is never closed would swallow all the rows behind it.
    """
    try:
        whole = io.StringIO("\n".join(lines))
        rows = list(csv.reader(whole, delimiter=separator or " ", skipinitialspace=True))
    except csv.Error:  # a cell is longer than the module allows
        rows = []
    if len(rows) == len(lines):
        return rows
    alone = [_cells(line, separator) for line in lines]
    return max(rows, alone, key=lambda one: sum(len(row) == len(one[0]) for row in one))


def _cells(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split()
    if line.count('"') % 2:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    except csv.Error:
        return line.split(separator)


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip().removesuffix("%").replace(",", ".", 1) or "x")
    except ValueError:
        return False
    return True

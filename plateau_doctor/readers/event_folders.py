"""Which folders of event files are one run.

Keras writes `train/` and `validation/`, an estimator its evaluation into `eval/` below the training, PyTorch's
`add_scalars` each of its curves into `<tag>_<name>/` and its `add_hparams` a folder named by the clock.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from plateau_doctor.readers.event_file import EventFile

__all__ = ["Part", "families", "parts_of_runs"]

TRAIN = frozenset({"train", "training", "trn"})
HELD_OUT = frozenset(
    {"validation", "valid", "val", "dev", "eval", "evaluation", "test", "testing", "holdout"}
)
SIDES = TRAIN | HELD_OUT
_CLOCK = re.compile(r"\d{9,11}(\.\d+)?")
_NAMES_A_SIDE = re.compile(
    r"(^|[^a-z])(train|trn|val|valid|validation|test|eval|evaluation|dev)([^a-z]|$)", re.I
)

Kind = Literal["own", "side", "series", "session"]


@dataclass(frozen=True, eq=False)
class Part:
    """One folder of a run: its files in order, and what to call its tags in the run.

    Attributes:
        folder: The folder.
        files: Its event files.
        kind: `side`: a folder `train` or `validation`, which goes before the tag; `series`: a curve of
            `add_scalars`, whose name goes behind it; `session`: hyper-parameters; `own`: neither.
        above: The part whose folder holds this one, where that is one run with it.
    """

    folder: Path
    files: Sequence[EventFile]
    kind: Kind = "own"
    above: Part | None = None

    def name_of(self, tag: str) -> str:
        """Return what a tag of this folder is called in the run."""
        name = tag
        if self.kind == "side":
            name = f"{self.folder.name}/{tag}"
        elif self.kind == "series":
            name = f"{tag}/{self.folder.name[len(tag) + 1 :]}"
        return self.above.name_of(name) if self.above else name


def families(folders: Iterable[Path]) -> list[list[Path]]:
    """Group folders that may be parts of one run, by their names alone; parents before children."""
    known = set(folders)
    paired = _paired(known)
    found: dict[Path, list[Path]] = {}
    for folder in sorted(known, key=lambda one: one.parts):
        top = folder
        while (top.parent in known or _is_paired_side(top, paired)) and top.parent != top:
            top = top.parent
        found.setdefault(top, []).append(folder)
    return list(found.values())


def parts_of_runs(folders: Mapping[Path, Sequence[EventFile]]) -> dict[Path, list[Part]]:
    """Return the parts of each run by the run's folder; `folders` are one family, parents before children."""
    paired = _paired(folders)
    parts: dict[Path, Part] = {}
    homes: dict[Path, Path] = {}
    runs: dict[Path, list[Part]] = {}
    for folder, files in folders.items():
        above = parts.get(folder.parent)
        kind = _kind(folder, files, above is not None, paired)
        joined = kind != "own" and (above is not None or _is_paired_side(folder, paired))
        parts[folder] = Part(folder, files, kind, above if joined else None)
        homes[folder] = homes.get(folder.parent, folder.parent) if joined else folder
        runs.setdefault(homes[folder], []).append(parts[folder])
    return runs


def _kind(folder: Path, files: Sequence[EventFile], below_another: bool, paired: frozenset[Path]) -> Kind:
    tags = {tag for file in files for tag in file.scalars.names}
    name = folder.name.lower()
    if name in SIDES and (below_another or _is_paired_side(folder, paired)):
        return "side"
    if name in HELD_OUT and not any(_NAMES_A_SIDE.search(tag.lower()) for tag in tags):
        return "side"
    if not below_another:
        return "own"
    histograms = any(len(file.binned) for file in files)
    nothing_else = not tags and not histograms
    if any(file.settings for file in files) and (_CLOCK.fullmatch(name) or nothing_else):
        return "session"
    if len(tags) == 1 and not histograms and _is_series(folder.name, next(iter(tags))):
        return "series"
    return "own"


def _is_series(name: str, tag: str) -> bool:
    """Whether `add_scalars(tag, {key: ...})` makes a folder of this name."""
    return bool(tag) and len(name) > len(tag) + 1 and _plain(name).startswith(f"{_plain(tag)}_")


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def _paired(folders: Iterable[Path]) -> frozenset[Path]:
    """Return the folders that hold at least two sides of one training."""
    sides = Counter(folder.parent for folder in folders if folder.name.lower() in SIDES)
    return frozenset(parent for parent, count in sides.items() if count > 1)


def _is_paired_side(folder: Path, paired: frozenset[Path]) -> bool:
    return folder.parent in paired and folder.name.lower() in SIDES

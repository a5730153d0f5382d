"""One TensorBoard event file, decoded: scalars, histograms, settings, and what else it holds."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from plateau_doctor.readers.batches import Batch
from plateau_doctor.readers.bulk.usual import Usual, taken_at_once
from plateau_doctor.readers.event_rows import Collected, Rows, end_to_end, no_rows
from plateau_doctor.readers.event_walk import Taken, begun, take_event
from plateau_doctor.readers.histograms import Histograms, no_histograms
from plateau_doctor.readers.hparams import Setting
from plateau_doctor.readers.records import Gap, read_records
from plateau_doctor.readers.wire import WireError
from plateau_doctor.run import Problem

__all__ = ["EventFile", "Reading", "read_event_file"]


@dataclass(eq=False)
class EventFile:
    """What one file holds; all rows are in the order logged.

    Attributes:
        path: The file.
        begun: Wall time of its first event, NaN where it has none.
        versioned: Whether it begins as TensorFlow's writers do, with a file version.
        scalars: The scalars, and in `values` their numbers.
        binned: The histograms, and in `histograms` their bins.
        session_starts: Numbers of scalars that were read before each SessionLog START.
        others: What else it holds, counted by name: images, graphs ...
    """

    path: Path
    begun: float = math.nan
    versioned: bool = False
    scalars: Rows = field(default_factory=no_rows)
    values: np.ndarray = field(default_factory=lambda: np.empty(0))
    binned: Rows = field(default_factory=no_rows)
    histograms: Histograms = field(default_factory=no_histograms)
    settings: dict[str, Setting] = field(default_factory=dict)
    session_starts: list[int] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    @property
    def order(self) -> tuple[float, list[tuple[int, str]]]:
        """Sorts the files of a folder by the time they were begun, then by the numbers in their names."""
        pieces = re.split(r"(\d+)", self.path.name)  # every second one is a number
        natural = [(int(p), "") if i % 2 and len(p) < 300 else (-1, p) for i, p in enumerate(pieces)]
        return (self.begun if math.isfinite(self.begun) else math.inf, natural)


def read_event_file(path: Path, at_once: bool = True) -> EventFile:
    """Read a file; what of it is no event is named in its `problems`.

    Args:
        path: The file.
        at_once: Whether events of the usual shape are read all at once, and pictures are passed over; the same
            comes out either way, except that damage within a picture is not noticed.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return Reading(EventFile(path), at_once).read_on(file)


class Reading:
    """A file that is being read: what its batches of records held so far. The last whole record ends at `end`."""

    def __init__(self, file: EventFile, at_once: bool) -> None:
        self.file, self.end, self._at_once = file, 0, at_once
        self._told = 0  # problems before `end`; what lies behind it may be a record by the next time
        self._scalars, self._binned = Collected(), Collected()
        self._values: list[np.ndarray] = []
        self._histograms: list[Histograms] = []
        self._plugins: dict[str, str] = {}
        self._sessions: list[int] = []
        self._events = 0  # seen in the batches before

    def read_on(self, file: BinaryIO) -> EventFile:
        """Read the open file from the end of the last whole record on, and return it as `done` does.

        Raises:
            OSError: The file cannot be read.
        """
        problems = self.file.problems
        del problems[self._told :]
        size = os.fstat(file.fileno()).st_size
        for piece in read_records(file, size, whole=not self._at_once, begin=self.end):
            if isinstance(piece, Gap):
                what = f"{piece.length} bytes could not be read"
                path = str(self.file.path)
                problems.append(Problem(path, what, piece.why, piece.offset, piece.length))
            else:
                self.take(piece)
                self.end, self._told = sum(piece.span(len(piece.starts) - 1)), len(problems)
        return self.done()

    def take(self, batch: Batch, usual: Usual | None = None) -> None:
        """Take all events of a batch, those of the usual shape at once, if that is not done, and others one by one."""
        self._note_begin(batch)
        if self._at_once and not usual:
            usual = taken_at_once(batch.data, batch.starts, batch.ends, self._plugins)
        told = usual.told if usual else {}
        left = usual.left.tolist() if usual else range(len(batch.starts))
        taken, problems = self._walked(batch, left, {**self._plugins, **told})
        if usual and (taken.changed or any(self._is_unsure(tag, usual) for tag in taken.asked)):
            usual = None  # which plugin a tag has depends on the order of these events
            taken, problems = self._walked(batch, range(len(batch.starts)), dict(self._plugins))
        if usual:
            self._add_usual(usual)
        self._add(taken)
        self.file.problems += problems
        self._events += len(batch.starts)

    def done(self) -> EventFile:
        """Return the file with all its rows in order. More batches may be taken afterwards."""
        file = self.file
        file.scalars, order, events = self._scalars.rows()
        values = end_to_end(self._values or [np.empty(0)])
        file.values = values if order is None else values[order]
        file.binned, order, _ = self._binned.rows()
        histograms = Histograms.joined(self._histograms)
        file.histograms = histograms if order is None else histograms.take(order)
        self._values, self._histograms = [file.values], [file.histograms]
        file.session_starts = events.searchsorted(self._sessions).tolist() if self._sessions else []
        return file

    def _is_unsure(self, tag: str, usual: Usual) -> bool:
        """Whether the plugin of a tag of tensors was not known before these events."""
        return tag in usual.tensors and self._plugins.get(tag) != usual.told.get(
            tag, self._plugins.get(tag, "")
        )

    def _note_begin(self, batch: Batch) -> None:
        for start, end in zip(batch.starts, batch.ends, strict=True):
            if self.file.begun == self.file.begun:
                return
            time = begun(batch.data, int(start), int(end))
            self.file.begun = math.nan if time is None else time

    def _walked(
        self, batch: Batch, events: Sequence[int], plugins: dict[str, str]
    ) -> tuple[Taken, list[Problem]]:
        taken, problems = Taken(plugins), []
        for event in events:
            start, end = int(batch.starts[event]), int(batch.ends[event])
            try:
                take_event(taken, event, batch.data, start, end)
            except WireError as error:
                what = "one record is no event, though its checksum holds"
                problems.append(Problem(str(self.file.path), what, str(error), *batch.span(event)))
        return taken, problems

    def _add_usual(self, usual: Usual) -> None:
        for rows, chosen in ((self._scalars, usual.scalars), (self._binned, usual.binned)):
            if len(chosen):
                all_of_them = len(chosen) == len(usual.values)
                own = usual.values if all_of_them else usual.values.take(chosen)
                codes = usual.codes if all_of_them else usual.codes[chosen]
                rows.add(usual.names, codes, own.events + self._events, own.steps, own.times)
        self._values.append(usual.numbers)
        if len(usual.histograms):
            self._histograms.append(usual.histograms)
        self._plugins.update(usual.told)

    def _add(self, taken: Taken) -> None:
        if taken.events:
            self._scalars.add_each(taken.tags, taken.events, taken.steps, taken.times, self._events)
            self._values.append(np.array(taken.values, dtype=np.float64))
        if binned := taken.histograms:
            tags, steps, times = (
                [getattr(row, name) for row in binned] for name in ("tag", "step", "wall_time")
            )
            self._binned.add_each(tags, taken.histogram_events, steps, times, self._events)
            self._histograms.append(Histograms.of([row.histogram for row in binned]))
        self._plugins = taken.plugins
        self._sessions += [event + self._events for event in taken.sessions]
        self.file.settings.update(taken.settings)
        if taken.others:
            self.file.others.update(taken.others)
        self.file.versioned = self.file.versioned or taken.versioned

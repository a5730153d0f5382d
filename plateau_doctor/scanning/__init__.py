"""The walk over many runs: the same findings as `examination.analyze`, while the curves of a few runs are held.

All logs are read twice, part by part: once to outline each run, which tells its copies and siblings; and once to
examine it with what they told. Parts are worked on by an engine, and what was done can be kept in a journal.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from plateau_doctor.examination import RunExamination
from plateau_doctor.letters import UsageError
from plateau_doctor.readers.remote import Place, labeled
from plateau_doctor.run import Problem, Run
from plateau_doctor.runners.spread import Engine
from plateau_doctor.scanning.journal import Journal, base_of, digest, worked
from plateau_doctor.scanning.parts import Part, parts_of
from plateau_doctor.scanning.plain import to_plain
from plateau_doctor.scanning.shelf import Shelf
from plateau_doctor.scanning.together import Together, together
from plateau_doctor.scanning.work import (
    Examined,
    How,
    Key,
    Outlined,
    Wanted,
    examined,
    keyed,
    named,
    outlined,
    read,
)
from plateau_doctor.siblings import Family

__all__ = ["Engine", "How", "Journal", "Scan"]

Seen = Callable[[str, int, int], None]


class Scan:
    """A scan of everything at or below some paths; its logs are outlined when it is made.

    Args:
        places: Log files, folders that are searched for them, or copies of some that lie elsewhere.
        how: What every run is examined by.
        engine: Where.
        journal: Where parts that were done are kept, and taken from.
        seen: Told of progress: what is done, to how many, and of how many.

    Raises:
        FileNotFoundError: A path does not exist.
        UsageError: The engine is not there, or the journal cannot be written.
    """

    def __init__(
        self,
        places: Sequence[Place],
        how: How | None = None,
        engine: Engine | None = None,
        journal: Journal | None = None,
        seen: Seen = lambda *_: None,
    ) -> None:
        labels = tuple(label for place in places for label in place.labels)
        self._how = replace(how or How(), several=len(places) > 1, labels=labels)
        self._engine, self._journal, self._seen = engine or Engine(), journal, seen
        self._base = base_of(self._how) if journal else ""
        self._parts, problems = parts_of(places)
        self._read = Shelf(self._parts).read if self._engine.here else read
        self._together: Together = together(
            self._parts, self._outlines(), self._how.several, self._reread, problems
        )
        self._done = 0

    @property
    def total(self) -> int:
        """Number of runs."""
        return sum(map(len, self._together.wanted))

    @property
    def families(self) -> tuple[Family, ...]:
        """Runs that are siblings, in the order of the runs."""
        return self._together.families

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Files that are no run or could not be read; of a scan that was stopped, first how far it came."""
        if self._done == self.total:
            return self._together.problems
        roots = ", ".join(labeled(str(part.units[0].root), self._how.labels) for part in self._parts[:1])
        why = f"{self._done:,} of {self.total:,} runs were examined"
        return (Problem(roots, "the scan was stopped", why), *self._together.problems)

    def runs(self) -> Generator[RunExamination, None, None]:
        """Yield every run in the order of their names, without its curves, as soon as all before it are there."""
        waiting: list[tuple[int, RunExamination]] = []
        self._done = 0
        for place, one in self._examined():
            heapq.heappush(waiting, (self._together.ranks[place][one.key], one.run))
            while waiting and waiting[0][0] == self._done:
                self._done += 1
                self._seen("examined", self._done, self.total)
                yield heapq.heappop(waiting)[1]

    def with_curves(self, runs: Sequence[RunExamination]) -> tuple[RunExamination, ...]:
        """Return examined runs, the first ones of the scan, with their curves, which are read once more."""
        whole = list(runs)
        for part, ranks in zip(self._parts, self._together.ranks, strict=True):
            if any(rank < len(whole) for rank in ranks.values()):
                for key, run in keyed(self._read(part, self._how), self._how):
                    rank = ranks.get(key, len(whole))
                    if rank < len(whole) and isinstance(run, Run):
                        own = whole[rank]
                        curves = replace(named(run, part, self._how), problems=own.run.problems)
                        whole[rank] = replace(own, run=curves)
        return tuple(whole)

    def _outlines(self) -> list[Outlined]:
        keys = [self._key("outlined", part) for part in self._parts]
        task = partial(outlined, how=self._how, read=self._read)
        found: list[Outlined] = []
        for some in worked(task, self._parts, keys, Outlined, self._engine, self._journal):
            found += some
            self._seen("read", len(found), len(self._parts))
        return found

    def _examined(self) -> Iterator[tuple[int, Examined]]:
        """Yield each run with the place of its part."""
        places = [i for i, wanted in enumerate(self._together.wanted) if wanted]
        asked = [(self._parts[i], self._together.wanted[i]) for i in places]
        keys = [self._key("examined", part, wanted) for part, wanted in asked]
        task = partial(examined, how=self._how, read=self._read)
        done = worked(task, asked, keys, Examined, self._engine, self._journal)
        for i, some in zip(places, done, strict=True):
            for one in some:
                yield i, one

    def _key(self, what: str, part: Part, wanted: Mapping[Key, Wanted] | None = None) -> str:
        """Return what a part that was done is found by in the journal."""
        return digest(self._base, what, part.root, part.files, to_plain(wanted)) if self._journal else ""

    def _reread(self, part: Part, key: Key) -> Run:
        found = (one for own, one in keyed(read(part, self._how), self._how) if own == key)
        run = next(found, None)
        if isinstance(run, Run):
            return run
        raise UsageError(f"{key[1]}: the log was changed or removed while it was read; run the same again")

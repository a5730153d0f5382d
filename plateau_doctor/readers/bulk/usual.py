"""Takes what events of the usual shape hold, all at once: the quick twin of `event_walk.take_event`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from plateau_doctor.readers.bulk.buckets import messages_in, of_messages, of_tables
from plateau_doctor.readers.bulk.cursors import Bytes, Places, overlapping, padded
from plateau_doctor.readers.bulk.tags import distinct
from plateau_doctor.readers.bulk.tensors import Alike, tensors_of
from plateau_doctor.readers.bulk.values import Values, values_of
from plateau_doctor.readers.histograms import Histograms

__all__ = ["Usual", "taken_at_once"]

SIMPLE, MESSAGE, TENSOR = 0x15, 0x2A, 0x42  # key of the thing behind the tag
SCALAR, BINNED, ODD = 1, 2, 0  # what a value turns out to be
Groups = list[tuple[Places, Alike]]


@dataclass(frozen=True, eq=False)
class Usual:
    """What the events of the usual shape hold, in the order logged.

    Attributes:
        names: Tags; two may be called alike.
        codes: Which tag each value has.
        values: The values, with the axes of their events.
        scalars, numbers: Which values are scalars, and their numbers.
        binned, histograms: Which values are histograms, and these.
        left: The events that are not of the usual shape.
        told: tag -> the plugin that metadata name here, for tags of tensors.
        tensors: Tags of tensors.
    """

    names: list[str]
    codes: Places
    values: Values
    scalars: Places
    numbers: np.ndarray
    binned: Places
    histograms: Histograms
    left: Places
    told: dict[str, str]
    tensors: frozenset[str]

    def cut(self, bounds: Places) -> Iterator[Usual]:
        """Yield what the events between each two bounds hold, counted from the first of them on."""
        events, *others = vars(self.values).values()
        begins = events.searchsorted(bounds)
        scalars, binned, left = (
            pairwise(places.searchsorted(where).tolist())
            for places, where in ((self.scalars, begins), (self.binned, begins), (self.left, bounds))
        )
        for first, (begin, end), (a, b), (c, d), (e, f) in zip(
            bounds.tolist(), pairwise(begins.tolist()), scalars, binned, left, strict=False
        ):
            yield Usual(
                self.names,
                self.codes[begin:end],
                Values(events[begin:end] - first, *(column[begin:end] for column in others)),
                self.scalars[a:b] - begin,
                self.numbers[a:b],
                self.binned[c:d] - begin,
                self.histograms.take(slice(c, d)) if len(self.histograms) else self.histograms,
                self.left[e:f] - first,
                self.told,
                self.tensors,
            )


def taken_at_once(data: bytes, starts: Places, ends: Places, plugins: Mapping[str, str]) -> Usual | None:
    """Take what the events between `starts` and `ends` hold; `plugins` are those that earlier events told.

    None where a tag changes its plugin on the way, so that the order of the events matters.
    """
    raw = padded(data, int(ends[-1]) if len(ends) else 0)
    values = values_of(raw, starts, ends)
    codes, firsts = distinct(raw, values.tag_at, values.at)
    bounds = zip(values.tag_at[firsts].tolist(), values.at[firsts].tolist(), strict=True)
    names = [data[a:b].decode("utf-8", "replace") for a, b in bounds]
    keys = raw[values.at]
    kinds = ((keys == SIMPLE) & (values.ends - values.at == 5)).view(np.int8)  # SCALAR or ODD
    numbers = np.zeros(len(values))
    simple = slice(None) if kinds.all() else np.flatnonzero(kinds)
    numbers[simple] = overlapping(raw, "<f4")[values.at[simple] + 1]
    groups = _tensors(raw, values, np.flatnonzero(keys == TENSOR))
    told = _told(groups, codes, names, plugins)
    if told is None:
        return None
    for members, alike in groups:
        kinds[members] = _kinds(alike, codes[members], names, {**plugins, **told})
        scalar = kinds[members] == SCALAR
        numbers[members[scalar]] = alike.numbers[scalar].reshape(-1)
    at = np.flatnonzero(keys == MESSAGE)
    messages = messages_in(raw, values.at[at], values.ends[at]) if len(at) else None
    if messages:
        at = at[messages.members]
        kinds[at] = BINNED
    left = _left(values, kinds, len(starts))
    parts: list[tuple[Places, Histograms]] = []
    if messages:
        kept = kinds[at] == BINNED
        parts.append((at[kept], of_messages(data, messages.take(kept))))
    for members, alike in groups:
        kept = kinds[members] == BINNED
        if kept.any():
            parts.append((members[kept], of_tables(alike.numbers[kept])))
    binned = np.concatenate([values.events[:0], *(part for part, _ in parts)])
    order = np.argsort(binned)
    scalars = np.flatnonzero(kinds == SCALAR)
    histograms = Histograms.joined([part for _, part in parts if len(part)]).take(order)
    tensors = frozenset(names[code] for members, _ in groups for code in np.unique(codes[members]).tolist())
    return Usual(
        names, codes, values, scalars, numbers[scalars], binned[order], histograms, left, told, tensors
    )


def _left(values: Values, kinds: np.ndarray, count: int) -> Places:
    """Return the events that are left; one with an odd value is left with all its values, which become odd."""
    whole = np.zeros(count, dtype=bool)
    whole[values.events] = True
    odd = kinds == ODD
    if odd.any():
        whole[values.events[odd]] = False
        kinds[~whole[values.events]] = ODD
    return np.flatnonzero(~whole)


def _tensors(raw: Bytes, values: Values, at: Places) -> Groups:
    if not len(at):
        return []
    return [(at[alike.members], alike) for alike in tensors_of(raw, values.at[at], values.ends[at])]


def _told(
    groups: Groups, codes: Places, names: Sequence[str], plugins: Mapping[str, str]
) -> dict[str, str] | None:
    """Return tag -> plugin as the metadata tell; None where that is not so from the tag's first tensor on."""
    told: dict[str, str] = {}
    first: dict[str, int] = {}
    told_first: dict[str, int] = {}
    for members, alike in groups:
        own, places = np.unique(codes[members], return_index=True)
        for code, place in zip(own.tolist(), members[places].tolist(), strict=True):
            name = names[code]
            first[name] = min(place, first.get(name, place))
            if alike.plugin:
                told_first[name] = min(place, told_first.get(name, place))
                if told.setdefault(name, alike.plugin) != alike.plugin:
                    return None
    for name, plugin in told.items():
        before = plugins.get(name)
        if before != plugin and (before is not None or first[name] < told_first[name]):
            return None
    return told


def _kinds(alike: Alike, codes: Places, names: Sequence[str], plugins: Mapping[str, str]) -> np.ndarray:
    """Return what each of some tensors is, by the plugin of its tag and its shape."""
    shape = alike.numbers.shape[1:]
    known = np.full(len(names), ODD)
    for code in np.unique(codes).tolist():
        plugin = plugins.get(names[code], "")
        if plugin == "histograms":
            known[code] = BINNED if len(shape) == 2 and shape[1] == 3 else ODD
        elif plugin in ("", "scalars"):
            known[code] = SCALAR if alike.numbers[0].size == 1 else ODD
    kinds: np.ndarray = known[codes]
    return kinds

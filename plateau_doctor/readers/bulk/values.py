"""Walks over many events at once, down to their values: the quick twin of the walk in `event_file`.

An event of the usual shape is a wall time, a step and a summary, in this order, and the summary is nothing but values;
a value of the usual shape is a tag and one thing behind it. Any other event is left to the plain walk.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from plateau_doctor.readers.bulk.cursors import Bytes, Cursors, Places, overlapping

__all__ = ["Values", "values_of"]

WALL_TIME, STEP, SUMMARY, VALUE, TAG = 0x09, 0x10, 0x2A, 0x0A, 0x0A  # number of the field * 8 + its wire type
KEYS, KEYS_OF_ONE = (
    np.uint64(0xFF00FF00FF),
    np.uint64(0x0A000A002A),
)  # summary, value and tag, each with a length
FEWEST = 8  # events that have one more value and are worth one more round


@dataclass(frozen=True, eq=False)
class Values:
    """Values of many events in the order logged; one number a value in each array.

    Attributes:
        events: Which of the given records a value is of.
        times: Wall time of the event.
        steps: Its step.
        tag_at: Where the bytes of the tag begin.
        at: Where they end, and the thing behind the tag begins.
        ends: Where the value ends.
    """

    events: Places
    times: np.ndarray
    steps: Places
    tag_at: Places
    at: Places
    ends: Places

    def __len__(self) -> int:
        return len(self.events)

    def take(self, chosen: np.ndarray | slice) -> Values:
        """Return the values that a mask, an array of places or a slice chooses."""
        return Values(*(column[chosen] for column in vars(self).values()))


def values_of(raw: Bytes, starts: Places, ends: Places) -> Values:
    """Return all values of the events of the usual shape among the messages between `starts` and `ends`."""
    cursors = Cursors(raw, starts, ends, events=np.arange(len(starts)))
    cursors.keep(raw[starts] == WALL_TIME)
    cursors.held["times"] = cursors.double(WALL_TIME)
    cursors.held["steps"] = cursors.number(STEP)
    plain, others = _plain(raw, cursors)
    if not len(others.at):
        return plain
    return _in_order([plain, _values(raw, others)])


def _plain(raw: Bytes, cursors: Cursors) -> tuple[Values, Cursors]:
    """Return the values of events that have just one, and take less than 128 bytes; and cursors in the others."""
    words = overlapping(raw, "<u8")[cursors.at]
    summary, value, tag = (
        (words >> np.uint64(shift) & np.uint64(255)).astype(np.int64) for shift in (8, 24, 40)
    )
    plain = (words & KEYS) == KEYS_OF_ONE
    plain &= (cursors.at + 2 + summary == cursors.ends) & (value + 2 == summary) & (tag + 2 < value)
    plain &= summary < 128
    others = Cursors(raw, cursors.at, cursors.ends, **cursors.held)
    others.keep(~plain)
    cursors.held["tag_at"], cursors.held["tag_end"] = cursors.at + 6, cursors.at + 6 + tag
    cursors.keep(plain)
    held = cursors.held
    return Values(
        held["events"], held["times"], held["steps"], held["tag_at"], held["tag_end"], cursors.ends
    ), others


def _values(raw: Bytes, cursors: Cursors) -> Values:
    cursors.enter(SUMMARY, whole=True)
    rounds: list[Values] = []
    odd: list[Places] = []
    while len(cursors.at) and (not rounds or len(cursors.at) >= FEWEST):
        before = cursors.held["events"]
        value_ends = cursors.enter(VALUE)
        odd.append(_missing(before, cursors.held["events"]))
        found = _tagged(raw, cursors, value_ends)
        odd.append(_missing(cursors.held["events"], found.events))
        rounds.append(found)
        cursors.at = value_ends
        cursors.keep(value_ends < cursors.ends)
    odd.append(cursors.held["events"])
    return _without(_in_order(rounds), np.concatenate(odd))


def _tagged(raw: Bytes, cursors: Cursors, value_ends: Places) -> Values:
    """Return the values that begin with a tag and have something behind it."""
    inside = Cursors(raw, cursors.at, value_ends, **cursors.held)
    behind = inside.enter(TAG)
    inside.held["tag_at"], inside.at = inside.at, behind
    inside.keep(behind < inside.ends)
    held = inside.held
    return Values(held["events"], held["times"], held["steps"], held["tag_at"], inside.at, inside.ends)


def _missing(before: Places, after: Places) -> Places:
    """Return what is in the first of two rising arrays and not in the second."""
    return before[:0] if len(before) == len(after) else np.setdiff1d(before, after, assume_unique=True)


def _without(values: Values, events: Places) -> Values:
    return values if not len(events) else values.take(~np.isin(values.events, events))


def _in_order(parts: list[Values]) -> Values:
    """Join values and put them in the order of their events; those of one event keep theirs."""
    filled = [part for part in parts if len(part)]
    if len(filled) == 1:
        return filled[0]
    if not filled:
        none = np.empty(0, dtype=np.int64)
        return Values(none, np.empty(0), none, none, none, none)
    joined = Values(*(np.concatenate([getattr(p, f.name) for p in filled]) for f in fields(Values)))
    return joined.take(np.argsort(joined.events, kind="stable"))

"""Lets logs grow while they are followed, and holds each reading against a fresh one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from making_events import VERSION, record
from tensorboard.compat.proto.event_pb2 import Event

from plateau_doctor.readers import Follower, read
from plateau_doctor.run import Problem, Run

__all__ = ["content_of", "grow", "same"]


def same(found: Sequence[Run | Problem], fresh: Sequence[Run | Problem]) -> None:
    """Assert that two readings hold the same, to the last bit; where bins stand among the others is left open."""
    assert [type(one) for one in found] == [type(one) for one in fresh]
    for one, other in zip(found, fresh, strict=True):
        if isinstance(one, Problem) or isinstance(other, Problem):
            assert one == other
            continue
        for name in ("name", "source", "format", "settings", "problems", "reasons"):
            assert getattr(one, name) == getattr(other, name)
        pd.testing.assert_frame_equal(one.scalars, other.scalars, check_exact=True)
        columns = one.histograms.columns.drop("first_bin")
        pd.testing.assert_frame_equal(one.histograms[columns], other.histograms[columns], check_exact=True)
        for mine, theirs in zip(bins_of(one), bins_of(other), strict=True):
            assert mine.tobytes() == theirs.tobytes()


def bins_of(run: Run) -> list[np.ndarray]:
    slices = zip(run.histograms["first_bin"], run.histograms["n_bins"], strict=True)
    return [run.bins[first : first + count] for first, count in slices]


def grow(root: Path, contents: dict[str, bytes], seed: int, times: int = 8) -> None:
    """Let files grow in turn, cut at random places, and hold each reading against a fresh one."""
    rng = random.Random(seed)
    cuts = [
        (rng.randrange(len(content) + 1), name) for name, content in contents.items() for _ in range(times)
    ]
    steps = sorted(cuts, key=lambda cut: (cut[0] / len(contents[cut[1]]), cut[1]))
    steps += [(len(content), name) for name, content in contents.items()]
    follower = Follower(root)
    for end, name in steps:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(contents[name][file.tell() : end])
        same(follower.read(), list(read(root)))


def content_of(held: Sequence[Event], version: Event | None = VERSION) -> bytes:
    return b"".join(record(event.SerializeToString()) for event in [*([version] if version else []), *held])

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from making_events import curve, one_run, session_start, write
from tensorboard.compat.proto.event_pb2 import Event

from plateau_doctor.readers.segments import segments_of
from plateau_doctor.run import Run

EVENTS = "events.out.tfevents.1"


def live_steps(run: Run, tag: str) -> list[float]:
    rows = run.scalars
    return list(rows[(rows["tag"] == tag) & rows["live"]]["step"])


def test_a_resumed_file_rewrites_steps_and_the_old_rows_stay_but_are_not_live(tmp_path: Path) -> None:
    write(tmp_path / "events.out.tfevents.1", curve("loss", range(0, 100), time=1000, value=1.0))
    write(tmp_path / "events.out.tfevents.2", curve("loss", range(60, 130), time=5000, value=2.0))
    run = one_run(tmp_path)
    assert len(run.scalars) == 170
    assert live_steps(run, "loss") == list(range(130))
    assert run.scalars["segment"].tolist() == [0] * 100 + [1] * 70
    assert run.problems == ()


def test_a_resumed_file_may_log_other_steps_than_the_first(tmp_path: Path) -> None:
    write(tmp_path / "events.out.tfevents.1", curve("loss", [0, 10, 20, 30], time=1000))
    write(tmp_path / "events.out.tfevents.2", curve("loss", [25, 35, 45], time=5000))
    assert live_steps(one_run(tmp_path), "loss") == [0, 10, 20, 25, 35, 45]


def test_a_later_file_that_evaluates_an_old_step_again_is_no_restart(tmp_path: Path) -> None:
    write(tmp_path / "events.out.tfevents.1", curve("val_loss", range(10), time=1000))
    write(tmp_path / "events.out.tfevents.2", curve("val_loss", [4, 4, 4], time=5000))
    assert one_run(tmp_path).scalars["live"].all()


def test_a_restarted_log_of_single_batches_is_cut_before_its_first_batch() -> None:
    steps = np.repeat([*range(6), *range(2, 8)], 3).astype(float)
    segment, live, _ = segments_of(np.zeros(len(steps), dtype=int), steps)
    assert segment.tolist() == [0] * 18 + [1] * 18
    assert live.tolist() == [True] * 6 + [False] * 12 + [True] * 18


def test_files_are_taken_in_the_order_of_their_times_not_of_their_names(tmp_path: Path) -> None:
    late = Event(wall_time=9000.0, file_version="brain.Event:2")
    write(tmp_path / "events.out.tfevents.1", curve("loss", range(5, 10), time=9000), late)
    write(tmp_path / "events.out.tfevents.2", curve("loss", range(0, 8), time=1000))
    run = one_run(tmp_path)
    assert live_steps(run, "loss") == list(range(10))
    assert run.scalars["segment"].max() == 1


def test_a_later_file_that_goes_on_is_no_restart(tmp_path: Path) -> None:
    write(tmp_path / "events.out.tfevents.1", curve("loss", range(0, 10), time=1000))
    write(tmp_path / "events.out.tfevents.2", curve("loss", range(10, 20), time=5000))
    run = one_run(tmp_path)
    assert run.scalars["live"].all()
    assert (run.scalars["segment"] == 0).all()


def test_a_file_of_other_tags_is_no_restart(tmp_path: Path) -> None:
    write(tmp_path / "events.out.tfevents.1", curve("train_loss", range(100), time=1000))
    write(tmp_path / "events.out.tfevents.2", curve("test_loss", range(0, 100, 10), time=5000))
    assert one_run(tmp_path).scalars["live"].all()


def test_writers_side_by_side_are_no_restart(tmp_path: Path) -> None:
    for rank in range(2):
        write(tmp_path / f"events.out.tfevents.{rank}", curve("loss", range(50), time=1000 + rank))
    run = one_run(tmp_path)
    assert len(run.scalars) == 100
    assert run.scalars["live"].all()


def test_a_session_start_makes_a_small_step_back_a_restart(tmp_path: Path) -> None:
    held = [*curve("loss", range(10)), session_start(8), *curve("loss", [8, 9, 10])]
    write(tmp_path / EVENTS, held)
    run = one_run(tmp_path)
    assert run.scalars["segment"].tolist() == [0] * 10 + [1] * 3
    assert live_steps(run, "loss") == list(range(11))


def test_each_tag_is_rewritten_from_its_own_first_step(tmp_path: Path) -> None:
    first = [*curve("epoch_loss", range(10)), *curve("batch_loss", range(0, 1000, 10))]
    second = [
        *curve("epoch_loss", range(5, 8), time=9000),
        *curve("batch_loss", range(500, 800, 10), time=9000),
    ]
    write(tmp_path / "events.out.tfevents.1", first)
    write(tmp_path / "events.out.tfevents.2", second)
    run = one_run(tmp_path)
    assert live_steps(run, "epoch_loss") == list(range(8))
    assert live_steps(run, "batch_loss") == list(range(0, 800, 10))
    assert run.scalars["segment"].max() == 1


def test_steps_that_start_again_within_a_file_many_times_are_named(tmp_path: Path) -> None:
    held = [event for _ in range(4) for event in curve("loss", range(20))]
    write(tmp_path / EVENTS, held)
    run = one_run(tmp_path)
    assert "start again 3 times" in run.problems[0].what
    assert len(run.scalars) == 80


@pytest.mark.parametrize(
    "steps",
    [
        [1, 1, 1, 2, 2, 2],  # an evaluation that logs each batch
        [1, 3, 2, 4, 5],  # one row late
        [1, 2, 5, 3, 4, 6, 7],  # two rows late
        [*range(100), 0],  # a last word at step 0
        [0, 0],
        [],
    ],
)
def test_what_is_no_restart_stays_live(steps: list[int]) -> None:
    segment, live, unmarked = segments_of(np.zeros(len(steps), dtype=int), np.array(steps, dtype=float))
    assert not segment.any()
    assert live.all()
    assert unmarked == 0


@pytest.mark.parametrize(
    ("steps", "dead"),
    [
        ([10, 20, 30, 20, 30, 40], 2),  # one checkpoint back
        ([*range(50), *range(50)], 50),
        ([*range(50), *range(20, 40), *range(30, 60)], 40),
        ([*range(50), *range(30, 60), *range(10, 70)], 70),
        ([0, 1, 2, 3, 4, 1, 2, 3, 4, 5], 4),
    ],
)
def test_what_is_a_restart_rewrites(steps: list[int], dead: int) -> None:
    segment, live, _ = segments_of(np.zeros(len(steps), dtype=int), np.array(steps, dtype=float))
    assert segment.max() >= 1
    assert int((~live).sum()) == dead
    assert len(set(np.array(steps)[live])) == int(live.sum())

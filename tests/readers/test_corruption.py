"""Damage anywhere in a log of any format: what is whole is read, or the file is named; nothing is raised.

`benchmarks/fuzz_readers.py` does the same a hundred thousand times.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from making_damage import SAMPLES, Sample, damaged, lost, write

from plateau_doctor.readers import read
from plateau_doctor.run import Problem, Run

SEEDS = range(12)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_sound_log_is_read_whole_and_nothing_is_named(tmp_path: Path, sample: Sample) -> None:
    (run,) = read(write(sample, sample.content, tmp_path))
    assert isinstance(run, Run)
    assert run.problems == ()
    assert len(sample.rows) == 12
    assert not lost(sample, sample.content, [run])


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@pytest.mark.filterwarnings("error")
def test_a_damaged_log_is_read_as_far_as_it_is_whole_or_named(tmp_path: Path, sample: Sample) -> None:
    for seed in SEEDS:
        content = damaged(sample.content, seed)
        found = list(read(write(sample, content, tmp_path)))
        assert found, seed
        assert not lost(sample, content, found), seed


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_tail_of_zeros_loses_no_row(tmp_path: Path, sample: Sample) -> None:
    found = list(read(write(sample, sample.content + bytes(5_000), tmp_path)))
    assert any(isinstance(one, Problem) or one.problems for one in found)
    tail = [one for one in found if isinstance(one, Run)]
    if tail:
        assert not lost(sample, sample.content, [Run("", "", "", run.scalars) for run in tail])


def test_a_loss_without_a_word_would_be_noticed(tmp_path: Path) -> None:
    (sample,) = (one for one in SAMPLES if one.name == "Keras CSV")
    shortened = sample.content[: len(sample.content) // 2]
    found = list(read(write(sample, shortened, tmp_path)))
    assert lost(sample, sample.content, found)

"""The comparison with other tools: the same trainings each time, and meanings that are causes of ours."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from plateau_doctor.examination import load_rules
from plateau_doctor.labeled import read_table
from plateau_doctor.roles import role_of

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))

from rivals import RIVALS, Rival  # noqa: E402
from trainings.sub_corpus import choose  # noqa: E402
from trainings.writers import FASTAI, LIGHTNING, PYTORCH, Names  # noqa: E402


def test_every_cause_is_asked_about_three_times_and_forty_trainings_are_sound() -> None:
    table = read_table(BENCHMARKS / "corpus")
    counts = Counter(choose(table.configs, set(table.rows["name"][table.sound()])).values())
    assert counts.pop("") == 40
    assert counts == dict.fromkeys((rule.cause for rule in load_rules()), 3)


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.name)
def test_a_finding_of_a_rival_stands_for_causes_that_there_are(rival: Rival) -> None:
    known = {rule.cause for rule in load_rules()}
    for finding, causes in rival.causes.items():
        assert set(causes.split()) <= known, finding


@pytest.mark.parametrize("names", [PYTORCH, LIGHTNING, FASTAI])
def test_the_names_that_people_use_keep_their_roles(names: Names) -> None:
    for role, tag in names.scalars.items():
        assert role_of(tag)[0] == role
    for role, pattern in names.layers.items():
        assert role_of(pattern.format("layers.0"))[0] == role
    assert role_of(names.recall.format(0))[0] == "class_metric"

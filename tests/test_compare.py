"""Worse than the last good run: beyond the tolerance, beyond the noise of seeds, later, or with new findings."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import samples

from plateau_doctor.cli import _run
from plateau_doctor.compare import compare
from plateau_doctor.console import FINDINGS, NOTHING, OK, USAGE
from plateau_doctor.examination import Examination, RunExamination
from plateau_doctor.gate import Gate
from plateau_doctor.letters import UsageError
from plateau_doctor.report.compared import compared_json, compared_text
from plateau_doctor.run import Run, scalar_frame


def ending(name: str, level: float, tag: str = "val_loss", slow: float = 1.0, n: int = 60) -> RunExamination:
    """A run whose curve comes down from 2.3, or up to a metric's level, at a pace."""
    fall = np.exp(-12 * np.arange(n) / n / slow)
    values = level * (1 - fall) if tag == "val_metric" else level + (2.3 - level) * fall
    run = Run(name, f"logs/{name}", "csv", scalar_frame(samples.rows(tag, values, tag)))
    return RunExamination(run, "converged", "converged", primary=tag)


def seeds(levels: tuple[float, ...], tag: str = "val_loss", slow: float = 1.0) -> Examination:
    return samples.examination(*(ending(f"net_seed{i}", v, tag, slow) for i, v in enumerate(levels)))


@pytest.mark.parametrize(
    ("base", "head", "worse"),
    [
        ((0.5,), (0.5,), False),
        ((0.5,), (0.51,), False),
        ((0.5,), (0.6,), True),
        ((0.5,), (0.4,), False),
        ((0.50, 0.51, 0.49), (0.56, 0.57, 0.55), True),
        ((0.4, 0.6, 0.5), (0.45, 0.7, 0.55), False),
        ((0.500, 0.501, 0.499), (0.506, 0.507, 0.505), False),
    ],
)
def test_a_loss_is_worse_beyond_the_tolerance_and_the_noise_of_seeds(
    base: tuple[float, ...], head: tuple[float, ...], worse: bool
) -> None:
    assert compare(seeds(base), seeds(head)).worse is worse


@pytest.mark.parametrize(("head", "worse"), [(0.90, False), (0.895, False), (0.88, True), (0.95, False)])
def test_a_metric_is_worse_by_a_point(head: float, worse: bool) -> None:
    found = compare(seeds((0.9,), "val_metric"), seeds((head,), "val_metric"))
    assert found.worse is worse
    level = found.pairs[0].measures[0]
    assert level.unit == "points"
    assert level.change == pytest.approx(100 * (0.9 - head), abs=0.01)


def test_the_tolerance_can_be_set() -> None:
    assert compare(seeds((0.5,)), seeds((0.51,)), tolerance=0.01).worse
    lenient = compare(seeds((0.5,)), seeds((0.6,)), tolerance=0.5)
    assert not lenient.pairs[0].measures[0].worse


def test_reaching_the_same_level_much_later_is_worse() -> None:
    found = compare(seeds((0.5,)), seeds((0.5,), slow=2.0))
    (time,) = [one for one in found.pairs[0].measures if one.what == "time"]
    assert time.worse
    assert time.head > 1.5 * time.base
    assert "reaches BASE's level at epoch" in compared_text(found)


def test_a_run_that_goes_to_nan_is_worse_whatever_the_seed() -> None:
    gone = samples.exploded("net")
    good = ending("net", 0.5, "train_loss")
    text = compared_text(compare(samples.examination(good), samples.examination(gone)))
    assert "worse, whatever the seed" in text


def test_a_new_finding_that_fails_is_worse_and_one_that_base_has_is_not() -> None:
    sick = samples.stuck()
    well = replace(sick, diagnoses=())
    assert compare(samples.examination(well), samples.examination(sick)).worse
    assert not compare(samples.examination(sick), samples.examination(sick)).worse
    lenient = replace(samples.examination(sick), gate=Gate("never"))
    assert not compare(samples.examination(well), lenient).worse
    assert compare(samples.examination(sick), samples.examination(well)).pairs[0].gone


def test_groups_that_one_side_lacks_are_named_and_none_shared_is_a_letter() -> None:
    both = samples.examination(ending("a", 0.5), ending("b", 0.5))
    other = samples.examination(ending("b", 0.5), ending("c", 0.5))
    found = compare(both, other)
    assert (found.only_base, found.only_head) == (("a",), ("c",))
    with pytest.raises(UsageError, match="no run of HEAD"):
        compare(both, samples.examination(ending("c", 0.5), ending("d", 0.5)))


def test_json_has_no_number_that_is_not_one() -> None:
    gone = compare(
        samples.examination(ending("x", 0.5, "train_loss")), samples.examination(samples.exploded("x"))
    )
    assert math.isinf(gone.pairs[0].measures[0].change)
    whole = json.loads(compared_json(gone), parse_constant=lambda name: pytest.fail(name))
    assert whole["worse"] is True
    assert whole["pairs"][0]["measures"][0]["change"] is None


def test_one_run_on_each_side_says_that_the_noise_is_unknown() -> None:
    assert "noise of seeds is unknown" in compared_text(compare(seeds((0.5,)), seeds((0.6,))))
    three = compare(seeds((0.50, 0.51, 0.49)), seeds((0.56, 0.57, 0.55)))
    assert "at 95% over seeds" in compared_text(three)


def csv(folder: Path, level: float) -> str:
    folder.mkdir()
    values = level + (2.3 - level) * np.exp(-12 * np.arange(40) / 40)
    rows = [f"{i},{v:.6f},{v:.6f}" for i, v in enumerate(values)]
    (folder / "history.csv").write_text("\n".join(["epoch,loss,val_loss", *rows]) + "\n")
    return str(folder)


def test_the_command_exits_as_analyze_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = csv(tmp_path / "good", 0.4), csv(tmp_path / "bad", 0.8)
    assert _run(["compare", good, good, "--isolated"]) == OK
    assert _run(["compare", good, bad, "--isolated", "--select", "gradients"]) == FINDINGS
    assert "1 of 1 group worse" in capsys.readouterr().out
    assert _run(["compare", good, bad, "--isolated", "--fail-on", "never"]) == OK
    assert _run(["compare", good, bad, "--isolated", "--tolerance", "lots"]) == USAGE
    (tmp_path / "empty").mkdir()
    assert _run(["compare", str(tmp_path / "empty"), good, "--isolated"]) == NOTHING


def test_a_comparison_fits_into_eighty_columns_and_says_once_what_is_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(["compare", csv(tmp_path / "good", 0.4), csv(tmp_path / "bad", 0.8), "--isolated"])
    text = capsys.readouterr().out
    assert len(text.splitlines()) > 4
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("noise of seeds is unknown") == 1

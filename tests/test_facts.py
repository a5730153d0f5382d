"""What facts make of logs that hold more than one series of a kind."""

import dataclasses
import math

import numpy as np
import pytest
import samples

from plateau_doctor.facts import Facts
from plateau_doctor.report.charts import curve_charts
from plateau_doctor.run import Run, histogram_frame, scalar_frame


def a_run(**series: np.ndarray) -> Run:
    """Return a run of series by `role__tag`, a dot in a tag written as one more pair of underscores."""
    rows = [
        {"tag": tag.replace("__", "/"), "role": role, "step": float(i), "value": float(value)}
        for name, values in series.items()
        for role, _, tag in [name.partition("__")]
        for i, value in enumerate(values)
    ]
    return Run("r", "r", "made", scalar_frame(rows))


def falling(n: int = 40) -> np.ndarray:
    return 0.2 + 2.1 * 0.9 ** np.arange(n)


def test_an_accuracy_and_an_average_precision_have_no_gap() -> None:
    accuracy, precision = np.linspace(0.9, 0.99, 40), np.linspace(15.0, 28.0, 40)
    run = a_run(
        train_loss__loss=falling(), train_metric__cls_accuracy=accuracy, val_metric__bbox__AP=precision
    )
    facts = Facts(run)
    assert facts["train_metric.level"] == pytest.approx(0.985, abs=0.01)
    for name in ("gap.metric", "gap.lead", "gap.lead_early", "gap.metric_always"):
        assert facts[name] is None, name
        assert facts.missing(name) is None, name
    titles = [chart.title for chart in curve_charts(facts.logged, ())]
    assert titles == ["Loss", "Metric", "Training metric"]
    same = a_run(train_loss__loss=falling(), train_metric__acc=accuracy, val_metric__val_acc=accuracy - 0.2)
    assert Facts(same)["gap.metric"] == pytest.approx(0.2)
    assert [chart.title for chart in curve_charts(Facts(same).logged, ())] == ["Loss", "Metric"]


def test_a_loss_of_pixels_is_not_held_against_guessing() -> None:
    """A Dice loss of 31 classes begins at 0.92, where ln 31 = 3.43: nothing is wrong with that."""
    loss = np.linspace(0.92, 0.77, 30)
    classes = {f"class_metric__val_iou_{name}": np.linspace(0, 0.4, 30) for name in ("Car", "Sky", "Tree")}
    facts = Facts(
        a_run(train_loss__train_loss=loss, val_metric__val_mIOU=np.linspace(0.1, 0.3, 30), **classes)
    )
    assert facts["classes.count"] == 3
    assert facts["start.chance"] is None
    assert facts["train_loss.chance"] is None
    recalls = {name.replace("iou", "recall"): values for name, values in classes.items()}
    of_samples = Facts(a_run(train_loss__train_loss=loss, **recalls))
    assert of_samples["start.chance"] == pytest.approx(0.92 / np.log(3), rel=0.02)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["gradient", "weight", "activation"])
@pytest.mark.parametrize("column", ["norm", "zeros", "mean", "std", "edge", "low", "high"])
@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
def test_histograms_that_are_not_finite_make_no_fact_warn_or_fail(
    kind: str, column: str, value: float
) -> None:
    usual = {"zeros": 0.3, "mean": 0.0, "std": 1.0, "edge": 0.1, "count": 10.0, "low": -1.0, "high": 1.0}
    for struck in (lambda _: True, lambda row: row["step"] >= 300, lambda row: row["layer"].startswith("01")):
        rows = [
            {**row, "kind": kind, "tag": f"{kind}s/{row['layer']}", **usual} for row in samples.gradients()
        ]
        for row in rows:
            if struck(row):
                row[column] = value
        facts = Facts(dataclasses.replace(samples.stuck().run, histograms=histogram_frame(rows)))
        for name, found in facts.items():
            assert not isinstance(found, float) or math.isfinite(found), name


def test_of_three_rates_the_one_of_the_middle_counts() -> None:
    """Ultralytics warms the rate of the biases up from above: ten times the rate of all the rest."""
    n = 60
    decay = np.linspace(0.01, 0.0002, n)
    rest = np.concatenate([[0.003, 0.006], decay[2:]])
    biases = np.concatenate([[0.07, 0.04], decay[2:]])
    facts = Facts(
        a_run(
            train_loss__loss=falling(n),
            learning_rate__lr__pg0=biases,
            learning_rate__lr__pg1=rest,
            learning_rate__lr__pg2=rest,
        )
    )
    assert facts["rate.peak"] == pytest.approx(0.01, rel=0.05)
    assert facts["rate.half_at"] == pytest.approx(0.5, abs=0.05)


def test_a_rate_that_was_never_a_number_is_none_of_the_middle() -> None:
    nothing = np.full(40, np.nan)
    facts = Facts(
        a_run(
            train_loss__loss=falling(),
            learning_rate__a=nothing,
            learning_rate__b=nothing,
            learning_rate__c=np.full(40, 0.1),
        )
    )
    assert facts["rate.peak"] == pytest.approx(0.1)

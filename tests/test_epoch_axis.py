"""The axis of a log: whether its steps are batches or epochs."""

import pytest

from plateau_doctor.facts import Facts
from plateau_doctor.run import Run, scalar_frame


def a_run(every: int) -> Run:
    """Forty epochs of sixteen batches, as TensorBoard keeps them: no epochs beside the steps."""
    curves = {"train_loss": 1.0, "val_loss": 1.2, "grad_norm": 2.0, "learning_rate": 0.1}
    rows = [
        {
            "tag": role,
            "role": role,
            "step": epoch * every,
            "value": level + 1 / epoch * (role != "learning_rate"),
        }
        for role, level in curves.items()
        for epoch in range(1, 41)
    ]
    return Run(
        "r", "r", "tensorboard", scalar_frame(rows), settings={"steps_per_epoch": 16.0, "optimizer": "sgd"}
    )


def test_held_out_values_at_every_step_tell_that_steps_are_epochs() -> None:
    assert Facts(a_run(1))["train_loss.per_epoch"] == pytest.approx(1)
    assert Facts(a_run(16))["train_loss.per_epoch"] == pytest.approx(1)


def test_what_descent_could_have_gained_is_the_same_by_epochs_and_by_steps() -> None:
    by_step = Facts(a_run(16))["rate.budget"]
    assert isinstance(by_step, float)
    assert Facts(a_run(1))["rate.budget"] == pytest.approx(by_step)


def test_without_the_length_of_an_epoch_its_steps_are_unknown() -> None:
    run = a_run(1)
    bare = Run(run.name, run.source, run.format, run.scalars, settings={"optimizer": "sgd"})
    assert Facts(bare)["rate.budget"] is None

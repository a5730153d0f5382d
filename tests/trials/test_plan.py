"""What is going to be trained: the likeliest fixes, and a budget that reaches the trouble."""

from dataclasses import replace
from pathlib import Path

import pytest

from plateau_doctor import examination
from plateau_doctor.letters import UsageError
from plateau_doctor.plateau import find_plateaus
from plateau_doctor.run import Run, scalar_frame
from plateau_doctor.series import curve_of
from plateau_doctor.trials.length import Length, length_of, turn_of
from plateau_doctor.trials.plan import Asked, budget_of, fixes_to_try
from plateau_doctor.trials.suspects import Suspect
from plateau_doctor.verification import Verification, plan_of
from trials.recordings import run

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "logs"
FIXES = examination.load_fixes()


def plateau_of(one: Run):  # type: ignore[no-untyped-def]
    curve = curve_of(one, "train_loss")
    assert curve is not None
    return find_plateaus(curve)[-1]


def test_the_budget_is_a_fifth_where_the_trouble_begins_early_and_reaches_it_where_late() -> None:
    early, late = run(1.8), run(1.8)
    late.scalars["value"] += late.scalars["step"].where(late.scalars["step"] < 30, 30).rsub(30) * 0.1
    assert budget_of(early, None, Asked()).epochs == 12
    found = budget_of(late, plateau_of(late), Asked())
    assert found.share is not None
    assert 0.5 < found.share < 0.8
    assert found.epochs is not None
    assert found.reaches
    assert "its trouble begins at" in found.says
    assert found.seconds == pytest.approx(59 * 2 * found.share)


def test_a_run_that_overfits_is_trained_until_its_validation_loss_has_turned() -> None:
    one = run(1.0)
    held_out = one.scalars["role"] == "val_loss"
    one.scalars.loc[held_out, "value"] += (one.scalars.loc[held_out, "step"] - 30).clip(lower=0) * 0.05
    found = budget_of(one, None, Asked())
    assert found.share is not None
    assert 0.55 < found.share < 0.8


def test_what_is_asked_for_is_taken() -> None:
    one = run(1.8)
    trouble = plateau_of(one)
    assert budget_of(one, trouble, Asked(share=0.5)).epochs == 30
    assert budget_of(one, trouble, Asked(epochs=3)) == budget_of(one, trouble, Asked(epochs=3))
    assert not budget_of(one, trouble, Asked(epochs=3)).reaches
    assert budget_of(one, trouble, Asked(minutes=59 / 60)).epochs == 30
    assert budget_of(one, trouble, Asked(share=1.0)).share == 1.0


def test_a_log_that_tells_no_length_asks_for_epochs() -> None:
    rows = [{"tag": "loss", "role": "train_loss", "value": 1.0}]
    steps = Run("steps", "", "csv", scalar_frame(rows * 40))
    assert length_of(steps) == Length(steps=40.0)
    assert budget_of(steps, None, Asked()).steps == 8
    nothing = Run("nothing", "", "csv", scalar_frame([]))
    with pytest.raises(UsageError, match="give --epochs"):
        budget_of(nothing, None, Asked())
    assert budget_of(nothing, None, Asked(epochs=4)).epochs == 4


def test_a_converged_run_is_trained_until_its_level_shows() -> None:
    one = run(1.0)
    one.scalars["value"] -= (one.scalars["step"].clip(upper=30) - 30) * 0.08 + 0.9
    found = replace(examination.examine(one, ()), state="converged")
    late = plan_of(found, Verification(), ()).budget
    early = plan_of(replace(found, state="improving"), Verification(), ()).budget
    assert (early.share, early.epochs) == (0.2, 12)
    assert late.share is not None
    assert 0.5 < late.share < 0.8
    assert "its trouble begins at" in late.says


def test_a_loss_that_falls_to_its_end_does_not_turn() -> None:
    one = run(1.0)
    assert turn_of(one) is None
    one.scalars["value"] = 2.4 - 0.02 * one.scalars["step"] + (one.scalars["step"] - 30) ** 2 * -0.0003
    assert turn_of(one) is None
    assert budget_of(one, None, Asked()).share == 0.2


def test_the_fixes_of_the_likeliest_cause_come_first() -> None:
    one = examination.analyze([EXAMPLES / "lr_too_low"]).runs[0]
    plan = plan_of(one, Verification(), examination.load_rules())
    assert plan.fixes[0].id == "raise_lr"
    assert all(fix.change is not None for fix in plan.fixes)
    assert list(plan.worth) == sorted(plan.worth, reverse=True)
    assert len(plan.worth) == len(plan.fixes)


def test_a_sound_run_has_nothing_to_try() -> None:
    one = examination.analyze([EXAMPLES / "healthy"]).runs[0]
    assert plan_of(one, Verification(), examination.load_rules()).fixes == ()


def test_a_fix_is_worth_the_causes_it_is_for_over_its_place_in_their_lists() -> None:
    suspects = (
        Suspect("a", 0.4, True, ("augment_data", "lower_lr", "clean_labels")),
        Suspect("b", 0.3, False, ("lower_lr", "more_data")),
    )
    fixes, worth, why = fixes_to_try(suspects, FIXES)
    assert [fix.id for fix in fixes] == ["lower_lr", "augment_data"]
    assert worth == pytest.approx((0.5, 0.4))
    assert list(why) == ["clean_labels"], "that a person could do more for what is not named says nothing"


def test_causes_that_were_not_calibrated_count_half_as_much_each() -> None:
    suspects = (Suspect("a", None, True, ("augment_data",)), Suspect("b", None, True, ("lower_lr",)))
    assert fixes_to_try(suspects, FIXES)[1] == (0.5, 0.25)


def test_what_is_asked_for_comes_in_the_order_asked() -> None:
    fixes, worth, why = fixes_to_try((), FIXES, ["raise_lr", "lower_lr", "raise_lr", "more_data"])
    assert [fix.id for fix in fixes] == ["raise_lr", "lower_lr"]
    assert worth == ()
    assert list(why) == ["more_data"]
    with pytest.raises(UsageError, match="did you mean 'lower_lr'"):
        fixes_to_try((), FIXES, ["lower_rl"])

"""The protocol on recorded runs: what is trained, when it stops, and what it comes to."""

from collections.abc import Generator, Sequence
from dataclasses import replace

import pytest

from plateau_doctor.examination import load_fixes
from plateau_doctor.fix import Change, Fix
from plateau_doctor.run import Run
from plateau_doctor.trials.length import length_of
from plateau_doctor.trials.order import Outcome
from plateau_doctor.trials.plan import Asked, Plan, budget_of
from plateau_doctor.trials.protocol import Protocol
from plateau_doctor.trials.replay import replayed
from plateau_doctor.trials.trial import Arm, Trainer, Trial
from plateau_doctor.trials.trouble import Trouble
from plateau_doctor.verdict import Verdict, alpha_of_fix, alpha_of_look
from trials.recordings import run

FIXES = load_fixes()
LOWER, RAISE, SMOOTH, WEIGHTS = (
    FIXES[name] for name in ("lower_lr", "raise_lr", "label_smoothing", "class_weights")
)


def noted(arms: dict[str | None, list[Run | Outcome]]) -> tuple[list[str], Trainer]:
    """Return a trainer that answers from recordings, and the list in which it notes each arm."""
    trained: list[str] = []
    answer = replayed(arms)

    def train(wanted: Sequence[Arm]) -> Generator[Trial, None, None]:
        for trial in answer(wanted):
            trained.append(trial.name)
            yield trial

    return trained, train


def conducted(
    arms: dict[str | None, list[Run | Outcome]],
    fixes: Sequence[Fix] = (LOWER,),
    seeds: int = 3,
    trouble: Trouble | None = None,
) -> tuple[list[str], list[Verdict]]:
    """Return the arms trained, in their order, and the verdicts."""
    original = run(1.8, 99)
    trained, train = noted(arms)
    plan = Plan(tuple(fixes), seeds, budget_of(original, None, Asked(share=0.2)))
    shown = (trouble or Trouble("improving", None)).shown_by
    _, verdicts = Protocol(plan, train, length_of(original), shown).conduct()
    return trained, list(verdicts)


def outcomes(*losses: float, **more: object) -> list[Run | Outcome]:
    return [Outcome(held_on="test", loss=loss, steps=1, epochs=12, **more) for loss in losses]  # type: ignore[arg-type]


def test_a_clear_gain_is_confirmed_after_two_seeds() -> None:
    trained, verdicts = conducted(
        {None: [run(1.8, s) for s in range(3)], "lower_lr": [run(0.9, s) for s in range(3)]}
    )
    assert [one.kind for one in verdicts] == ["confirmed"]
    assert trained == ["control/seed-0", "lower_lr/seed-0", "control/seed-1", "lower_lr/seed-1"]
    assert verdicts[0].cost == pytest.approx(4.0)


def test_an_unclear_gain_takes_all_seeds_and_no_more() -> None:
    trained, verdicts = conducted({None: outcomes(1.0, 1.1, 0.9), "lower_lr": outcomes(0.9, 1.0, 0.95)})
    assert (verdicts[0].kind, verdicts[0].seeds) == ("inconclusive", 3)
    assert len(trained) == 6
    assert verdicts[0].cost == pytest.approx(6 * 12 / 60)


def test_a_fix_that_was_asked_for_is_tried_until_it_is_refuted() -> None:
    same = [1.0, 1.3, 0.8, 1.1, 0.9, 1.0, 1.2, 0.8]
    trained, verdicts = conducted({None: outcomes(*same), "lower_lr": outcomes(*same)}, seeds=8)
    assert (verdicts[0].kind, verdicts[0].seeds) == ("refuted", 8)
    assert [arm for arm in trained if "seed-3" in arm] == ["control/seed-3", "lower_lr/seed-3"]


def test_the_next_fix_is_tried_until_one_is_confirmed_and_shares_the_controls() -> None:
    arms = {
        None: outcomes(1.0, 1.1, 0.9),
        "raise_lr": outcomes(4.0, 4.1, 4.2),
        "lower_lr": outcomes(0.3, 0.31, 0.3),
    }
    trained, verdicts = conducted(arms, (RAISE, LOWER, SMOOTH))
    assert [(one.fix, one.kind) for one in verdicts] == [("raise_lr", "refuted"), ("lower_lr", "confirmed")]
    assert len(trained) == len(set(trained))
    assert not any("label_smoothing" in name for name in trained)


@pytest.mark.parametrize("seed", range(5))
def test_control_against_control_is_not_confirmed(seed: int) -> None:
    arms = {
        None: [run(1.8, 10 * seed + s) for s in range(3)],
        "lower_lr": [run(1.8, 10 * seed + 5 + s) for s in range(3)],
    }
    assert conducted(arms)[1][0].kind != "confirmed"


def test_a_control_that_crashes_ends_it_at_once() -> None:
    trained, verdicts = conducted({"lower_lr": outcomes(0.5, 0.5, 0.5)}, (LOWER, RAISE))
    assert trained == ["control/seed-0"]
    assert [(one.kind, one.why) for one in verdicts] == [
        ("failed", "the control arm crashed: no recording of this seed")
    ]


def test_a_fix_whose_first_arm_fails_is_left_and_the_next_is_tried() -> None:
    trained, verdicts = conducted(
        {None: outcomes(1, 1.1, 0.9), "raise_lr": outcomes(0.2, 0.21, 0.2)}, (LOWER, RAISE)
    )
    assert [one.kind for one in verdicts] == ["failed", "confirmed"]
    assert trained.count("lower_lr/seed-0") == 1
    assert "lower_lr/seed-1" not in trained


def test_what_cannot_be_tested_leaves_its_place_and_its_share_of_the_error_to_the_next() -> None:
    flat = outcomes(1, 1.1, 0.9)
    arms = {None: flat, "raise_lr": flat, "label_smoothing": outcomes(0.2, 0.21, 0.2)}
    plan = Plan((LOWER, RAISE, SMOOTH), 3, budget_of(run(1.8, 99), None, Asked(share=0.2)), most=1)
    assert plan.arms == 6
    _, verdicts = Protocol(plan, replayed(arms), length_of(run(1.8, 99)), lambda _: None).conduct()
    assert [(one.fix, one.kind) for one in verdicts] == [("lower_lr", "failed"), ("raise_lr", "inconclusive")]
    two = replace(plan, most=2)
    _, verdicts = Protocol(two, replayed(arms), length_of(run(1.8, 99)), lambda _: None).conduct()
    assert [one.fix for one in verdicts] == ["lower_lr", "raise_lr", "label_smoothing"]
    spent = [alpha_of_look(3, 3, alpha_of_fix(rank, 2)) for rank in range(2)]
    assert verdicts[1].alpha == pytest.approx(spent[0])


def test_error_that_a_look_has_spent_is_not_given_to_the_next_fix() -> None:
    scores = [0.5, 0.52, None]
    arms = [
        Outcome(
            held_on="t",
            loss=1.0 + s / 9,
            steps=1,
            epochs=12,
            metrics={} if m is None else {"macro_recall": m},
        )
        for s, m in enumerate(scores)
    ]
    better = outcomes(0.8, 0.9, 1.0)
    weighed = Fix("class_weights", "", "", "", (), {}, Change(class_weights="balanced"))
    _, verdicts = conducted(
        {None: list(arms), "class_weights": list(arms), "lower_lr": better}, (weighed, LOWER)
    )
    assert verdicts[0].alpha is None
    assert verdicts[1].alpha == pytest.approx(alpha_of_look(verdicts[1].seeds, 3, 0.05 / 3))


def test_without_a_held_out_score_it_is_inconclusive_and_says_so() -> None:
    arms = {
        None: [run(1.8, s, held_out=False) for s in range(3)],
        "lower_lr": [run(0.9, s, held_out=False) for s in range(3)],
    }
    (verdict,) = conducted(arms)[1]
    assert verdict.kind == "inconclusive"
    assert verdict.why.startswith("no held-out score")


def test_arms_that_are_the_same_for_all_seeds_say_that_the_seed_has_no_effect() -> None:
    (verdict,) = conducted({None: [run(1.8, 1)] * 3, "lower_lr": [run(0.9, 1)] * 3})[1]
    assert (verdict.kind, verdict.why.partition(":")[0]) == ("inconclusive", "seed not effective")
    prints = {
        None: outcomes(1.0, 1.1, 1.2, fingerprint="a"),
        "lower_lr": outcomes(0.3, 0.31, 0.3, fingerprint="b"),
    }
    assert conducted(prints)[1][0].why.startswith("seed not effective"), (
        "the weights tell, whatever the scores say"
    )


def test_a_control_that_is_not_stuck_again_is_not_reproduced() -> None:
    from plateau_doctor.series import curve_of

    original = run(1.8, 99)
    curve = curve_of(original, "train_loss")
    assert curve is not None
    from plateau_doctor.plateau import find_plateaus

    trouble = Trouble("plateaued", find_plateaus(curve)[-1])
    arms = {None: [run(1.0, s, 8) for s in range(3)], "lower_lr": [run(0.2, s, 8) for s in range(3)]}
    assert conducted(arms, trouble=trouble)[1][0].why.startswith("not reproduced")
    again = {None: [run(1.8, s, 14) for s in range(3)], "lower_lr": [run(0.2, s, 14) for s in range(3)]}
    assert conducted(again, trouble=trouble)[1][0].kind == "confirmed"
    far = Trouble("plateaued", trouble.plateau, reaches=False)
    short = {None: [run(1.8, s, 6) for s in range(3)], "lower_lr": [run(0.2, s, 6) for s in range(3)]}
    assert conducted(short, trouble=far)[1][0].why.startswith("not reproduced")


def test_an_arm_that_goes_to_nan_is_worth_an_untrained_net() -> None:
    nan = float("nan")
    (cured,) = conducted({None: outcomes(nan, nan, nan), "lower_lr": outcomes(0.3, 0.31, 0.3)})[1]
    assert cured.kind == "inconclusive", (
        "no arm logged what an untrained net is worth, so there is no gain to see"
    )
    broken = {None: [run(1.0, s) for s in range(3)], "raise_lr": [run(nan, s) for s in range(3)]}
    (verdict,) = conducted(broken, (RAISE,))[1]
    assert verdict.kind == "refuted"


def test_an_arm_that_leaps_before_it_goes_to_nan_does_not_drown_the_others() -> None:
    control = [run(1.0, seed) for seed in range(5)]
    rows = control[3].scalars
    held_out = rows.index[rows["role"] == "val_loss"]
    rows.loc[held_out[-9:-5], "value"] = 1e12
    rows.loc[held_out[-5:], "value"] = float("nan")
    arms: dict[str | None, list[Run | Outcome]] = {
        None: [control[0], control[3], *control[1:3]],
        "lower_lr": [run(0.3, 9 + seed) for seed in range(4)],
    }
    (verdict,) = conducted(arms, seeds=4)[1]
    assert verdict.kind == "confirmed"
    assert verdict.gain is not None
    assert 1 < verdict.gain < 2


def test_a_change_of_the_loss_is_judged_by_a_metric_unless_the_original_loss_was_scored() -> None:
    metrics = [{"val_accuracy": 0.7 + 0.001 * i} for i in range(3)]
    original = {None: outcomes(1.0, 1.1, 0.9), "label_smoothing": outcomes(0.3, 0.31, 0.3)}
    assert conducted(original, (SMOOTH,))[1][0].unit == "log ratio"
    logged = {None: [run(1.8, s) for s in range(3)], "label_smoothing": [run(0.9, s) for s in range(3)]}
    assert conducted(logged, (SMOOTH,))[1][0].unit == "log ratio", "no metric was logged; the loss must do"
    told = {
        None: [Outcome(metrics=m, steps=1) for m in metrics],
        "label_smoothing": [Outcome(metrics={"val_accuracy": 0.2}, steps=1) for _ in metrics],
    }
    (verdict,) = conducted(told, (SMOOTH,))[1]
    assert (verdict.unit, verdict.kind) == ("points", "refuted")


def test_class_weights_are_judged_by_macro_recall() -> None:
    without = {None: outcomes(1.0, 1.1, 0.9), "class_weights": outcomes(0.3, 0.31, 0.3)}
    (open_,) = conducted(without, (WEIGHTS,))[1]
    assert "macro recall" in open_.why
    told = {
        None: [Outcome(loss=1.0, metrics={"macro_recall": 0.4 + 0.01 * i}, steps=1) for i in range(3)],
        "class_weights": [
            Outcome(loss=2.0, metrics={"macro_recall": 0.8 + 0.01 * i}, steps=1) for i in range(3)
        ],
    }
    (verdict,) = conducted(told, (WEIGHTS,))[1]
    assert (verdict.kind, verdict.unit) == ("confirmed", "points")


def test_one_seed_is_never_enough() -> None:
    (verdict,) = conducted({None: outcomes(1.0), "lower_lr": outcomes(0.1)}, seeds=1)[1]
    assert verdict.kind == "inconclusive"
    assert Change() == Change()


# -- fixes that nobody asked for are screened -----------------------------------------------------------------------


def screened(
    arms: dict[str | None, list[Run | Outcome]],
    worth: dict[str, float],
    most: int = 6,
    at_once: int = 1,
    trouble: Trouble | None = None,
) -> tuple[list[str], list[Verdict]]:
    """Return the arms trained, in their order, and the verdicts, where the first control told what fixes are worth."""
    original = run(1.8, 99)
    trained, train = noted(arms)
    budget = budget_of(original, None, Asked(share=0.2))

    def revise(control: Trial) -> Plan:
        assert control.name == "control/seed-0"
        return Plan(
            tuple(FIXES[f] for f in worth), 3, budget, most=most, worth=tuple(worth.values()), asked=False
        )

    shown = (trouble or Trouble("improving", None)).shown_by
    protocol = Protocol(Plan((), 3, budget, asked=False), train, length_of(original), shown, revise, at_once)
    _, verdicts = protocol.conduct()
    return trained, list(verdicts)


FLAT = outcomes(1.0, 1.1, 0.9)
BETTER = outcomes(0.3, 0.31, 0.3)
THREE = {"raise_lr": 0.5, "lower_lr": 0.3, "label_smoothing": 0.2}


def test_the_first_control_is_trained_before_a_fix_is_chosen_and_a_clear_gain_followed_up_at_once() -> None:
    trained, verdicts = screened({None: FLAT, "raise_lr": BETTER}, THREE)
    assert trained == ["control/seed-0", "raise_lr/seed-0", "control/seed-1", "raise_lr/seed-1"]
    assert [(one.fix, one.kind) for one in verdicts] == [("raise_lr", "confirmed")]


def test_a_wrong_fix_takes_one_arm_and_the_next_is_tried() -> None:
    arms = {None: FLAT, "raise_lr": outcomes(4.0), "lower_lr": BETTER}
    trained, verdicts = screened(arms, THREE)
    assert trained == [
        "control/seed-0", "raise_lr/seed-0", "lower_lr/seed-0", "control/seed-1", "lower_lr/seed-1"
    ]  # fmt: skip
    assert [(one.fix, one.kind, one.seeds) for one in verdicts] == [
        ("lower_lr", "confirmed", 2),
        ("raise_lr", "inconclusive", 1),
    ]
    assert verdicts[1].why.endswith("another fix was confirmed")


def test_small_gains_wait_and_the_largest_is_followed_up_first() -> None:
    arms = {
        None: outcomes(1.0, 1.0, 1.01),
        "raise_lr": outcomes(0.99, 1.0, 1.0),
        "lower_lr": outcomes(0.85, 0.86, 0.85),
        "label_smoothing": outcomes(1.02),
    }
    trained, verdicts = screened(arms, THREE)
    assert trained[:4] == ["control/seed-0", "raise_lr/seed-0", "lower_lr/seed-0", "label_smoothing/seed-0"]
    assert trained[4:6] == ["control/seed-1", "lower_lr/seed-1"]
    assert verdicts[-1].fix == "label_smoothing"
    assert verdicts[-1].why.startswith("its first seed gains less") or "another fix" in verdicts[-1].why


def test_a_fix_whose_gain_is_gone_after_two_seeds_gets_no_third() -> None:
    trained, verdicts = screened({None: FLAT, "raise_lr": outcomes(0.7, 2.0, 0.1)}, {"raise_lr": 1.0})
    assert "raise_lr/seed-2" not in trained
    assert [(one.kind, one.seeds) for one in verdicts] == [("inconclusive", 2)]


def test_what_cannot_be_tested_takes_no_place_among_the_most() -> None:
    arms = {None: FLAT, "lower_lr": BETTER, "label_smoothing": BETTER}
    _, verdicts = screened(arms, THREE, most=1)
    assert [(one.fix, one.kind) for one in verdicts] == [("raise_lr", "failed"), ("lower_lr", "confirmed")]


def test_the_error_is_shared_by_worth_before_any_is_seen() -> None:
    arms = {None: FLAT, "raise_lr": outcomes(0.8, 0.8, 0.8), "lower_lr": outcomes(0.99)}
    _, verdicts = screened(arms, {"raise_lr": 3.0, "lower_lr": 1.0}, most=2)
    (alpha,) = [one.alpha for one in verdicts if one.fix == "raise_lr"]
    assert alpha == pytest.approx(alpha_of_look(3, 3, 0.05 * (0.1 + 0.72)))


def test_places_side_by_side_are_filled() -> None:
    arms = {None: FLAT, "raise_lr": outcomes(4.0), "lower_lr": outcomes(4.0), "label_smoothing": BETTER}
    trained, verdicts = screened(arms, THREE, at_once=2)
    assert trained[:4] == ["control/seed-0", "raise_lr/seed-0", "lower_lr/seed-0", "label_smoothing/seed-0"]
    assert {one.fix for one in verdicts} == set(THREE)
    trained, verdicts = screened({None: FLAT, **dict.fromkeys(THREE, BETTER)}, THREE, at_once=3)
    assert len(trained) == 6
    assert [(one.fix, one.kind) for one in verdicts] == [
        ("raise_lr", "confirmed"),
        ("lower_lr", "inconclusive"),
        ("label_smoothing", "inconclusive"),
    ]


def test_what_cannot_be_judged_has_spent_nothing() -> None:
    arms = {None: FLAT, "class_weights": FLAT, "lower_lr": outcomes(0.8, 0.8, 0.8)}
    _, verdicts = screened(arms, {"class_weights": 3.0, "lower_lr": 1.0}, most=1)
    assert [one.fix for one in verdicts] == ["class_weights", "lower_lr"]
    assert verdicts[1].alpha == pytest.approx(alpha_of_look(3, 3, 0.05))


def test_without_anything_held_out_one_fix_is_enough_to_say_so() -> None:
    arms: dict[str | None, list[Run | Outcome]] = {
        name: [run(1.8, s, held_out=False) for s in range(3)] for name in (None, *THREE)
    }
    trained, verdicts = screened(arms, THREE)
    assert trained == ["control/seed-0", "raise_lr/seed-0"]
    assert verdicts[0].why.startswith("no held-out score")


def test_a_control_that_fails_ends_it_before_any_fix() -> None:
    trained, verdicts = screened({"raise_lr": BETTER}, THREE)
    assert trained == ["control/seed-0"]
    assert verdicts == [], "no fix was chosen yet"


def test_where_no_control_shows_the_trouble_no_further_fix_is_tried() -> None:
    from plateau_doctor.plateau import find_plateaus
    from plateau_doctor.series import curve_of

    curve = curve_of(run(1.8, 99), "train_loss")
    assert curve is not None
    trouble = Trouble("plateaued", find_plateaus(curve)[-1])
    arms: dict[str | None, list[Run | Outcome]] = {
        None: [run(1.0, s, 8) for s in range(3)],
        "raise_lr": [run(0.5, s, 8) for s in range(3)],
        "lower_lr": [run(0.2, s, 8) for s in range(3)],
    }
    trained, verdicts = screened(arms, THREE, trouble=trouble)
    assert [one.why.partition(":")[0] for one in verdicts] == ["not reproduced"]
    assert "lower_lr/seed-0" not in trained
    _, verdicts = screened(arms, THREE, trouble=trouble, at_once=2)
    assert [(one.fix, one.why.partition(":")[0]) for one in verdicts] == [
        ("raise_lr", "not reproduced"),
        ("lower_lr", "not reproduced"),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_screening_controls_confirms_none(seed: int) -> None:
    drawn = {name: [run(1.8, 100 * seed + 10 * i + s) for s in range(3)] for i, name in enumerate(THREE)}
    _, verdicts = screened({None: [run(1.8, 1000 + seed + s) for s in range(3)], **drawn}, THREE)
    assert all(one.kind != "confirmed" for one in verdicts)

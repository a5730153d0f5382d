"""Diagnosis: what is named, what is left open, and what to log next."""

import dataclasses
import math
from collections.abc import Sequence

import pytest
import samples

from plateau_doctor.condition import Condition
from plateau_doctor.diagnosis import diagnose, named
from plateau_doctor.facts import Facts
from plateau_doctor.headline import headline
from plateau_doctor.missing import candidates, missing_logs
from plateau_doctor.plateau import State
from plateau_doctor.rule import Rule, Severity, Sign
from plateau_doctor.run import Run, scalar_frame


def a_rule(cause: str, *signs: Sign) -> Rule:
    return Rule(
        cause, "data", "draft", "warning", "It is so.", "Why.", ("fix",), (), ("Ref",), "", signs, (), "x"
    )


def a_sign(condition: str, strength: str = "decisive", side: str = "for", shows: str = "") -> Sign:
    return Sign(side, strength, Condition.parse(condition), "said", shows)  # type: ignore[arg-type]


def flat_run() -> Run:
    return Run(
        "r", "r", "csv", scalar_frame({"tag": "loss", "role": "train_loss", "value": 2.3} for _ in range(30))
    )


def test_a_decisive_sign_names_a_cause_and_a_fair_one_alone_does_not() -> None:
    facts = Facts(flat_run())
    rules = [
        a_rule("a", a_sign("train_loss.flat > 0.5")),
        a_rule("b", a_sign("train_loss.flat > 0.5", "fair")),
    ]
    assert [d.cause for d in named(diagnose(facts, rules))] == ["a"]


def test_a_sign_against_outweighs_its_equal() -> None:
    rule = a_rule("a", a_sign("train_loss.flat > 0.5"), a_sign("train_loss.drop < 0.1", side="against"))
    assert named(diagnose(Facts(flat_run()), [rule])) == ()


def test_only_the_phenotype_that_fits_best_counts() -> None:
    one = a_rule("a", a_sign("train_loss.flat > 0.5", "strong", shows="x"))
    two = a_rule(
        "a",
        a_sign("train_loss.flat > 0.5", "strong", shows="x"),
        a_sign("train_loss.flat > 0.5", "strong", shows="y"),
    )
    assert diagnose(Facts(flat_run()), [one])[0].log_odds == diagnose(Facts(flat_run()), [two])[0].log_odds


def test_an_unlogged_sign_weighs_nothing_and_is_shown_as_unknown() -> None:
    rule = a_rule("a", a_sign("val_loss.rise > 0.1"))
    (diagnosis,) = diagnose(Facts(flat_run()), [rule])
    assert [e.seen for e in diagnosis.evidence] == [None]
    assert diagnosis.log_odds == pytest.approx(-math.log(25))


def test_a_cause_that_something_speaks_for_is_a_candidate_and_its_missing_log_is_told() -> None:
    rules = [
        a_rule("open", a_sign("val_loss.rise > 0.1"), a_sign("train_loss.flat > 0.5", "fair")),
        a_rule("silent", a_sign("val_metric.fall > 0.1")),
    ]
    facts = Facts(flat_run())
    ranked = diagnose(facts, rules)
    assert candidates(ranked) == ("open",)
    assert [(m.log, m.would_decide) for m in missing_logs(facts, ranked)] == [("validation loss", ("open",))]


def test_a_sign_that_does_not_apply_is_absent_and_asks_for_no_log() -> None:
    run = flat_run()
    rate = [{"tag": "lr", "role": "learning_rate", "step": i, "value": 0.1} for i in range(30)]
    loss = [{"tag": "loss", "role": "train_loss", "step": i, "value": 2.3} for i in range(30)]
    facts = Facts(dataclasses.replace(run, scalars=scalar_frame([*loss, *rate])))
    (diagnosis,) = diagnose(facts, [a_rule("a", a_sign("rate.response > 3"))])
    assert [e.seen for e in diagnosis.evidence] == [False]
    assert missing_logs(facts, [diagnosis]) == ()


def test_no_probability_is_told_before_it_was_calibrated() -> None:
    (diagnosis,) = diagnose(Facts(flat_run()), [a_rule("a", a_sign("train_loss.flat > 0.5"))])
    assert diagnosis.probability is None
    assert diagnosis.calibrated is False


@pytest.mark.parametrize(
    ("state", "severity", "probability", "backed", "says"),
    [
        ("improving", "note", 0.7, True, "; perhaps: many labels"),
        ("improving", "note", 0.4, False, ""),  # the fit alone, of a run that goes well: no headline
        ("improving", "warning", 0.7, True, ": many labels"),
        ("improving", "warning", 0.4, True, "; perhaps: many labels"),
        ("plateaued", "note", 0.7, False, "; perhaps: many labels"),
        ("plateaued", "warning", 0.7, True, ": many labels"),
        ("plateaued", "note", 0.4, False, "; perhaps: many labels"),
    ],
)
def test_a_headline_claims_no_more_than_is_likely(
    state: State, severity: Severity, probability: float, backed: bool, says: str
) -> None:
    one = samples.diagnosis("label_noise", says="Many labels look wrong.", severity=severity, backed=backed)
    one = dataclasses.replace(one, probability=probability, calibrated=True)
    facts = Facts(samples.stuck().run)
    told = headline(facts, state, (), (one,))
    assert told.endswith(f"{says} look wrong.") if "labels" in says else "labels" not in told
    assert ("perhaps" in told) == ("perhaps" in says)


SPARSE = [i for i in range(30) if i % 5]  # validated every fifth epoch
GAPS = [*range(12), *range(20, 30)]  # not yet, and no longer


@pytest.mark.parametrize(
    ("lost", "since"),
    [
        (range(0, 30), "step 0"),
        (range(20, 30), "step 20"),
        ((5, 6), None),
        ((29,), None),
        (SPARSE, None),
        (GAPS, "step 20"),
    ],
)
def test_a_validation_loss_that_is_lost_beside_a_sound_training_loss_is_told(
    lost: Sequence[int], since: str | None
) -> None:
    losses = [2.3 * 0.9**i for i in range(30)]
    held_out = [math.nan if i in lost else value for i, value in enumerate(losses)]
    rows = [{"tag": "loss", "role": "train_loss", "value": value} for value in losses]
    rows += [{"tag": "val_loss", "role": "val_loss", "value": value} for value in held_out]
    facts = Facts(Run("r", "r", "csv", scalar_frame(rows)))
    told = headline(facts, "improving", (), ())
    assert told.startswith("still improving")
    assert ("NaN" in told) == (since is not None)
    assert since is None or told.endswith(f"; val_loss is NaN or Inf from {since} on")
    one = dataclasses.replace(
        samples.diagnosis("label_noise", says="It is so."), probability=0.9, calibrated=True
    )
    assert headline(facts, "improving", (), (one,)).endswith("on." if since else "it is so.")

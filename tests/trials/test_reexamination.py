"""What trials make of a diagnosis: told apart by the log, by its control, and by the verdicts."""

from dataclasses import replace

from plateau_doctor.examination import Examination, examine, load_fixes, load_rules
from plateau_doctor.reexamination import after_control, with_trials
from plateau_doctor.report import render
from plateau_doctor.report.trials import control_says
from plateau_doctor.run import Run, scalar_frame
from plateau_doctor.trials.plan import Budget, Plan
from plateau_doctor.trials.suspects import suspects_of
from plateau_doctor.trials.trial import Trial
from plateau_doctor.verdict import Verdict
from trials.recordings import run

RULES = load_rules()
PLAN = Plan((), 3, Budget(12, None, 0.2, None, "a fifth"))


def stuck() -> Run:
    """A loss that hardly falls, and nothing else logged."""
    return run(1.8, 4, held_out=False)


def control(**scalars: float) -> Trial:
    """A control that recorded norms of two layers besides, by tag."""
    rows = [
        {"tag": f"gradient_norm/{name}", "role": "layer_grad_norm", "step": 20.0 * i, "epoch": i, "value": v}
        for name, v in scalars.items()
        for i in range(1, 13)
    ]
    return Trial(None, 0, "trained", epochs=12.0, run=Run("c", "trial", "tensorboard", scalar_frame(rows)))


def test_a_control_that_recorded_nothing_more_changes_nothing() -> None:
    one = examine(stuck(), RULES)
    assert after_control(one, Trial(None, 0, "trained"), RULES) is one
    assert after_control(one, replace(control(a=1.0), outcome="crashed"), RULES) is one
    same = after_control(one, Trial(None, 0, "trained", epochs=12.0, run=stuck()), RULES)
    assert [d.cause for d in same.diagnoses] == [d.cause for d in one.diagnoses]
    assert control_says(replace(same, verdicts=(Verdict("lower_lr", "failed", ""),))) == []


def test_what_the_control_recorded_is_judged_beside_the_log_and_told_apart() -> None:
    one = examine(stuck(), RULES)
    again = after_control(one, control(**{"00_dense": 1e-7, "01_dense": 1e-4, "02_dense": 1.0}), RULES)
    assert again.by_log is one
    assert again.log is one.run
    assert "layer_gradients" in one.unlogged
    assert "layer_gradients" not in again.unlogged
    assert again.by_control[0] == again.diagnoses[0].cause == "vanishing_gradients"
    (said,) = control_says(replace(again, verdicts=(Verdict("lower_lr", "failed", ""),)))
    assert "gradient norms of each layer" in said
    page = render(Examination((again,), fixes=load_fixes()), "html")
    assert "recorded by the control" in page
    assert "gradient_norm/00_dense" not in render(Examination((again,), fixes=load_fixes()), "json")


def test_a_confirmed_fix_raises_its_cause_though_it_was_not_named() -> None:
    one = examine(stuck(), RULES)
    named = {d.cause for d in one.diagnoses}
    suspect = next(
        s for s in suspects_of(one.run, RULES) if s.cause not in named and (s.probability or 0) > 0.1
    )
    verdict = Verdict(
        suspect.fixes[0], "confirmed", "all of it is above 0", 0.5, 0.2, 0.8, "log ratio", 0.05, 3
    )
    after = with_trials(Examination((one,)), one, PLAN, (), (verdict,), RULES).runs[0]
    (found,) = [d for d in after.diagnoses if d.cause == suspect.cause]
    assert found.named
    assert found.probability is not None
    assert found.probability >= 0.5
    assert found.evidence[0].says == f"a trial confirmed its fix {suspect.fixes[0]}"
    if after.diagnoses[0].cause == suspect.cause:
        assert found.says[1:] in after.headline


def test_the_control_is_not_credited_with_what_the_verdicts_did() -> None:
    one = examine(stuck(), RULES)
    again = after_control(one, control(**{"00_dense": 1e-7, "01_dense": 1e-4, "02_dense": 1.0}), RULES)
    verdict = Verdict("raise_lr", "confirmed", "", 0.5, 0.2, 0.8, "log ratio", 0.05, 3)
    shaken = replace(verdict, fix="use_relu_he", kind="refuted")
    after = with_trials(Examination((one,)), again, PLAN, (control(a=1.0),), (verdict, shaken), RULES).runs[0]
    assert after.diagnoses[0].cause != again.by_control[0] == "vanishing_gradients"
    assert (
        control_says(after)[0]
        .partition("; ")[2]
        .startswith("with that the diagnosis names vanishing_gradients")
    )

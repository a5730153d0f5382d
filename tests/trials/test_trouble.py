"""Whether the signs that accused a cause fell silent in the arms of its trial."""

from __future__ import annotations

from dataclasses import replace

from plateau_doctor.condition import Condition
from plateau_doctor.examination import load_rules
from plateau_doctor.report.trials import silence_says
from plateau_doctor.rule import Sign
from plateau_doctor.run import Run
from plateau_doctor.trials.trial import Trial
from plateau_doctor.trials.trouble import silence_of

from .recordings import run


def arm(floor: float, seed: int, fix: str | None = None) -> Trial:
    return Trial(fix, seed, "trained", run=run(floor, seed))


def test_a_sign_is_measured_again_in_the_arms_or_said_not_to_be() -> None:
    signs = tuple(
        Sign("for", "strong", Condition.parse(text), "seen", "") for text in ("val_loss.level > 1", "rate.last > 0.4")
    )  # fmt: skip
    rule = replace(load_rules()[0], cause="stuck", signs=signs)
    original: Run = replace(run(1.8), settings={"learning_rate": 0.5})  # the arms do not log their rate
    control, treated = [arm(1.8, seed) for seed in (0, 1)], [arm(0.4, seed, "fix") for seed in (0, 1)]
    level, rate = silence_of(original, rule, control, treated)
    assert (level.control, level.treated, level.arms, level.fell_silent) == (2, 0, 2, True)
    assert (rate.control, rate.treated, rate.arms, rate.fell_silent) == (0, 0, 0, False)
    said = silence_says("fix", [level, rate])
    assert said[0].startswith(
        "with fix, a sign of stuck fell silent: seen in 0 of 2 treated arms and in 2 of 2"
    )
    assert said[1] == "with fix, a sign of stuck is not measured in the arms: seen"

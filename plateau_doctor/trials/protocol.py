"""The protocol: which arm is trained next, when a fix is judged, and when to stop.

Fixes are tried one after another, the likeliest first, until one is confirmed. Of each, two seeds are trained, control
and treated, then one more at a time; each round is a look at the verdict, and a clear one ends it. The control of a
seed serves all fixes. A fix that cannot be tested here leaves its place, and its share of the error, to the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from plateau_doctor.fix import Change, Fix
from plateau_doctor.run import Run
from plateau_doctor.trials.length import Length
from plateau_doctor.trials.plan import Plan
from plateau_doctor.trials.score import comparable
from plateau_doctor.trials.trial import Arm, Trainer, Trial
from plateau_doctor.verdict import ALPHA, FEWEST, Verdict, alpha_of_fix, alpha_of_look, judge

__all__ = ["Protocol", "first_arms"]

Seen = Callable[[Trial | Verdict], None]


@dataclass(frozen=True)
class Protocol:
    """How one verification is carried out.

    Attributes:
        plan: What is trained.
        train: Trains arms and yields what came of each.
        length: Of the original run, for the cost.
        reproduced: Says whether a control's run shows the trouble again; None where there is nothing to compare.
    """

    plan: Plan
    train: Trainer
    length: Length
    reproduced: Callable[[Run], bool | None]

    def conduct(self, seen: Seen = lambda _: None) -> tuple[tuple[Trial, ...], tuple[Verdict, ...]]:
        """Train arms until a fix is confirmed or all were tried; return the trials and a verdict on each fix tried.

        `seen` is told each trial and each verdict as it comes.
        """
        trials: dict[str, Trial] = {}
        verdicts: list[Verdict] = []
        left, judged = ALPHA, 0
        for rank, fix in enumerate(self.plan.fixes):
            to_come = min(self.plan.most - judged, len(self.plan.fixes) - rank)
            if not to_come:
                break
            alpha = alpha_of_fix(0, to_come, left)
            verdict = self._try(fix, alpha, trials, seen)
            verdicts.append(verdict)
            seen(verdict)
            if verdict.kind == "confirmed" or _control_failed(trials):
                break
            if verdict.alpha is not None:  # what could not be judged has spent nothing
                left, judged = left - alpha, judged + 1
        return tuple(trials.values()), tuple(verdicts)

    def _try(self, fix: Fix, alpha: float, trials: dict[str, Trial], seen: Seen) -> Verdict:
        verdict = Verdict(fix.id, "failed", "no arm was trained")
        for seeds in range(min(FEWEST, self.plan.seeds), self.plan.seeds + 1):
            arms = [arm for arm in _arms_of(fix, seeds) if arm.name not in trials]
            arriving = self.train(arms)
            try:
                for trial in arriving:
                    trials[trial.name] = trial
                    seen(trial)
                    if not trial.ran and trial.seed == 0:
                        break  # what fails untouched, or with its first seed, fails again
            finally:
                arriving.close()
            verdict = self._judged(fix, seeds, alpha, tuple(trials.values()))
            if verdict.kind in ("confirmed", "refuted", "failed"):
                break
        return verdict

    def _judged(self, fix: Fix, seeds: int, alpha: float, trials: Sequence[Trial]) -> Verdict:
        control = {one.seed: one for one in trials if one.fix is None and one.seed < seeds}
        treated = {one.seed: one for one in trials if one.fix == fix.id and one.seed < seeds}
        verdict = self._compared(fix, seeds, alpha, control, treated)
        shares = [self.length.share(one.steps, one.epochs) for one in (*control.values(), *treated.values())]
        known = [share for share in shares if share is not None]
        return replace(verdict, cost=sum(known) if known and len(known) == len(shares) else None)

    def _compared(
        self, fix: Fix, seeds: int, alpha: float, control: dict[int, Trial], treated: dict[int, Trial]
    ) -> Verdict:
        broken = [one for one in (*control.values(), *treated.values()) if not one.ran]
        first = next((one for one in broken if one.seed == 0), None)
        both = [seed for seed in control if seed in treated and control[seed].ran and treated[seed].ran]
        if first is not None or not both:
            bad = first or next(iter(broken), None)
            return Verdict(
                fix.id, "failed", f"the {bad.arm} arm {bad.outcome}: {bad.why}" if bad else "no arm ran"
            )
        scores = comparable(fix.change or Change(), [control[s] for s in both], [treated[s] for s in both])
        if isinstance(scores, str):
            return Verdict(fix.id, "inconclusive", scores, seeds=len(both))
        known = [
            said for seed in both if (run := control[seed].run) and (said := self.reproduced(run)) is not None
        ]
        return judge(
            fix.id,
            scores.pairs,
            scores.measure,
            alpha_of_look(seeds, self.plan.seeds, alpha),
            reproduced=not known or sum(known) * 2 > len(known),
            effective=_effective([control[s] for s in both]) or _effective([treated[s] for s in both]),
        )


def first_arms(plan: Plan) -> tuple[Arm, ...]:
    """Return every arm that a plan may come to, in the order of training, for a dry run."""
    arms = dict.fromkeys(
        arm.name for fix in plan.fixes for seeds in range(1, plan.seeds + 1) for arm in _arms_of(fix, seeds)
    )
    by_name = {arm.name: arm for fix in plan.fixes for arm in _arms_of(fix, plan.seeds)}
    return tuple(by_name[name] for name in arms)


def _arms_of(fix: Fix, seeds: int) -> list[Arm]:
    """Return control and treated arms of the first seeds, one seed after another."""
    return [
        arm
        for seed in range(seeds)
        for arm in (Arm(None, Change(), seed), Arm(fix.id, fix.change or Change(), seed))
    ]


def _control_failed(trials: dict[str, Trial]) -> bool:
    return any(one.fix is None and one.seed == 0 and not one.ran for one in trials.values())


def _effective(arms: Sequence[Trial]) -> bool:
    """Whether arms of several seeds differ: in their weights where a digest of them was taken, else in their scores."""
    if len(arms) < 2:
        return True
    prints = {one.fingerprint for one in arms}
    if None not in prints:
        return len(prints) > 1
    ends = {(str(one.loss), tuple(sorted(one.metrics.items()))) for one in arms}
    lost = all(one.loss is None or math.isnan(one.loss) for one in arms)
    return len(ends) > 1 or lost

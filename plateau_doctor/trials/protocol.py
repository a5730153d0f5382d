"""The protocol: which arm is trained next, when a fix is judged, and when to stop.

Fixes that the user asks for are tried one after another until one is confirmed. Of each, two seeds are trained, control
and treated, then more; each round is a look at the verdict, and a clear one ends it. The control of a seed serves all
fixes. A fix that cannot be tested here leaves its place, and its share of the error, to the next.

Where nobody asked, the first control is trained before a fix is chosen, since what it records tells more of the cause
than most logs (`suspects.py`). Then the fixes are screened: each is trained with the first seed alone, the likeliest
first. One that gains a lot is followed up at once, the others where none of those is confirmed, the largest gain
first; what gains less than half of what is worth a change is left there, since it would seldom be confirmed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from plateau_doctor.fix import Change, Fix
from plateau_doctor.run import Run
from plateau_doctor.trials.length import Length
from plateau_doctor.trials.plan import Plan
from plateau_doctor.trials.score import comparable
from plateau_doctor.trials.trial import Arm, Trainer, Trial
from plateau_doctor.verdict import (
    ALPHA,
    LOSS,
    POINTS,
    Verdict,
    alpha_by_worth,
    alpha_of_fix,
    alpha_of_look,
    judge,
    looks_of,
)

__all__ = ["Protocol"]

Seen = Callable[[Trial | Verdict], None]
CLEAR = 4.0  # thresholds that a first seed gains where its fix is followed up at once
IN_VAIN = "not reproduced: the control does not show the trouble again"
PROMISING = 0.5  # thresholds that a fix gains where it is worth more seeds
SMALL = "its first seed gains less than half of what is worth a change"
LEFT = "it was left there, since another fix was confirmed"
UNTOUCHED = Change()


@dataclass(frozen=True)
class Protocol:
    """How one verification is carried out.

    Attributes:
        plan: What is trained.
        train: Trains arms and yields what came of each.
        length: Of the original run, for the cost.
        reproduced: Says whether a control's run shows the trouble again; None where there is nothing to compare.
        revise: First control -> the plan that it leads to; None where the plan stands.
        at_once: Arms that can be trained at a time.
    """

    plan: Plan
    train: Trainer
    length: Length
    reproduced: Callable[[Run], bool | None]
    revise: Callable[[Trial], Plan] | None = None
    at_once: int = 1

    def conduct(self, seen: Seen = lambda _: None) -> tuple[tuple[Trial, ...], tuple[Verdict, ...]]:
        """Train arms until a fix is confirmed or all were tried; return the trials and a verdict on each fix tried.

        `seen` is told each trial and each verdict as it comes.
        """
        bench = _Bench(self, self.plan, seen)
        verdicts = []
        for verdict in self._verdicts(bench):
            verdicts.append(verdict)
            seen(verdict)
        return tuple(bench.trials.values()), tuple(verdicts)

    def _verdicts(self, bench: _Bench) -> Iterator[Verdict]:
        if self.revise is not None:
            control = bench.first_control()
            if not control.ran:
                yield from (bench.judged(fix, 1, 0.0) for fix in self.plan.fixes[:1])
                return
            bench.plan = self.revise(control)
        yield from bench.in_order() if bench.plan.asked else bench.screened()


@dataclass
class _Bench:
    """One verification as it goes on.

    Attributes:
        of: How it is carried out.
        plan: What is trained.
        seen: Is told each trial.
        trials: Name of an arm -> what came of it.
        spent: Fixes of which a look has spent error.
    """

    of: Protocol
    plan: Plan
    seen: Seen
    trials: dict[str, Trial] = field(default_factory=dict)
    spent: set[str] = field(default_factory=set)

    def first_control(self) -> Trial:
        """Train the first control, and return what came of it."""
        self._train([_control(0)])
        return self.trials[_control(0).name]

    def in_order(self) -> Iterator[Verdict]:
        """Yield the verdicts on the fixes, each tried to its end before the next."""
        left, tried = ALPHA, 0
        for rank, fix in enumerate(self.plan.fixes):
            to_come = min(self.plan.most - tried, len(self.plan.fixes) - rank)
            if not to_come:
                return
            alpha = alpha_of_fix(0, to_come, left)
            verdict = self._followed(fix, alpha)
            yield verdict
            if verdict.kind == "confirmed" or self._control_failed:
                return
            if fix.id in self.spent:  # what could not be judged has spent nothing
                left, tried = left - alpha, tried + 1

    def screened(self) -> Iterator[Verdict]:
        """Yield the verdicts on the fixes, each tried with its first seed, and to its end where that gains."""
        to_come = list(zip(self.plan.fixes, self.plan.worth, strict=True))
        waiting: list[tuple[Verdict, Fix, float]] = []
        left, places, confirmed = ALPHA, self.plan.most, False
        while to_come and places and not confirmed and not self._in_vain:
            ahead = to_come[:places]
            fix, _ = to_come.pop(0)
            self._screen([one for one, _ in ahead])
            first = self.judged(fix, 1, 0.0)
            if first.gain is None:  # it cannot be judged here, and has spent nothing
                yield first
                if self._control_failed or self._nothing_held_out:
                    return
                continue
            alpha = alpha_by_worth([worth for _, worth in ahead], left)[0]
            left, places = left - alpha, places - 1
            if _thresholds(first) < CLEAR:
                waiting.append((first, fix, alpha))
                continue
            verdict = self._followed(fix, alpha, while_it_gains=True)
            yield verdict
            confirmed = verdict.kind == "confirmed"
        yield from self._followed_up(waiting, confirmed)
        for fix in (fix for fix, _ in to_come if _treated(fix, 0).name in self.trials):
            beside = self.judged(fix, 1, 0.0)  # it was trained beside one that was followed up
            why = IN_VAIN if self._in_vain else f"{beside.why}; {LEFT}"
            yield beside if beside.gain is None else replace(beside, why=why)

    def _followed_up(
        self, waiting: Sequence[tuple[Verdict, Fix, float]], confirmed: bool
    ) -> Iterator[Verdict]:
        """Yield the verdicts on fixes that wait after their first seed, the largest gain first."""
        for first, fix, alpha in sorted(waiting, key=lambda one: -_thresholds(one[0])):
            if confirmed:
                yield replace(first, why=f"{first.why}; {LEFT}")
            elif _thresholds(first) < PROMISING:
                yield replace(first, why=SMALL)
            elif self._in_vain:
                yield replace(first, why=IN_VAIN)
            else:
                verdict = self._followed(fix, alpha, while_it_gains=True)
                yield verdict
                confirmed = verdict.kind == "confirmed"

    def _screen(self, fixes: Sequence[Fix]) -> None:
        """Train the first seed of the first of these fixes, and of as many others as can be trained beside it."""
        if _treated(fixes[0], 0).name not in self.trials:
            self._train([_control(0), *(_treated(fix, 0) for fix in fixes[: self.of.at_once])], alone=False)

    def _followed(self, fix: Fix, alpha: float, while_it_gains: bool = False) -> Verdict:
        """Return the verdict on a fix after as many seeds as it takes, or as it is worth."""
        verdict = Verdict(fix.id, "failed", "no arm was trained")
        for seeds in looks_of(self.plan.seeds):
            self._train([arm for seed in range(seeds) for arm in (_control(seed), _treated(fix, seed))])
            verdict = self.judged(fix, seeds, alpha)
            self.spent |= {fix.id} if verdict.alpha is not None else set()
            hopeless = while_it_gains and _thresholds(verdict) < PROMISING
            if verdict.kind in ("confirmed", "refuted", "failed") or hopeless:
                break
        return verdict

    def _train(self, arms: Sequence[Arm], alone: bool = True) -> None:
        """Train those of some arms that were not trained yet, up to one that fails untouched, or the first `alone`."""
        arriving = self.of.train([arm for arm in arms if arm.name not in self.trials])
        try:
            for trial in arriving:
                self.trials[trial.name] = trial
                self.seen(trial)
                if not trial.ran and trial.seed == 0 and (alone or trial.fix is None):
                    break  # what fails untouched, or with its first seed, fails again
        finally:
            arriving.close()

    def _reproduced(self, controls: Iterable[Trial]) -> bool:
        """Whether most of these controls show the trouble again, of those that can tell."""
        told = [self.of.reproduced(one.run) for one in controls if one.run is not None]
        known = [said for said in told if said is not None]
        return not known or sum(known) * 2 > len(known)

    @property
    def _in_vain(self) -> bool:
        """Whether all controls were trained and do not show the trouble, so that no fix can be confirmed."""
        controls = [one for one in self.trials.values() if one.fix is None and one.ran]
        return len(controls) >= self.plan.seeds and not self._reproduced(controls)

    @property
    def _nothing_held_out(self) -> bool:
        control = self.trials[_control(0).name]
        return control.loss is None and not control.metrics

    @property
    def _control_failed(self) -> bool:
        first = self.trials.get(_control(0).name)
        return first is not None and not first.ran

    def judged(self, fix: Fix, seeds: int, alpha: float) -> Verdict:
        """Return the verdict on a fix by its first seeds, of those that were trained."""
        trials = self.trials.values()
        control = {one.seed: one for one in trials if one.fix is None and one.seed < seeds}
        treated = {one.seed: one for one in trials if one.fix == fix.id and one.seed < seeds}
        verdict = self._compared(fix, seeds, alpha, control, treated)
        shares = [
            self.of.length.share(one.steps, one.epochs) for one in (*control.values(), *treated.values())
        ]
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
        scores = comparable(fix.change or UNTOUCHED, [control[s] for s in both], [treated[s] for s in both])
        if isinstance(scores, str):
            return Verdict(fix.id, "inconclusive", scores, seeds=len(both))
        return judge(
            fix.id,
            scores.pairs,
            scores.measure,
            alpha_of_look(seeds, self.plan.seeds, alpha),
            reproduced=self._reproduced([control[seed] for seed in both]),
            effective=_effective([control[s] for s in both]) or _effective([treated[s] for s in both]),
        )


def _control(seed: int) -> Arm:
    return Arm(None, UNTOUCHED, seed)


def _treated(fix: Fix, seed: int) -> Arm:
    return Arm(fix.id, fix.change or UNTOUCHED, seed)


def _thresholds(verdict: Verdict) -> float:
    """Return the gain of a verdict in units of what is worth a change; -Inf where it has none."""
    if verdict.gain is None:
        return -math.inf
    return verdict.gain / (LOSS if verdict.unit == LOSS.unit else POINTS).threshold


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

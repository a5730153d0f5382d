"""How often `verify` is right on unmodified scripts, against the same scripts trained at full length with each fix.

    python benchmarks/verified.py FOLDER [--pairs N] [--framework torch|keras] [--jobs 2] [--told FILE]

A pair is a script of `benchmarks/scripts/` with a net, a data set and a sickness. Its log is diagnosed; then fixes are
tried until one is confirmed, as `plateau-doctor verify` does; and each of these and of two others drawn by chance is
tried alone. The truth of a fix is the script trained at full length with it and without, on three seeds that no trial
had, six where these leave it open: it helps where that gains the threshold of the verdict on average and two standard
errors, and does not where it gains less on average; what lies between is left out. A pair is faulty where the script
without its sickness ends better by the same measure: some nets do not mind what was meant to ail them. Its plateau is
the one that it ends in, where it is stuck in one. FOLDER keeps what was trained, and FILE a line of JSON for each pair
that is done, which is not trained again. Prints counts and Wilson's 95 % intervals.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from verified_table import helps, in_a_line, table

from plateau_doctor.budget import stretch_of
from plateau_doctor.examination import RunExamination, analyze, load_fixes, load_rules
from plateau_doctor.fix import Change, Fix
from plateau_doctor.letters import UsageError
from plateau_doctor.runners.local import Local
from plateau_doctor.trials.dose import dosed
from plateau_doctor.trials.environment import environment
from plateau_doctor.trials.journal import Journal, digest, opened
from plateau_doctor.trials.launch import Launch
from plateau_doctor.trials.length import length_of, onset_of
from plateau_doctor.trials.plan import Budget, Plan
from plateau_doctor.trials.score import comparable
from plateau_doctor.trials.suspects import suspects_of
from plateau_doctor.trials.trial import Arm, Trial
from plateau_doctor.verdict import effects
from plateau_doctor.verification import Verification, plan_of, protocol_of, revised

SCRIPTS = Path(__file__).parent / "scripts"
NETS = (("digits", "cnn"), ("digits", "cnn_bn"), ("digits", "mlp"), ("tumors", "mlp"), ("waves", "gru"))
SICK = (
    "lr_too_low", "unnormalized_inputs", "over_regularized", "lr_too_high", "capacity_too_small", "unshuffled_data",
    "class_imbalance", "small_dataset", "label_noise", "vanishing_gradients",
)  # fmt: skip
SEEDS, MORE, OTHERS = 3, 6, 2
NEEDS_FILES = ("transfer_learning", "unfreeze")
UNSEEN = 100  # seeds of the truth begin here


@dataclass(frozen=True)
class Pair:
    """A script and what ails it."""

    framework: str
    data: str
    net: str
    sick: str

    @property
    def name(self) -> str:
        """Framework, data, net and sickness."""
        return "-".join((self.framework, self.data, self.net, self.sick))

    def command(self, logdir: Path, sick: str | None = None) -> tuple[str, ...]:
        """Return the training command of a user."""
        flags = {"data": self.data, "net": self.net, "sick": sick or self.sick, "logdir": str(logdir)}
        script = SCRIPTS / f"fit_{self.framework}.py"
        return (sys.executable, str(script), *(part for k, v in flags.items() for part in (f"--{k}", v)))


def pairs() -> list[Pair]:
    """Return all pairs, the frameworks, nets and sicknesses in turn."""
    found = []
    for i, sick in enumerate(SICK):
        for j, (data, net) in enumerate(NETS):
            applies = net == "mlp" if sick == "vanishing_gradients" else True
            if applies and (net, sick) != ("gru", "unnormalized_inputs"):
                found.append(Pair("torch" if (i + j) % 2 else "keras", data, net, sick))
    return sorted(found, key=lambda pair: (NETS.index((pair.data, pair.net)) + SICK.index(pair.sick)) % 5)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=None, help="how many at most (default all)")
    parser.add_argument("--framework", choices=("torch", "keras"), help="pairs of this one alone")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="pairs at a time (default all cores)"
    )
    parser.add_argument("--told", type=Path, help="what came of the pairs (default FOLDER/told.jsonl)")
    args = parser.parse_args()
    chosen = [pair for pair in pairs() if args.framework in (None, pair.framework)][: args.pairs]
    file = args.told or args.folder / "told.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    done = {one["pair"]: one for one in map(json.loads, lines)}

    def finished(pair: Pair) -> dict[str, Any]:
        if pair.name not in done:
            (args.folder / pair.name).mkdir(parents=True, exist_ok=True)
            told = Bench(pair, args.folder / pair.name, args.jobs).told()
            with file.open("a") as stream:
                stream.write(json.dumps(told) + "\n")
            done[pair.name] = told
            print(f"{len(done)}/{len(chosen)} {in_a_line(told)}", file=sys.stderr, flush=True)
        return done[pair.name]

    with ThreadPoolExecutor(args.jobs) as pool:
        told = list(pool.map(finished, chosen))
    for one in told:
        print(in_a_line(one))
    print()
    for line in table(told):
        print(line)


class Bench:
    """Trains one pair: its run, the trials, and the truth.

    Args:
        pair: The pair.
        folder: Where everything goes.
        jobs: Pairs at a time, which share the cores.
    """

    def __init__(self, pair: Pair, folder: Path, jobs: int) -> None:
        self.pair, self.folder = pair, folder.absolute()
        self.rules, self.runner = load_rules(), Local((), jobs)
        self.kept: dict[tuple[bool, str], Trial] = {}
        self.journals: dict[Path, Journal] = {}

    def told(self) -> dict[str, Any]:
        """Return what the diagnosis named, what each verdict was, and what the truth is.

        Arms that were trained before are taken from the journals of the folder.
        """
        with ExitStack() as held:
            for name in ("trials", "truth"):
                self.journals[self.folder / name] = held.enter_context(opened(self.folder / name))
            return self._told()

    def _told(self) -> dict[str, Any]:
        logdir = self.folder / "run"
        if not logdir.exists():
            subprocess.run(self.pair.command(logdir), check=True, capture_output=True)
        one = analyze([logdir], rules=self.rules).runs[0]
        how = Verification(script=self.pair.command(logdir))
        plan = plan_of(one, how, self.rules)
        launches = self._launches(one, plan, how)
        as_user, cost = self._tried(one, how, plan, launches)
        control = self.kept[False, Arm(None, Change(), 0).name]
        again, chosen = revised(one, control, how, self.rules, plan)
        tried = tuple(load_fixes()[name] for name, _ in as_user)
        others = self._others((*chosen.fixes, *tried))
        each = [dosed(fix, control.run) for fix in (*tried, *others)]
        alone = {}
        for fix in each:
            asked = replace(how, fixes=(fix.id,))
            verdicts, _ = self._tried(one, asked, replace(plan, fixes=(fix,), worth=(), asked=True), launches)
            alone[fix.id] = verdicts[0][1]
        stuck = stretch_of(one)
        return {
            "pair": self.pair.name,
            "state": one.state,
            "causes": [d.cause for d in one.diagnoses],
            "before": [s.cause for s in suspects_of(one.run, self.rules)],
            "again": [d.cause for d in again.diagnoses],
            "suspects": [s.cause for s in suspects_of(again.run, self.rules)],
            "onset": None if stuck is None else onset_of(one.run, stuck),
            "as_user": as_user,
            "cost": cost,
            "alone": alone,
            "gains": {fix.id: self._gain(fix, launches[True]) for fix in each},
            "undone": self._undone(launches[True]),
        }

    def _others(self, spoken_for: Sequence[Fix]) -> list[Fix]:
        """Return fixes that nothing speaks for, drawn by the name of the pair."""
        left = [
            fix for name, fix in sorted(load_fixes().items())
            if fix.change is not None and fix not in spoken_for and name not in NEEDS_FILES
        ]  # fmt: skip
        rng = np.random.default_rng(sum(map(ord, self.pair.name)))
        return [left[i] for i in rng.permutation(len(left))[:OTHERS]]

    def _launches(self, one: RunExamination, plan: Plan, how: Verification) -> dict[bool, Launch]:
        """Return how arms are launched: trials at their budget (False), the truth at full length (True)."""
        epochs = length_of(one.run).epochs
        whole = Budget(None if epochs is None else int(epochs), None, 1.0, None, "the whole training")
        return {
            full: Launch(self.folder / name, budget, self.runner, lambda _: how.script, environment, 1800.0)
            for full, name, budget in ((False, "trials", plan.budget), (True, "truth", whole))
        }

    def _tried(
        self, one: RunExamination, how: Verification, plan: Plan, launches: dict[bool, Launch]
    ) -> tuple[list[tuple[str, str]], float]:
        """Return (fix, verdict) of each fix tried, and the arms' length together, in original runs."""
        used: dict[str, Trial] = {}

        def train(arms: Sequence[Arm]) -> Generator[Trial, None, None]:
            for trial in self._trained(launches[False], arms, full=False):
                used[trial.name] = trial
                yield trial

        length = length_of(one.run)
        _, verdicts = protocol_of(one, how, self.rules, plan, train).conduct()
        shares = [length.share(trial.steps, trial.epochs) or 0.0 for trial in used.values()]
        return [(verdict.fix, verdict.kind) for verdict in verdicts], sum(shares)

    def _full(self, launch: Launch, arms: Sequence[Arm]) -> list[Trial]:
        return self._trained(launch, arms, full=True)

    def _trained(self, launch: Launch, arms: Sequence[Arm], full: bool) -> list[Trial]:
        """Return what came of each arm; those that were trained before are not trained again."""
        new = [arm for arm in arms if (full, arm.name) not in self.kept]
        train = self.journals[launch.folder].resumed(
            launch.train, lambda arm: digest(vars(launch.order(arm)))
        )
        self.kept |= {(full, trial.name): trial for trial in train(new)}
        return [self.kept[full, arm.name] for arm in arms]

    def _gain(self, fix: Fix, launch: Launch) -> list[float] | str:
        """Return mean effect and its standard error at full length, over the threshold; a word where it failed."""
        return self._compared(fix.change or Change(), fix.id, launch, launch)

    def _undone(self, launch: Launch) -> list[float] | str:
        """Return the same of the script without its sickness."""
        sound = replace(launch, command=lambda _: self.pair.command(self.folder / "run", "none"))
        return self._compared(Change(), "undone", launch, sound)

    def _compared(self, change: Change, name: str, launch: Launch, other: Launch) -> list[float] | str:
        gain: list[float] | str = "not trained"
        for seeds in (SEEDS, MORE):
            control = self._full(launch, [Arm(None, Change(), UNSEEN + i) for i in range(seeds)])
            treated = self._full(other, [Arm(name, change, UNSEEN + i) for i in range(seeds)])
            gain = gained(change, control, treated)
            if isinstance(gain, str) or helps(gain) is not None:
                break
        return gain


def gained(change: Change, control: Sequence[Trial], treated: Sequence[Trial]) -> list[float] | str:
    """Return mean effect and its standard error, over the threshold; a word where an arm failed."""
    broken = [trial for trial in (*control, *treated) if not trial.ran]
    if broken:
        return broken[0].outcome
    scores = comparable(change, control, treated)
    if isinstance(scores, str):
        return scores
    found = effects(scores.pairs, scores.measure) / scores.measure.threshold
    return [float(found.mean()), float(found.std(ddof=1) / np.sqrt(len(found)))]


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        sys.exit(str(error))

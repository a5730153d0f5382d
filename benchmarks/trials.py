"""How often a trial's verdict is right, by replaying recorded trainings through the protocol.

    python benchmarks/trials.py [--replays 1000] [--seed 0]

- A/A: control against control. Of each training of the corpus, the spread of its control's three seeds is known; the
  losses of all arms, up to eight seeds, are drawn from a log-normal distribution of that spread. Nothing may be
  confirmed: neither of fixes that were asked for, tried in their order, nor of those that are screened with one seed.
- Undone causes: the recorded control against the recorded arm in which one cause was undone, the same three seeds.
  By the labels (`benchmarks/corpus.py`) that helped, or it did not; the undecided are left out. The truth was made of
  the same seeds and at full length: this measures what three seeds can tell, not what a short trial can.

- More seeds: the same, control and arm drawn anew from log-normal distributions of their means and spreads, three seeds
  or eight; alone, or behind three fixes that change nothing.

Prints counts and Wilson's 95 % intervals.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from seed_variance import arms, rows

from plateau_doctor.fix import Change, Fix
from plateau_doctor.trials.length import Length
from plateau_doctor.trials.order import Outcome
from plateau_doctor.trials.plan import Budget, Plan
from plateau_doctor.trials.protocol import Protocol
from plateau_doctor.trials.replay import replayed
from plateau_doctor.verdict import Verdict

SEEDS, MORE = 3, 8
KINDS = ("confirmed", "refuted", "inconclusive")
BUDGET = Budget(None, 1, 1.0, None, "the whole of the recorded training")


def verdicts_on(
    control: Sequence[float], treated: Sequence[Sequence[float]], screened: bool = False, seeds: int = SEEDS
) -> tuple[Verdict, ...]:
    """Return the verdicts on fixes with these held-out losses, one a seed, tried in their order or screened first."""
    fixes = tuple(
        Fix(f"fix_{i}", "", "", "", (), {}, Change(learning_rate=1.0 + i)) for i in range(len(treated))
    )
    recorded: dict[str | None, list[Outcome]] = {None: _outcomes(control)}
    recorded |= {fix.id: _outcomes(losses) for fix, losses in zip(fixes, treated, strict=True)}
    worth = tuple(1 / (i + 1) for i in range(len(fixes))) if screened else ()
    plan = Plan(fixes, seeds, BUDGET, worth=worth, asked=not screened)
    return Protocol(plan, replayed(recorded), Length(steps=1.0), lambda _: None).conduct()[1]


def _outcomes(losses: Sequence[float]) -> list[Outcome]:
    return [Outcome(held_on="recorded", ended="script", steps=1, loss=float(loss)) for loss in losses]


def against_itself(draws: int, fixes: int, rng: np.random.Generator, screened: bool = False) -> Counter[str]:
    """Return how often the fixes of an A/A trial come to each verdict, `confirmed` where any of them is."""
    controls = [np.log(arms(row, "loss")[""]) for row in rows() if min(arms(row, "loss")[""]) > 0]
    counted: Counter[str] = Counter()
    for _ in range(draws):
        logs = controls[rng.integers(len(controls))]
        drawn = np.exp(rng.normal(logs.mean(), np.std(logs, ddof=1), (1 + fixes, MORE)))
        kinds = [verdict.kind for verdict in verdicts_on(drawn[0], list(drawn[1:]), screened, MORE)]
        counted["confirmed" if "confirmed" in kinds else kinds[0]] += 1
    return counted


def drawn_anew(seeds: int, before: int, rng: np.random.Generator) -> Counter[str]:
    """Return the verdicts on every fourth arm that helped, behind so many fixes that change nothing."""
    counted: Counter[str] = Counter()
    helpful = [(a, b) for a, b, helped in undone_arms() if helped and min(*a, *b) > 0]
    for pair in helpful[::4]:
        same, better = ((np.log(one).mean(), np.std(np.log(one), ddof=1)) for one in pair)
        arms_of = [np.exp(rng.normal(*of, seeds)) for of in (same, *[same] * before, better)]
        verdicts = verdicts_on(arms_of[0], arms_of[1:], screened=before > 0, seeds=seeds)
        kinds = {verdict.fix: verdict.kind for verdict in verdicts}
        counted[kinds.get(f"fix_{before}", "inconclusive")] += 1
    return counted


def undone(helped: bool) -> tuple[Counter[str], list[float]]:
    """Return the verdicts on causes undone that helped, or that did not, and the arms that each took."""
    counted: Counter[str] = Counter()
    cost = []
    for control, treated, did in undone_arms():
        if did == helped:
            (verdict,) = verdicts_on(list(control), [list(treated)])
            counted[verdict.kind] += 1
            cost.append(verdict.cost or 0.0)
    return counted, cost


def undone_arms() -> Iterable[tuple[Sequence[float], Sequence[float], bool]]:
    """Yield the losses of control and arm of each cause that was undone, and whether it helped, by the labels."""
    for row in rows():
        labels = {label.partition(":")[0] for label in row["labels"].split()}
        undecided = {label.partition(":")[0] for label in row["undecided"].split()}
        losses = arms(row, "loss")
        for cause, treated in losses.items():
            causes = set(cause.split("+"))  # some were undone together
            if cause and not causes & undecided:
                yield losses[""], treated, bool(causes & labels)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    z = 1.96
    middle, half = (
        (hits + z * z / 2) / (n + z * z),
        z * math.sqrt(hits * (n - hits) / n + z * z / 4) / (n + z * z),
    )
    return middle - half, middle + half


def line(name: str, counted: Mapping[str, int]) -> str:
    n = sum(counted.values())
    cells = []
    for kind in KINDS:
        low, high = wilson(counted.get(kind, 0), n)
        cells.append(f"{counted.get(kind, 0):>6} {counted.get(kind, 0) / n:>6.1%} ({low:.1%} to {high:.1%})")
    return f"{name:<34}{n:>6}  " + "  ".join(cell.ljust(28) for cell in cells)


def table(replays: int, seed: int) -> Iterable[str]:
    rng = np.random.default_rng(seed)
    yield f"{'':<34}{'n':>6}  " + "  ".join(kind.ljust(28) for kind in KINDS)
    yield line("A/A, one fix", against_itself(replays, 1, rng))
    yield line("A/A, four fixes, any", against_itself(replays, 4, rng))
    yield line("A/A, six fixes screened, any", against_itself(replays, 6, rng, screened=True))
    for helped, name in ((True, "undone, and it helped"), (False, "undone, and it did not help")):
        counted, cost = undone(helped)
        yield line(name, counted)
        yield f"    arms of full length to a verdict: median {np.median(cost):.0f}, mean {np.mean(cost):.1f}"
    for seeds in (SEEDS, MORE):
        for before, name in ((0, "drawn anew"), (3, "drawn anew, behind three")):
            yield line(f"{name}, {seeds} seeds", drawn_anew(seeds, before, rng))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replays", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for one in table(options.replays, options.seed):
        print(one, flush=True)


if __name__ == "__main__":
    main()

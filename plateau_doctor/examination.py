"""Everything one analysis found: the JSON contract, the template context and the API's return value at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from plateau_doctor import fix, places, readers, rule
from plateau_doctor.diagnosis import Diagnosis, rank
from plateau_doctor.facts import Facts, Logged, Value, known_facts
from plateau_doctor.facts.needs import NEEDS
from plateau_doctor.facts.siblings import find_siblings
from plateau_doctor.fix import Fix
from plateau_doctor.gate import Gate
from plateau_doctor.headline import WORRIED, checked, headline
from plateau_doctor.missing import Missing, candidates, missing_logs
from plateau_doctor.plateau import Plateau, State
from plateau_doctor.rule import Rule
from plateau_doctor.run import Problem, Run
from plateau_doctor.siblings import Family, Siblings
from plateau_doctor.trials.trial import Trial
from plateau_doctor.trials.trouble import Silence
from plateau_doctor.verdict import Verdict

__all__ = [
    "Examination",
    "RunExamination",
    "analyze",
    "examine",
    "fixes_named",
    "in_order",
    "load_fixes",
    "load_rules",
    "placed",
    "unused",
]


@dataclass(frozen=True, eq=False)
class RunExamination:
    """What was found in one run.

    Attributes:
        run: The run itself, for the charts.
        state: The state of its primary series.
        headline: The answer in one plain sentence.
        checked: What was checked and found in order, for a healthy run's page.
        plateaus: Flat stretches, the primary series first.
        diagnoses: Causes named, the likeliest first; empty for a healthy run.
        undetermined: None, or the look-alikes left when a stuck run has no cause above the threshold.
        missing: Logs that would decide, the cheapest first.
        unlogged: Kinds of log that it does not have, by the keys of `NEEDS`.
        primary: Tag of the series the state was judged by, None without one.
        trials: Training runs made to test a fix.
        verdicts: What they came to, in the order in which each was settled.
        silences: Fix -> the signs that accuse its causes, measured again in its trials.
        untested: Fix -> why it was not tried.
        by_log: What the log alone told, where the diagnosis counts what a control arm recorded as well.
        by_control: The causes named then, before any verdict.
    """

    run: Run
    state: State
    headline: str
    plateaus: tuple[Plateau, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    undetermined: tuple[str, ...] | None = None
    missing: tuple[Missing, ...] = ()
    unlogged: tuple[str, ...] = ()
    checked: tuple[str, ...] = ()
    primary: str | None = None
    trials: tuple[Trial, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    silences: Mapping[str, tuple[Silence, ...]] = field(default_factory=dict)
    untested: Mapping[str, str] = field(default_factory=dict)
    by_log: RunExamination | None = None
    by_control: tuple[str, ...] = ()

    @property
    def log(self) -> Run:
        """The run as its log tells it, without what a control arm recorded."""
        return self.run if self.by_log is None else self.by_log.run

    def _repr_html_(self) -> str:
        """Show the run's page in a notebook."""
        return Examination((self,), fixes=load_fixes())._repr_html_()


@dataclass(frozen=True, eq=False)
class Examination:
    """One analysis: every run, and every file that could not be read.

    Attributes:
        runs: One for each run, in the order of their names.
        problems: Files that are no run, or could not be read, and why.
        fixes: Every fix that a diagnosis here names, by id.
        command: The command line that made it, for the foot of the report.
        version: Version of plateau-doctor.
        families: Runs that are siblings (seeds, points of a sweep), in the order of the runs.
        causes: Every cause that was looked for.
        folder: The working directory, so that a report can name a log by its path from there.
        gate: What makes findings fail a pipeline, and what was waived.
    """

    runs: tuple[RunExamination, ...]
    problems: tuple[Problem, ...] = ()
    fixes: Mapping[str, Fix] = field(default_factory=dict)
    command: str = ""
    version: str = ""
    families: tuple[Family, ...] = ()
    causes: tuple[str, ...] = ()
    folder: str = ""
    gate: Gate = field(default_factory=Gate)

    def _repr_html_(self) -> str:
        """Show the page in a notebook, in a frame of its own: neither's style touches the other's."""
        import html

        import plateau_doctor  # the public face, above this module: the one step up

        page = html.escape(plateau_doctor.render(self, "html"))
        look = 'sandbox="allow-scripts allow-popups" style="width: 100%; height: 640px; border: 0"'
        return f'<iframe title="plateau-doctor" {look} srcdoc="{page}"></iframe>'


def analyze(
    paths: Sequence[Path | str],
    *,
    rules: Sequence[Rule] | None = None,
    tag_map: Mapping[str, str] | None = None,
    command: str = "",
    version: str = "",
    folder: str = "",
) -> Examination:
    """Read every run below `paths` and say of each how it stands and why.

    Args:
        paths: Log files, or folders that are searched for them.
        rules: The causes to look for; those that ship with the package when None.
        tag_map: tag -> role, for tags whose name misleads the table of roles.
        command: Shown at the foot of a report.
        version: Likewise.
        folder: The working directory; a report names logs below it by their path from there.

    Raises:
        FileNotFoundError: A path does not exist.
        RuleError: A rule or fix file is wrong.
    """
    chosen = load_rules() if rules is None else rules
    runs: dict[str, Run] = {}
    problems: list[Problem] = []
    for found in _read(paths, tag_map):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            runs[unused(found.name, runs)] = found
    ordered = [runs[name] for name in sorted(runs)]
    seen = {i: Logged(run) for i, run in enumerate(ordered)}  # each is let go once its run is examined
    siblings = find_siblings(list(seen.values()))
    examined = tuple(examine(seen.pop(i), chosen, siblings.get(i)) for i in range(len(ordered)))
    return Examination(
        examined,
        in_order(problems),
        fixes_named(examined),
        command,
        version,
        tuple(dict.fromkeys(siblings[i].family for i in sorted(siblings))),
        tuple(one.cause for one in chosen),
        folder,
    )


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # what is not finite counts as unknown
def examine(
    run: Run | Logged,
    rules: Sequence[Rule],
    siblings: Siblings | None = None,
    beside: Mapping[str, Value] | None = None,
) -> RunExamination:
    """Say of one run how it stands and why; its siblings, or what they told, count as evidence."""
    facts = Facts(run, siblings, beside)
    logged = facts.logged
    state: State = facts["state.name"]  # type: ignore[assignment]
    series = dict.fromkeys(
        (logged.primary.role if logged.primary else "train_loss", "train_loss", "val_loss")
    )
    plateaus = tuple(p for role in (*series, "val_metric") for p in logged.plateaus(role))
    judged = state not in ("too_short", "not_a_training_run")
    ranked = rank(facts, rules) if judged else ()
    found = tuple(one.told() for one in ranked if one.named)
    undetermined = candidates(ranked) if not found and state in WORRIED else None
    return RunExamination(
        run=logged.run,
        state=state,
        headline=headline(facts, state, plateaus, found),
        plateaus=plateaus,
        diagnoses=found,
        undetermined=undetermined,
        missing=missing_logs(facts, ranked) if found or undetermined is not None else (),
        unlogged=tuple(need for need in NEEDS if not facts.was_logged(need)),
        checked=checked(facts, len(rules)) if judged and not found and undetermined is None else (),
        primary=logged.primary.tag if logged.primary else None,
    )


def load_rules(folders: Sequence[Path] = ()) -> tuple[Rule, ...]:
    """Return the rules that ship with the package and those of a user's own folders."""
    return rule.load([_causes(), *folders], known_facts(), load_fixes()) if folders else _shipped_rules()


@cache
def _shipped_rules() -> tuple[Rule, ...]:
    return rule.load([_causes()], known_facts(), load_fixes())


def _causes() -> Path:
    return places.rules_folder() / "causes"


@cache
def load_fixes() -> Mapping[str, Fix]:
    """Return the fixes that ship with the package, by id."""
    return fix.load([places.rules_folder() / "fixes"])


def placed(name: str, root: Path | str, several: bool) -> str:
    """Return the name of a run found below `root`: where there are several roots, it begins with that of its own."""
    home = Path(root).name
    return f"{home}/{name}" if several and name != home else name


def unused(name: str, taken: Collection[str]) -> str:
    """Return the name, or the name with a number where two paths hold runs of one name."""
    number = 2
    free = name
    while free in taken:
        free = f"{name} ({number})"
        number += 1
    return free


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return problems in the order they are told: by file, and by place in it."""
    return tuple(sorted(problems, key=lambda p: (p.path, p.offset or 0, p.what)))


def fixes_named(runs: Iterable[RunExamination]) -> Mapping[str, Fix]:
    """Return every fix that a diagnosis of these runs names, by id."""
    fixes = load_fixes()
    return {name: fixes[name] for name in sorted({f for one in runs for d in one.diagnoses for f in d.fixes})}


def _read(paths: Sequence[Path | str], tag_map: Mapping[str, str] | None) -> Iterator[Run | Problem]:
    for path in paths:
        for found in readers.read(path, tag_map):
            if isinstance(found, Run):
                found = replace(found, name=placed(found.name, path, len(paths) > 1))
            yield found

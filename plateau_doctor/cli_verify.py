"""`plateau-doctor verify`: fixes tried on the user's own training, against a control."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from plateau_doctor import __version__
from plateau_doctor.console import (
    FINDINGS,
    INCONCLUSIVE,
    OK,
    existing,
    roles_by_tag,
    rules_folder,
    wants_color,
    write,
)

if TYPE_CHECKING:
    from plateau_doctor.runners import Runner
    from plateau_doctor.trials.plan import Asked, Plan
    from plateau_doctor.trials.trial import Trial
    from plateau_doctor.verdict import Verdict
    from plateau_doctor.verification import Verification

__all__ = ["verify"]


def _knobs(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    """Print what a trial can turn in each framework, and end."""
    if not wanted:
        return
    from plateau_doctor.trials.knobs import table

    for knob in table():
        head = f"{knob.name:<24} {knob.framework:<6} {'yes' if knob.can else 'no':<4}"
        click.echo(click.wrap_text(knob.where, 80, head, " " * len(head)))
    context.exit(OK)


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("script", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD...]")
@click.option(
    "--fix",
    "fixes",
    multiple=True,
    metavar="ID",
    help="Try this fix; repeatable. Default: by the causes, and the first control.",
)
@click.option("--seeds", type=click.IntRange(1), default=8, help="Seeds of each arm at most. Default: 8.")
@click.option("--budget", metavar="SHARE", help="Share of the original run an arm trains, as 20%.")
@click.option("--epochs", type=click.IntRange(1), help="Epochs an arm trains, instead of --budget.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Minutes an arm trains, likewise.")
@click.option(
    "--command", metavar="LINE", default="", help="A command with {learning_rate}, {epochs}, {logdir} ..."
)
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A placeholder's value in the control."
)
@click.option(
    "--gpus", metavar="IDS", help="GPUs to use, as 0,1; none for the CPU. Default: all that are found."
)
@click.option("--jobs", type=click.IntRange(1), default=1, help="Arms at a time on the CPU. Default: 1.")
@click.option(
    "--runner", "engine", type=click.Choice(("local", "ray", "slurm")), default="local", help="Where."
)
@click.option(
    "--runner-option", "options", multiple=True, metavar="NAME=VALUE", help="As slurm_partition=gpu."
)
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Minutes an arm may take.")
@click.option("--weights", type=click.Path(exists=True, dir_okay=False), help="Pretrained weights.")
@click.option(
    "--from-checkpoint",
    "checkpoint",
    type=click.Path(exists=True),
    help="Where arms start: --command loads it as {checkpoint}.",
)
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="The trial folder.")
@click.option(
    "--knobs",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_knobs,
    help="Print what can be turned.",
)
@click.option("--dry-run", is_flag=True, help="Print arms, seeds, minutes and device, and train nothing.")
@click.option("--format", "form", type=click.Choice(("full", "concise", "json")), default="full")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), help="Write that to a file instead of stdout."
)
@click.option("--html", type=click.Path(dir_okay=False), help="Also write a self-contained HTML page.")
@click.option("--tag-map", multiple=True, metavar="ROLE=TAG", help="Say what a tag is.")
@click.option(
    "--rules", "rule_folders", multiple=True, metavar="DIR", help="A folder with rule files of your own."
)
@click.option("--color", type=click.Choice(("auto", "always", "never")), default="auto")
def verify(
    run: str,
    script: Sequence[str],
    fixes: Sequence[str],
    seeds: int,
    budget: str | None,
    epochs: int | None,
    minutes: float | None,
    command: str,
    settings: Sequence[str],
    gpus: str | None,
    jobs: int,
    engine: str,
    options: Sequence[str],
    timeout: float | None,
    weights: str | None,
    checkpoint: str | None,
    folder: Path | None,
    dry_run: bool,
    form: str,
    output: str | None,
    html: str | None,
    tag_map: Sequence[str],
    rule_folders: Sequence[str],
    color: str,
) -> int:
    """Train RUN again for a short while, with and without a fix, and say whether the fix helps.

    CMD is the training command, unmodified; --command is one whose settings are filled in instead.

    Exit codes: 0 confirmed, 1 refuted, 5 inconclusive or all arms failed; 2, 3, 4 and 130 as for analyze.
    """
    from plateau_doctor import examination
    from plateau_doctor.report import render
    from plateau_doctor.report.trials import plan_says
    from plateau_doctor.verification import Verification, carried_out, chosen_run, folder_of, plan_of

    how = Verification(
        script=tuple(script),
        command=command,
        settings=tuple(settings),
        fixes=tuple(fixes),
        seeds=seeds,
        asked=_asked(budget, epochs, minutes),
        folder=folder,
        timeout=None if timeout is None else 60 * timeout,
        weights=weights,
        checkpoint=checkpoint,
    )
    _check_ways(how, dry_run)
    rules = examination.load_rules([rules_folder(name) for name in rule_folders])
    said = " ".join(["plateau-doctor", *sys.argv[1:]])
    (path,) = existing([run])
    found = examination.analyze(
        [path], rules=rules, tag_map=roles_by_tag(tag_map), command=said, version=__version__
    )
    one = chosen_run(found)
    runner = _runner(engine, options, gpus, jobs)
    plan = plan_of(one, how, rules, trains=not dry_run)
    if dry_run:
        write(plan_says(one, plan, runner.device), output)
        return OK
    click.echo(f"{runner.device}; arms go into {folder_of(one, how)}", err=True)
    with _terminated_as_interrupt():
        found = carried_out(found, how, rules, runner, _progress(plan))
    write(
        render(
            found, form, color=color == "always" or (color == "auto" and output is None and wants_color())
        ),
        output,
    )
    if html:
        write(render(found, "html"), html)
        click.echo(f"wrote {html}", err=True)
    return _exit_code([verdict.kind for verdict in found.runs[0].verdicts])


def _exit_code(kinds: Sequence[str]) -> int:
    """Return 0 where a fix is confirmed, 1 where all that were judged are refuted, else 5."""
    if "confirmed" in kinds:
        return OK
    return FINDINGS if kinds and all(kind == "refuted" for kind in kinds) else INCONCLUSIVE


def _check_ways(how: Verification, dry_run: bool) -> None:
    from plateau_doctor.letters import UsageError

    if how.script and how.command:
        raise UsageError("give either --command or -- CMD, not both")
    if how.checkpoint is not None and "{checkpoint}" not in how.command:
        raise UsageError(
            "only the script itself can load its checkpoint: tell it by\n"
            "--command 'python train.py --resume {checkpoint} --epochs {epochs} --seed {seed} --logdir {logdir}'"
        )
    if not how.script and not how.command and not dry_run:
        raise UsageError(
            "nothing to train with: end the line with -- python train.py ..., or give\n"
            "--command 'python train.py --lr {learning_rate} --epochs {epochs} --seed {seed} --logdir {logdir}'"
        )


def _asked(budget: str | None, epochs: int | None, minutes: float | None) -> Asked:
    from plateau_doctor.letters import UsageError
    from plateau_doctor.trials.plan import Asked

    if sum(one is not None for one in (budget, epochs, minutes)) > 1:
        raise UsageError("give one of --budget, --epochs and --minutes")
    if budget is None:
        return Asked(None, epochs, minutes)
    try:
        share = float(budget.removesuffix("%")) / (100 if budget.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UsageError(f"--budget {budget}: expected a share of the original run, as 20%, at most 100%")
    return Asked(share)


def _runner(engine: str, pairs: Sequence[str], gpus: str | None, jobs: int) -> Runner:
    from plateau_doctor.letters import UsageError

    options = {name: _number(value) for name, _, value in (pair.partition("=") for pair in pairs)}
    if engine == "ray":
        from plateau_doctor.runners.ray import Ray

        unknown = set(options) - {"address", "gpus"}
        if unknown:
            raise UsageError(f"--runner-option: Ray takes address and gpus, not {', '.join(sorted(unknown))}")
        return Ray(**options)  # type: ignore[arg-type]  # its two options were just checked by name
    if engine == "slurm":
        from plateau_doctor.runners.slurm import Slurm

        cluster = options.pop("cluster", None)
        return Slurm(options, None if cluster is None else str(cluster))
    from plateau_doctor.runners.local import Local

    return Local(
        None if gpus is None else [one for one in gpus.split(",") if one.strip() not in ("", "none")], jobs
    )


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


@contextmanager
def _terminated_as_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a verification as Ctrl-C does, so that no arm is left running."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _progress(plan: Plan) -> Callable[[Trial | Verdict], None]:
    """Return what prints each arm as it ends, with the time left at most, where stderr is a terminal."""
    from plateau_doctor.report.trials import verdict_says
    from plateau_doctor.report.words import counted, number
    from plateau_doctor.trials.trial import Trial

    began, arms = time.monotonic(), plan.arms
    done: list[Trial] = []

    def seen(one: Trial | Verdict) -> None:
        if not sys.stderr.isatty():
            return
        if not isinstance(one, Trial):
            click.echo(verdict_says(one), err=True)
            return
        done.append(one)
        left = max(0, arms - len(done))
        minutes = (time.monotonic() - began) / len(done) * left / 60
        score = f", score {number(one.score)}" if one.score is not None else ""
        click.echo(
            f"{one.name}: {one.outcome}{score}; {counted(left, 'arm')} left at most, {minutes:.1f} minutes",
            err=True,
        )

    return seen

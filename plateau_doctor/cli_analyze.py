"""`plateau-doctor analyze`: what is wrong with each run, in as many formats as are asked for, and the gate."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plateau_doctor import __version__
from plateau_doctor.cli_config import Configured, config_of, config_options, settings_say
from plateau_doctor.cli_gate import gate_options
from plateau_doctor.cli_scan import engine_of, scan_options, scanned
from plateau_doctor.console import (
    FINDINGS,
    FORMATS,
    INTERRUPTED,
    OK,
    existing,
    roles_by_tag,
    rules_folder,
    wants_color,
    write,
    write_report,
    writer,
)

if TYPE_CHECKING:
    from plateau_doctor.config import Config
    from plateau_doctor.examination import Examination, RunExamination
    from plateau_doctor.gate import Gate
    from plateau_doctor.gating import Asked
    from plateau_doctor.rule import Rule

__all__ = ["analyze"]


@dataclass(frozen=True)
class Wanted:
    """What the command line, the environment and the configuration ask for."""

    paths: Sequence[str]
    form: str
    output: str | None
    report: Sequence[str]
    html: str | None
    templates: str | None
    fail_on: str
    fail_on_state: Sequence[str]
    min_confidence: str
    select: Sequence[str]
    ignore: Sequence[str]
    require: Sequence[str]
    baseline: str | None
    write_baseline: str | None
    tag_map: Sequence[str]
    rule_folders: Sequence[str]
    color: str
    quiet: bool
    jobs: int | None
    runner: str
    runner_options: Sequence[str]
    resume: str | None
    no_progress: bool
    config: str | None
    isolated: bool
    show_settings: bool


@click.command(cls=Configured)
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="full", help="What to print. Default: full."
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), help="Write that to a file instead of stdout."
)
@click.option(
    "--report", multiple=True, metavar="FORMAT:FILE", help="Also write this format to a file; repeatable."
)
@click.option("--html", type=click.Path(dir_okay=False), help="Also write a self-contained HTML page.")
@click.option(
    "--templates",
    type=click.Path(exists=True, file_okay=False),
    allow_from_autoenv=False,  # they are code: from the command line alone
    metavar="DIR",
    help="Templates of your own for the HTML page, run in a sandbox; those that DIR lacks are the shipped ones.",
)
@gate_options
@click.option(
    "--require", multiple=True, metavar="LOG", help="A log that every run must have, e.g. learning_rate."
)
@click.option(
    "--baseline", type=click.Path(dir_okay=False), metavar="FILE", help="Findings in it do not count."
)
@click.option(
    "--write-baseline", type=click.Path(dir_okay=False), metavar="FILE", help="Write what is found as one."
)
@click.option(
    "--tag-map", multiple=True, metavar="ROLE=TAG", help="Say what a tag is, e.g. train_loss=Loss/train."
)
@click.option(
    "--rules", "rule_folders", multiple=True, metavar="DIR", help="A folder with rule files of your own."
)
@click.option(
    "--color", type=click.Choice(("auto", "always", "never")), default="auto", help="Default: auto."
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but what was asked for with -o or --report.")
@scan_options
@config_options
@click.pass_context
def analyze(ctx: click.Context, /, **given: Any) -> int:
    """Say of each run below PATH whether it is stuck, since when, why, and what to change."""
    wanted = Wanted(**given)
    if wanted.show_settings:
        click.echo(settings_say(ctx))
        return OK
    if not wanted.paths:
        raise click.UsageError("Missing argument 'PATH...': a log file, or a folder with logs.", ctx)
    reports = _reports(wanted)
    if wanted.templates and "html" not in (wanted.form, *(form for form, _ in reports)):
        raise click.UsageError("--templates: no HTML page is asked for; add --html FILE.", ctx)
    rules, roles = _rules(wanted.rule_folders), roles_by_tag(wanted.tag_map)
    asked = _asked(wanted, config_of(ctx), rules)
    found, stopped = _examined(wanted, rules, roles, asked, reports)
    for line in _stale(found, asked):
        click.echo(line, err=True)
    _written(found, wanted, reports)
    if stopped:
        click.echo(f"stopped: {len(found.runs):,} runs were examined and are told", err=True)
        return INTERRUPTED
    if not found.runs:
        from plateau_doctor.letters import NothingToAnalyze

        raise NothingToAnalyze(f"nothing to analyze: no training run was found in {', '.join(wanted.paths)}")
    return FINDINGS if _stops(found) else OK


def _rules(folders: Sequence[str]) -> Sequence[Rule]:
    from plateau_doctor import examination

    return examination.load_rules([rules_folder(name) for name in folders])


def _asked(wanted: Wanted, config: Config, rules: Sequence[Rule]) -> Asked:
    """Return what is asked of the gate; every name in it is known."""
    from datetime import date

    from plateau_doctor.gating import Asked, check_asked, read_baseline

    asked = Asked(
        fail_on=wanted.fail_on,
        fail_on_state=tuple(wanted.fail_on_state),
        min_confidence=wanted.min_confidence,
        select=tuple(wanted.select),
        ignore=tuple(wanted.ignore),
        require=tuple(wanted.require),
        suppressions=config.suppressions,
        baseline=read_baseline(Path(wanted.baseline)) if wanted.baseline else frozenset(),
        today=date.today(),
    )
    check_asked(asked, rules)
    return asked


def _examined(
    wanted: Wanted,
    rules: Sequence[Rule],
    roles: Mapping[str, str],
    asked: Asked,
    reports: Sequence[tuple[str, str]],
) -> tuple[Examination, bool]:
    """Return what was found, gated, and whether Ctrl-C stopped it; JSON lines alone are written as runs come."""
    from plateau_doctor.examination import Examination, fixes_named
    from plateau_doctor.gating import gate_of, gated
    from plateau_doctor.scanning import How

    charts = "html" in (wanted.form, *(form for form, _ in reports))
    streams = _streams(wanted, reports)
    engine = engine_of(wanted.runner, wanted.jobs, wanted.runner_options)
    bar = not (wanted.quiet or wanted.no_progress or (streams and sys.stdout.isatty()))
    tags: set[str] = set()
    gates: list[Gate] = []

    with writer(wanted.output) if streams else nullcontext() as out:

        def each(one: RunExamination) -> RunExamination:
            tags.update(map(str, one.run.scalars["tag"]))
            gates.append(gated(Examination((one,)), asked).gate)
            if out is None:
                return one
            from plateau_doctor.report.json import bare, run_line

            out(run_line(one))
            return bare(one)

        folders = tuple(str(Path(name).absolute()) for name in wanted.rule_folders)
        how = How(roles, folders, __version__)
        scan, runs, stopped = scanned(existing(wanted.paths), how, engine, wanted.resume, bar, each, charts)
        found = Examination(
            tuple(runs),
            scan.problems,
            fixes_named(runs),
            command=" ".join(["plateau-doctor", *sys.argv[1:]]),
            version=__version__,
            families=scan.families,
            causes=tuple(rule.cause for rule in rules),
            folder=str(Path.cwd()),
            gate=gate_of(gates, asked),
        )
        if out is not None:
            from plateau_doctor.report.json import last_lines

            out(last_lines(found))
    if found.runs:
        _check_tags(tags, roles)
    return found, stopped


def _streams(wanted: Wanted, reports: Sequence[tuple[str, str]]) -> bool:
    """Whether all that is asked for can be written run by run, so that none has to be held."""
    return wanted.form == "jsonl" and not reports and (wanted.output is not None or not wanted.quiet)


def _stale(found: Examination, asked: Asked) -> list[str]:
    from plateau_doctor.gating import stale
    from plateau_doctor.letters import visible

    return [visible(line) for line in stale(found, asked)]


def _written(found: Examination, wanted: Wanted, reports: Sequence[tuple[str, str]]) -> None:
    from plateau_doctor.gating import baseline_of
    from plateau_doctor.report import render

    templates = Path(wanted.templates) if wanted.templates else None
    colored = wanted.color == "always" or (wanted.color == "auto" and wanted.output is None and wants_color())
    if _streams(wanted, reports):
        pass  # it was written as it came
    elif wanted.output and wanted.form == "html":
        write_report(found, "html", Path(wanted.output), templates)
    elif not wanted.quiet or wanted.output:
        write(render(found, wanted.form, color=colored, templates=templates), wanted.output)
    for form, file in reports:
        write_report(found, form, Path(file), templates)
        click.echo(f"wrote {file}", err=True)
    if wanted.write_baseline:
        write(baseline_of(found), wanted.write_baseline)
        click.echo(f"wrote {wanted.write_baseline}", err=True)


def _reports(wanted: Wanted) -> list[tuple[str, str]]:
    """Return (format, file) of each report that is asked for beside what is printed."""
    from plateau_doctor.letters import UsageError, did_you_mean

    pairs = [("html", wanted.html)] if wanted.html else []
    for text in wanted.report:
        form, colon, file = text.partition(":")
        if not colon or not file:
            raise UsageError(f"--report {text}: expected FORMAT:FILE, as junit:results.xml")
        if form not in FORMATS:
            near = did_you_mean(form, FORMATS)
            raise UsageError(
                f"--report {text}: no format is called {form!r}{near}\nformats: {', '.join(FORMATS)}"
            )
        pairs.append((form, file))
    return pairs


def _check_tags(tags: Collection[str], tag_map: Mapping[str, str]) -> None:
    """Refuse a --tag-map that names a tag which no run has."""
    from plateau_doctor.letters import UsageError, did_you_mean

    for tag in tag_map:
        if tag not in tags:
            raise UsageError(f"--tag-map: no run has a tag {tag!r}{did_you_mean(tag, sorted(tags))}")


def _stops(found: Examination) -> bool:
    from plateau_doctor.findings import findings_of

    return any(one.stops for one in findings_of(found))

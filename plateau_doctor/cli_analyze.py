"""`plateau-doctor analyze`: what is wrong with each run, in as many formats as are asked for, and the gate."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plateau_doctor import __version__
from plateau_doctor.cli_config import Configured, config_of, config_options, settings_say
from plateau_doctor.cli_gate import gate_options
from plateau_doctor.console import (
    FINDINGS,
    FORMATS,
    OK,
    existing,
    roles_by_tag,
    rules_folder,
    wants_color,
    write,
    write_report,
)

if TYPE_CHECKING:
    from plateau_doctor.config import Config
    from plateau_doctor.examination import Examination
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
    found = _examined(wanted, rules, roles, asked)
    for line in _stale(found, asked):
        click.echo(line, err=True)
    _written(found, wanted, reports)
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


def _examined(wanted: Wanted, rules: Sequence[Rule], roles: Mapping[str, str], asked: Asked) -> Examination:
    from plateau_doctor import examination
    from plateau_doctor.gating import gated

    found = examination.analyze(
        existing(wanted.paths),
        rules=rules,
        tag_map=roles,
        command=" ".join(["plateau-doctor", *sys.argv[1:]]),
        version=__version__,
        folder=str(Path.cwd()),
    )
    _check_tags(found, roles)
    return gated(found, asked)


def _stale(found: Examination, asked: Asked) -> list[str]:
    from plateau_doctor.gating import stale
    from plateau_doctor.letters import visible

    return [visible(line) for line in stale(found, asked)]


def _written(found: Examination, wanted: Wanted, reports: Sequence[tuple[str, str]]) -> None:
    from plateau_doctor.gating import baseline_of
    from plateau_doctor.report import render

    templates = Path(wanted.templates) if wanted.templates else None
    colored = wanted.color == "always" or (wanted.color == "auto" and wanted.output is None and wants_color())
    if wanted.output and wanted.form == "html":
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


def _check_tags(found: Examination, tag_map: Mapping[str, str]) -> None:
    """Refuse a --tag-map that names a tag which no run has."""
    from plateau_doctor.letters import UsageError, did_you_mean

    tags = {str(tag) for one in found.runs for tag in one.run.scalars["tag"].unique()}
    for tag in tag_map:
        if tag not in tags and found.runs:
            raise UsageError(f"--tag-map: no run has a tag {tag!r}{did_you_mean(tag, sorted(tags))}")


def _stops(found: Examination) -> bool:
    from plateau_doctor.findings import findings_of

    return any(one.stops for one in findings_of(found))

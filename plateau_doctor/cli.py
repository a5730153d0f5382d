"""The command line: the only module that prints, colors or exits.

Everything heavy is imported inside the command that needs it, so that `--help` costs no more than click.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from plateau_doctor import __version__
from plateau_doctor.cli_verify import verify
from plateau_doctor.console import (
    FINDINGS,
    INTERNAL,
    INTERRUPTED,
    NOTHING,
    OK,
    USAGE,
    existing,
    roles_by_tag,
    rules_folder,
    wants_color,
    write,
)

if TYPE_CHECKING:
    from plateau_doctor.examination import Examination

__all__ = ["cli", "main"]

FORMATS = ("full", "concise", "json")
SEVERITIES = ("note", "warning", "error")


def main() -> NoReturn:
    """Run the command line and exit by the contract: 0 fine, 1 findings, 2 usage, 3 nothing, 4 internal."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: Sequence[str]) -> int:
    try:
        answer = cli.main(list(arguments), standalone_mode=False, prog_name="plateau-doctor")
        return int(answer) if isinstance(answer, int) else OK
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe has left; there is nobody to tell
        return OK
    except Exception as error:
        return _told(error)


def _told(error: Exception) -> int:
    """Print an error as a letter and return its exit code."""
    from plateau_doctor.letters import NothingToAnalyze, PlateauDoctorError

    if isinstance(error, PlateauDoctorError):
        click.echo(str(error), err=True)
        return NOTHING if isinstance(error, NothingToAnalyze) else USAGE
    if os.environ.get("PLATEAU_DOCTOR_DEBUG"):
        raise error
    click.echo(
        f"internal error: {type(error).__name__}: {error}\nSet PLATEAU_DOCTOR_DEBUG=1 to see where.", err=True
    )
    return INTERNAL


@click.group(context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "PLATEAU_DOCTOR"})
@click.version_option(__version__, prog_name="plateau-doctor")
def cli() -> None:
    """Say why a training run went flat, from the logs it left, and what to change.

    Exit codes: 0 nothing at or above --fail-on, 1 findings, 2 wrong use, 3 nothing to analyze, 4 internal error.
    """


@cli.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="full", help="What to print. Default: full."
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), help="Write that to a file instead of stdout."
)
@click.option("--html", type=click.Path(dir_okay=False), help="Also write a self-contained HTML page.")
@click.option(
    "--fail-on",
    type=click.Choice(("error", "warning", "note", "never")),
    default="error",
    help="Lowest severity that makes the exit code 1. Default: error.",
)
@click.option(
    "--min-confidence",
    type=click.Choice(("low", "medium", "high")),
    default="medium",
    help="Lowest confidence that counts for --fail-on; uncalibrated ranks as medium. Default: medium.",
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
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but what was asked for with -o or --html.")
def analyze(
    paths: Sequence[str],
    form: str,
    output: str | None,
    html: str | None,
    fail_on: str,
    min_confidence: str,
    tag_map: Sequence[str],
    rule_folders: Sequence[str],
    color: str,
    quiet: bool,
) -> int:
    """Say of each run below PATH whether it is stuck, since when, why, and what to change."""
    from plateau_doctor import examination
    from plateau_doctor.letters import NothingToAnalyze
    from plateau_doctor.report import render

    rules = examination.load_rules([rules_folder(name) for name in rule_folders])
    roles = roles_by_tag(tag_map)
    command = " ".join(["plateau-doctor", *(a for a in sys.argv[1:])])
    found = examination.analyze(
        existing(paths), rules=rules, tag_map=roles, command=command, version=__version__
    )
    _check_tags(found, roles)
    colored = color == "always" or (color == "auto" and output is None and wants_color())
    if not quiet or output:
        write(render(found, form, color=colored), output)
    if html:
        write(render(found, "html"), html)
        click.echo(f"wrote {html}", err=True)
    if not found.runs:
        where = ", ".join(paths)
        raise NothingToAnalyze(f"nothing to analyze: no training run was found in {where}")
    return FINDINGS if _fails(found, fail_on, min_confidence) else OK


@cli.command()
@click.argument("path")
@click.option(
    "--tag-map", multiple=True, metavar="ROLE=TAG", help="Say what a tag is, e.g. train_loss=Loss/train."
)
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", help="Default: text.")
def inspect(path: str, tag_map: Sequence[str], form: str) -> int:
    """Show what was read from PATH: every tag, the role it got and why, segments and problems."""
    from plateau_doctor import readers
    from plateau_doctor.letters import NothingToAnalyze
    from plateau_doctor.report import describe
    from plateau_doctor.run import Problem

    found = [one for place in existing([path]) for one in readers.read(place, roles_by_tag(tag_map))]
    click.echo(describe(found, form))
    if all(isinstance(one, Problem) for one in found):
        raise NothingToAnalyze(f"nothing to analyze: no training run was found in {path}")
    return OK


@cli.command()
@click.argument("name", metavar="CAUSE|FIX")
def explain(name: str) -> int:
    """Explain a cause or a fix: what it is, what speaks for and against it, and what mends it."""
    from plateau_doctor import examination
    from plateau_doctor.letters import UsageError, did_you_mean
    from plateau_doctor.report import explain_cause, explain_fix

    rules, fixes = {rule.cause: rule for rule in examination.load_rules()}, examination.load_fixes()
    if name in rules:
        click.echo(explain_cause(rules[name]))
    elif name in fixes:
        click.echo(explain_fix(fixes[name]))
    else:
        raise UsageError(f"no cause and no fix is called {name!r}{did_you_mean(name, [*rules, *fixes])}")
    return OK


@cli.command("rules")
@click.option(
    "--rules", "rule_folders", multiple=True, metavar="DIR", help="A folder with rule files of your own."
)
def list_rules(rule_folders: Sequence[str]) -> int:
    """List every cause that is looked for."""
    from plateau_doctor import examination

    for rule in examination.load_rules([rules_folder(name) for name in rule_folders]):
        click.echo(f"{rule.cause} ({rule.family}, {rule.severity})")
        click.echo(click.wrap_text(rule.says, width=80, initial_indent="    ", subsequent_indent="    "))
    return OK


@cli.command(hidden=True)
@click.argument("corpus", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER"
)
@click.option(
    "--keep", type=click.Path(file_okay=False, path_type=Path), help="Folder for what was predicted."
)
def calibrate(corpus: Path, output: Path, keep: Path | None) -> int:
    """Fit the weights on a table of facts and labels, as benchmarks/corpus.py makes it; for developers."""
    from plateau_doctor import calibration, examination, labeled
    from plateau_doctor.weights import LEVELS, Weights

    table, rules = labeled.read_table(corpus), examination.load_rules()
    fitted = {}
    for level in LEVELS:
        fitted[level] = calibration.fit(table, rules, level, keep)
        click.echo(f"fitted {level}", err=True)
    Weights(
        {name: trees for name, (trees, _) in fitted.items()},
        {name: level for name, (_, level) in fitted.items()},
        calibration.information(table),
        {"configurations": len(table.configs), "logs": len(table.rows)},
    ).write(output)
    return OK


def _check_tags(found: Examination, tag_map: Mapping[str, str]) -> None:
    """Refuse a --tag-map that names a tag which no run has."""
    from plateau_doctor.letters import UsageError, did_you_mean

    tags = {str(tag) for one in found.runs for tag in one.run.scalars["tag"].unique()}
    for tag in tag_map:
        if tag not in tags and found.runs:
            raise UsageError(f"--tag-map: no run has a tag {tag!r}{did_you_mean(tag, sorted(tags))}")


def _fails(found: Examination, fail_on: str, min_confidence: str) -> bool:
    if fail_on == "never":
        return False
    bar = {"low": 0.0, "medium": 0.5, "high": 0.8}[min_confidence]
    levels = SEVERITIES[SEVERITIES.index(fail_on) :]
    return any(
        diagnosis.severity in levels
        and (min_confidence != "high" if diagnosis.probability is None else diagnosis.probability >= bar)
        for one in found.runs
        for diagnosis in one.diagnoses
    )


cli.add_command(verify)

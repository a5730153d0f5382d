"""The command line: the only module that prints, colors or exits.

Everything heavy is imported inside the command that needs it, so that `--help` costs no more than click.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from plateau_doctor import __version__
from plateau_doctor.cli_analyze import analyze
from plateau_doctor.cli_compare import compare
from plateau_doctor.cli_help import demo, doctor, explain, rules
from plateau_doctor.cli_record import record
from plateau_doctor.cli_verify import verify
from plateau_doctor.console import (
    INTERNAL,
    INTERRUPTED,
    NOTHING,
    OK,
    USAGE,
    existing,
    roles_by_tag,
)

__all__ = ["cli", "main"]


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


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "PLATEAU_DOCTOR"},
    epilog='Completion, for bash: eval "$(_PLATEAU_DOCTOR_COMPLETE=bash_source plateau-doctor)"; zsh and fish alike.',
)
@click.version_option(__version__, prog_name="plateau-doctor")
def cli() -> None:
    """Say why a training run went flat, from the logs it left, and what to change.

    Exit codes: 0 nothing at or above --fail-on, 1 findings, 2 wrong use, 3 nothing to analyze, 4 internal error.
    """


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


cli.add_command(analyze)
cli.add_command(compare)
cli.add_command(demo)
cli.add_command(doctor)
cli.add_command(explain)
cli.add_command(record)
cli.add_command(rules)
cli.add_command(verify)

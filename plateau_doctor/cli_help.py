"""Help in the terminal: `explain`, `rules`, `rules check`, `doctor` and `demo`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plateau_doctor import __version__
from plateau_doctor.console import FINDINGS, NOTHING, OK, rules_folder, wants_color, write

if TYPE_CHECKING:
    from plateau_doctor.rule import Rule

__all__ = ["demo", "doctor", "explain", "rules"]


def _names(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the causes and fixes that a name may be completed to; only file names are looked at."""
    from plateau_doctor import places

    stems = sorted(file.stem for file in places.rules_folder().glob("*/*.toml"))
    return [stem for stem in stems if stem.startswith(incomplete)]


@click.command()
@click.argument("name", metavar="CAUSE|FIX", shell_complete=_names)
def explain(name: str) -> int:
    """Explain a cause or a fix: what it is, what speaks for and against it, and what mends it."""
    from plateau_doctor import examination
    from plateau_doctor.letters import UsageError, did_you_mean
    from plateau_doctor.report import explain_cause, explain_fix

    known, fixes = {rule.cause: rule for rule in examination.load_rules()}, examination.load_fixes()
    if name in known:
        click.echo(explain_cause(known[name], fixes))
    elif name in fixes:
        click.echo(explain_fix(fixes[name]))
    else:
        raise UsageError(f"no cause and no fix is called {name!r}{did_you_mean(name, [*known, *fixes])}")
    return OK


@click.group(invoke_without_command=True)
@click.option(
    "--rules", "rule_folders", multiple=True, metavar="DIR", help="A folder with rule files of your own."
)
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", help="Default: text.")
@click.pass_context
def rules(ctx: click.Context, rule_folders: Sequence[str], form: str) -> int:
    """List every cause that is looked for, and the logs that its signs ask for."""
    from plateau_doctor import examination
    from plateau_doctor.facts.needs import NEEDS

    if ctx.invoked_subcommand is not None:
        return OK
    known = examination.load_rules([rules_folder(name) for name in rule_folders])
    rows = [_row(rule) for rule in known]
    if form == "json":
        write(json.dumps(rows, indent=2), None)
        return OK
    for row in rows:
        click.echo(f"{row['cause']} ({row['family']}, {row['severity']})")
        logs = ", ".join(NEEDS[need].log for need in row["needs"])
        for text in (row["says"], f"looks at: {logs}"):
            click.echo(click.wrap_text(text, width=80, initial_indent="    ", subsequent_indent="    "))
    return OK


def _row(rule: Rule) -> dict[str, Any]:
    from plateau_doctor.report.explain import logs_of

    keys = (
        "cause",
        "family",
        "severity",
        "status",
        "says",
        "fixes",
        "confused_with",
        "falsepositives",
        "references",
    )
    return {**{key: getattr(rule, key) for key in keys}, "needs": logs_of(rule)}


@rules.command()
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
def check(folder: Path) -> int:
    """Lint the rule files in DIR and test the examples inside them.

    Exit codes: 0 all is well, 1 a file is wrong or an example is not as it says, 3 no rule file in DIR.
    """
    from plateau_doctor.letters import NothingToAnalyze
    from plateau_doctor.report.words import counted
    from plateau_doctor.rule_check import check_rules

    found, letters = check_rules(folder)
    if not found and not letters:
        raise NothingToAnalyze(f"nothing to check: {folder} holds no *.toml file")
    for letter in letters:
        click.echo(letter, err=True)
    examples = sum(len(rule.examples) for rule in found)
    tested = f"{counted(len(found), 'rule')} read, {counted(examples, 'example')} tested"
    click.echo(f"{tested}, {counted(len(letters), 'mistake')}")
    return FINDINGS if letters else OK


@click.command()
def doctor() -> int:
    """Say what is installed: the package, what it needs, optional parts, and GPUs."""
    from plateau_doctor.installation import installation

    parts = installation(__version__)
    wide = max(len(part.name) for part in parts)
    for part in parts:
        click.echo(f"{'x' if part.broken else ' '} {part.name.ljust(wide)}  {part.says}")
    return FINDINGS if any(part.broken for part in parts) else OK


@click.command()
def demo() -> int:
    """Analyze the example runs of a checkout, sick and healthy ones, or say where they are."""
    from plateau_doctor import examination, places

    logs = places.rules_folder().parent / "examples" / "logs"
    if not logs.is_dir():
        click.echo(
            "The example runs are in the source checkout, in examples/logs; this installation is without them.\n"
            "There: plateau-doctor analyze examples/logs --html report.html"
        )
        return NOTHING
    from plateau_doctor.report import render

    found = examination.analyze([logs], version=__version__)
    click.echo(render(found, "concise", color=wants_color()), nl=False)
    click.echo(f"\nThe whole story: plateau-doctor analyze {logs} --html report.html")
    return OK

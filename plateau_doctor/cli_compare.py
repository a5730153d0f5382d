"""`plateau-doctor compare`: is HEAD worse than BASE, the last good run?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from plateau_doctor import __version__
from plateau_doctor.cli_config import Configured, config_of, config_options, settings_say
from plateau_doctor.cli_gate import gate_options
from plateau_doctor.console import FINDINGS, OK, existing, roles_by_tag, rules_folder, write

if TYPE_CHECKING:
    from plateau_doctor.examination import Examination

__all__ = ["compare"]


@click.command(cls=Configured)
@click.argument("base")
@click.argument("head")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", help="Default: text.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), help="Write that to a file instead of stdout."
)
@click.option(
    "--tolerance", metavar="SHARE", help="Least change that counts, as 5%. Default: 5%, or 1 point."
)
@gate_options
@click.option("--tag-map", multiple=True, metavar="ROLE=TAG", help="Say what a tag is.")
@click.option(
    "--rules", "rule_folders", multiple=True, metavar="DIR", help="A folder with rule files of your own."
)
@config_options
@click.pass_context
def compare(
    ctx: click.Context,
    /,
    base: str,
    head: str,
    form: str,
    output: str | None,
    tolerance: str | None,
    fail_on: str,
    fail_on_state: Sequence[str],
    min_confidence: str,
    select: Sequence[str],
    ignore: Sequence[str],
    tag_map: Sequence[str],
    rule_folders: Sequence[str],
    show_settings: bool,
    **_: object,
) -> int:
    """Say whether the runs of HEAD are worse than those of BASE, beyond what another seed would do.

    Worse by the held-out metric or loss, by the time to BASE's level, or by findings that BASE does not have. Runs
    that differ in the seed alone are one group; three on each side tell noise from change.
    """
    if show_settings:
        click.echo(settings_say(ctx))
        return OK
    from datetime import date

    from plateau_doctor import compare as comparing
    from plateau_doctor import examination
    from plateau_doctor.gating import Asked, check_asked, gated
    from plateau_doctor.report.compared import compared_json, compared_text

    share = _share(tolerance)
    rules, roles = (
        examination.load_rules([rules_folder(name) for name in rule_folders]),
        roles_by_tag(tag_map),
    )
    asked = Asked(
        fail_on=fail_on,
        fail_on_state=tuple(fail_on_state),
        min_confidence=min_confidence,
        select=tuple(select),
        ignore=tuple(ignore),
        suppressions=config_of(ctx).suppressions,
        today=date.today(),
    )
    check_asked(asked, rules)
    sides = [
        gated(
            _runs(examination.analyze([path], rules=rules, tag_map=roles, version=__version__), name), asked
        )
        for name, path in zip((base, head), existing((base, head)), strict=True)
    ]
    found = comparing.compare(sides[0], sides[1], share)
    write((compared_json if form == "json" else compared_text)(found), output)
    return FINDINGS if found.worse and fail_on != "never" else OK


def _runs(found: Examination, path: str) -> Examination:
    from plateau_doctor.letters import NothingToAnalyze

    if not found.runs:
        raise NothingToAnalyze(f"nothing to compare: no training run was found in {path}")
    return found


def _share(text: str | None) -> float | None:
    from plateau_doctor.letters import UsageError

    if text is None:
        return None
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise UsageError(f"--tolerance {text}: expected a share such as 5%, below 100%")
    return share

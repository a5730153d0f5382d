"""The options that say which findings make the exit code 1, alike for every command that gates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["gate_options"]

Command = TypeVar("Command", bound=Callable[..., Any])


def gate_options(command: Command) -> Command:
    """Give a command the options that say which findings make the exit code 1."""
    for option in (
        click.option(
            "--ignore", multiple=True, metavar="NAME", help="A cause or family that does not count."
        ),
        click.option(
            "--select", multiple=True, metavar="NAME", help="Only this cause or family counts; repeatable."
        ),
        click.option(
            "--min-confidence",
            type=click.Choice(("low", "medium", "high")),
            default="medium",
            help="Lowest confidence that counts for --fail-on; uncalibrated ranks as medium. Default: medium.",
        ),
        click.option(
            "--fail-on-state",
            multiple=True,
            type=click.Choice(("diverged", "stuck")),
            default=("diverged",),
            help="A state that makes the exit code 1 whatever its cause; repeatable. Default: diverged.",
        ),
        click.option(
            "--fail-on",
            type=click.Choice(("error", "warning", "note", "never")),
            default="error",
            help="Lowest severity that makes the exit code 1. Default: error.",
        ),
    ):
        command = option(command)
    return command

"""A command whose defaults come from a configuration file, and the listing of what is set and where it is set."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from plateau_doctor.config import Config

__all__ = ["Configured", "config_of", "config_options", "settings_say"]

# not for a file to set
UNSET = ("config", "isolated", "show_settings", "write_baseline", "templates", "help")
PATHS = ("rules", "baseline", "html", "output", "resume")
SOURCES = {
    ParameterSource.COMMANDLINE: "command line",
    ParameterSource.ENVIRONMENT: "environment",
    ParameterSource.DEFAULT_MAP: "configuration",
    ParameterSource.DEFAULT: "default",
}
Command = TypeVar("Command", bound=Callable[..., Any])


def config_options(command: Command) -> Command:
    """Give a command --config, --isolated and --show-settings."""
    for option in (
        click.option(
            "--show-settings", is_flag=True, help="Print every setting and where it is set, and end."
        ),
        click.option("--isolated", is_flag=True, help="Look for no configuration file."),
        click.option(
            "--config",
            type=click.Path(exists=True, dir_okay=False),
            metavar="FILE",
            help="Default: plateau-doctor.toml or pyproject.toml, from the working directory upward.",
        ),
    ):
        command = option(command)
    return command


class Configured(click.Command):
    """A command whose options take their defaults from the configuration file, unless it is isolated.

    The command line comes first, then the environment, then the file.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the file before the options are given their values."""
        given, _, _ = self.make_parser(ctx).parse_args(list(args))
        if not given.get("help") and not ctx.resilient_parsing:
            config = self._config(ctx, given)
            ctx.obj = config
            ctx.default_map = {self._names()[key].name or "": value for key, value in config.options.items()}
        return super().parse_args(ctx, args)

    def _config(self, ctx: click.Context, given: dict[str, Any]) -> Config:
        from plateau_doctor.config import Config, find, load

        prefix = ctx.auto_envvar_prefix
        isolated = given.get("isolated") or os.environ.get(f"{prefix}_ISOLATED", "0") not in (
            "",
            "0",
            "false",
        )
        chosen = given.get("config") or os.environ.get(f"{prefix}_CONFIG")
        if isolated and not given.get("config"):
            return Config()
        file = Path(chosen) if chosen else find(Path.cwd())
        if file is None or not file.is_file():
            return Config()  # a --config that is not there is told of by its own type
        known = {key: bool(option.multiple) for key, option in self._names().items()}
        return load(file, known, PATHS)

    def _names(self) -> dict[str, click.Option]:
        """Return the options by the names that a file sets them by."""
        options = [one for one in self.params if isinstance(one, click.Option) and one.name not in UNSET]
        return {max(one.opts, key=len).removeprefix("--"): one for one in options}


def config_of(ctx: click.Context) -> Config:
    """Return what the configuration file of a command set."""
    from plateau_doctor.config import Config

    return ctx.obj if isinstance(ctx.obj, Config) else Config()


def settings_say(ctx: click.Context) -> str:
    """Return every option's value and where it is set, one a line, as a TOML file would have it."""
    import json

    config = config_of(ctx)
    lines = [f"# configuration: {config.file or 'none'}"]
    for option in ctx.command.params:
        if not isinstance(option, click.Option) or option.name is None or option.name in UNSET:
            continue
        value = ctx.params.get(option.name)
        source = ctx.get_parameter_source(option.name)
        said = json.dumps(list(value) if isinstance(value, tuple) else value)
        name = max(option.opts, key=len).removeprefix("--")
        lines.append(f"{name} = {said}  # {SOURCES.get(source or ParameterSource.DEFAULT, 'default')}")
    for one in config.suppressions:
        lines.append(f"# suppressed until {one.expires}: {one.cause} in {one.run}: {one.reason}")
    return "\n".join(lines).replace("= null  #", "= (not set)  #")

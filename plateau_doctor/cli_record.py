"""`plateau-doctor record`: the user's own training, unmodified, with the log that a diagnosis needs."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from plateau_doctor.trials.order import Outcome

__all__ = ["record"]

LOGS = Path("plateau-doctor-logs")


@click.command()
@click.option(
    "--logdir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help=f"Where the log goes. Default: {LOGS}/ and the time.",
)
@click.option(
    "--every",
    type=click.IntRange(1),
    default=50,
    help="Steps between two records of gradients and weights. Default: 50.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True, metavar="-- CMD...")
def record(logdir: Path | None, every: int, command: Sequence[str]) -> int:
    """Run a training unmodified and log what a diagnosis needs, beside its own logs.

    CMD trains with Keras or PyTorch (Lightning and transformers among it): python train.py ... Nothing in the training
    is changed. Exit code: that of CMD.
    """
    from plateau_doctor.trials.recording import record as run

    folder = logdir or _free(LOGS / time.strftime("%Y%m%d-%H%M%S"))
    done = run(command, folder, every)
    for line in _told(done.outcome, folder):
        click.echo(f"plateau-doctor: {line}", err=True)
    return done.code


def _free(folder: Path) -> Path:
    """Return a folder that is not there yet."""
    number, free = 1, folder
    while free.exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free


def _told(outcome: Outcome | None, folder: Path) -> list[str]:
    """Return what is said at the end, a line each."""
    if outcome is None:
        return [
            "nothing was recorded: the command started no Python that reads PYTHONPATH (python -I, -E and -S do not)"
        ]
    problems = list(outcome.problems)
    if outcome.held_on is None:
        looked = ", ".join(outcome.looked_for)
        return [f"nothing was recorded: no training was found; looked for {looked}", *problems]
    if not folder.is_dir():
        return [f"nothing was recorded of {outcome.held_on}, see above", *problems]
    epochs = (
        f" and {outcome.epochs} epochs" if outcome.epochs else ""
    )  # a loop of one's own may not tell them
    said = f"recorded {outcome.steps} steps{epochs} of {outcome.held_on} into {folder}"
    return [*problems, said, f"plateau-doctor analyze {shlex.quote(str(folder))}"]

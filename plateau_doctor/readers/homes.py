"""Which folders may hold logs of one run, by their names alone."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["home_of", "trainer_home_of"]

# folders named for what lies in them, whichever run it is of; no seed, version or setting has one of these names
KINDS_OF_LOG = frozenset(
    "csv csvs csv_log csv_logs tensorboard tensorboard_logs tb tb_log tb_logs tblogs tfevents events lightning_logs "
    "log logs metrics scalars history summary summaries grad grads gradient gradients grad_norm grad_norms "
    "gradient_norms hist hists histogram histograms weights activations".split()
)
_CHECKPOINT = re.compile(r"checkpoint-\d+")
_WRITER = re.compile(r"[A-Z][a-z]{2}\d{2}_\d{2}-\d{2}-\d{2}_.+")  # month, day, time and host


def home_of(folder: Path) -> Path:
    """Return a path without the folders named for a kind of log: `run7`, `run7/csv` and `run7/grads` have one home."""
    kept = [part for part in folder.parts if part.lower() not in KINDS_OF_LOG]
    return folder if len(kept) == len(folder.parts) else Path(*kept)


def trainer_home_of(folder: Path) -> Path:
    """Return the folder that transformers' Trainer was given, of the folders that it makes there; else `home_of`.

    It writes one run to `out/checkpoint-500/trainer_state.json` and to `out/runs/Dec01_16-25-31_host/` alike. By the
    second name alone, which `SummaryWriter` gives to any run, two runs may lie side by side.
    """
    if _CHECKPOINT.fullmatch(folder.name):
        return home_of(folder.parent)
    if folder.parent.name == "runs" and _WRITER.fullmatch(folder.name):
        return home_of(folder.parent.parent)
    return home_of(folder)

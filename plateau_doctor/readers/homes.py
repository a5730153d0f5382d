"""Which folders may hold logs of one run, by their names alone."""

from __future__ import annotations

from pathlib import Path

__all__ = ["home_of"]

# folders named for what lies in them, whichever run it is of; no seed, version or setting has one of these names
KINDS_OF_LOG = frozenset(
    "csv csvs csv_log csv_logs tensorboard tensorboard_logs tb tb_log tb_logs tblogs tfevents events lightning_logs "
    "log logs metrics scalars history summary summaries grad grads gradient gradients grad_norm grad_norms "
    "gradient_norms hist hists histogram histograms weights activations".split()
)


def home_of(folder: Path) -> Path:
    """Return a path without the folders named for a kind of log: `run7`, `run7/csv` and `run7/grads` have one home."""
    kept = [part for part in folder.parts if part.lower() not in KINDS_OF_LOG]
    return folder if len(kept) == len(folder.parts) else Path(*kept)

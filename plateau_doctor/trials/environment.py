"""The environment that a trial's child gets beside the user's own; imports nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path

from plateau_doctor.trials.order import ENVIRONMENT, ORDER, Order

__all__ = ["BOOTSTRAP", "environment", "wrapped"]

BOOTSTRAP = Path(__file__).parent / "bootstrap"

OFFLINE = {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "COMET_OFFLINE": "1",
    "COMET_MODE": "offline",
    "NEPTUNE_MODE": "offline",
    "CLEARML_OFFLINE_MODE": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_MLFLOW_INTEGRATION": "TRUE",
    "SWANLAB_MODE": "offline",
    "MPLBACKEND": "Agg",  # a window would wait for a click
}


def environment(order: Order) -> dict[str, str]:
    """Return what to set in the child's environment; the rest of it stays as it is.

    Trackers and hubs are offline, and theirs go into the folder. Hash seeds are fixed where the user has
    not fixed them, so that an order that comes from a set of texts is the same in both arms.
    """
    folder = Path(order.folder).absolute()
    return {
        **OFFLINE,
        **wrapped(order),
        "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "0"),
        "WANDB_DIR": str(folder / "saved"),
        "COMET_OFFLINE_DIRECTORY": str(folder / "saved"),
        "MLFLOW_TRACKING_URI": (folder / "saved" / "mlruns").as_uri(),
    }


def wrapped(order: Order) -> dict[str, str]:
    """Return what makes every Python of the child find the wrap and its order; nothing else is changed."""
    paths = [str(BOOTSTRAP), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(paths),
        ENVIRONMENT: str(Path(order.folder).absolute() / ORDER),
    }

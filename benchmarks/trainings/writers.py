"""Runs of the corpus as files, written as people write them: a Keras CSV, and TensorBoard events under other names."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plateau_doctor.run import Run

__all__ = ["WRITTEN", "Written"]

ZERO = 1e-12  # exponential buckets hold the exact zeros between minus this and this
KERAS = {
    "train_metric": "accuracy",
    "train_loss": "loss",
    "learning_rate": "lr",
    "val_metric": "val_accuracy",
    "val_loss": "val_loss",
}


@dataclass(frozen=True)
class Names:
    """Tags of one habit: role -> tag, and patterns of a layer's tags, where `{}` is the layer, or the class.

    `epochs`: the epoch is logged too; `session`: the folder that `add_hparams` writes into, by default the time.
    """

    scalars: Mapping[str, str]
    layers: Mapping[str, str]
    histograms: Mapping[str, str]
    recall: str
    epochs: bool = False
    session: str | None = None


PYTORCH = Names(
    {
        "train_loss": "Loss/train",
        "val_loss": "Loss/val",
        "train_metric": "Accuracy/train",
        "val_metric": "Accuracy/val",
        "learning_rate": "lr",
        "grad_norm": "grad_norm",
    },
    {
        "layer_grad_norm": "grad_norm/{}.weight",
        "layer_weight_norm": "weight_norm/{}.weight",
        "layer_update_ratio": "update_ratio/{}.weight",
    },
    {"weight": "weights/{}.weight", "gradient": "gradients/{}.weight", "activation": "activations/{}"},
    "Recall/class_{}",
)
LIGHTNING = Names(
    {
        "train_loss": "train_loss",
        "val_loss": "val_loss",
        "train_metric": "train_acc",
        "val_metric": "val_acc",
        "learning_rate": "lr-SGD",
        "grad_norm": "grad_2.0_norm_total",
    },
    {
        "layer_grad_norm": "grad_2.0_norm/{}.weight",
        "layer_weight_norm": "weight_norm/{}.weight",
        "layer_update_ratio": "update_ratio/{}.weight",
    },
    {"weight": "{}.weight", "gradient": "{}.weight.grad", "activation": "{}.output"},
    "val_recall/{}",
    epochs=True,
)
FASTAI = Names(
    {
        "train_loss": "training_loss",
        "val_loss": "valid_loss",
        "train_metric": "training accuracy",
        "val_metric": "valid accuracy",
        "learning_rate": "learning_rate_group_0",
        "grad_norm": "total_grad_norm",
    },
    {
        "layer_grad_norm": "gradient_norms/{}.weight",
        "layer_weight_norm": "param_norm/{}.weight",
        "layer_update_ratio": "update_ratios/{}.weight",
    },
    {"weight": "params/{}.weight", "gradient": "{}.weight_grad", "activation": "act/{}"},
    "valid_recall/{}",
    session="hparams",
)


@dataclass(frozen=True)
class Written:
    """One way to keep a run in files.

    Attributes:
        name: For the table.
        level, axis: The log that is kept so, see `derived.logged_run`.
        write: Writes a run into a folder that is not there yet.
    """

    name: str
    level: str
    axis: str
    write: Callable[[Run, Path], None]


def keras_csv(run: Run, folder: Path) -> None:
    """Write `training.log.csv` as Keras' CSVLogger does: epochs from 0, one column a log, sorted."""
    columns = {KERAS[role]: rows for role, rows in run.scalars.groupby("role") if role in KERAS}
    folder.mkdir()
    with (folder / "training.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", *sorted(columns)])
        values = [columns[name]["value"].tolist() for name in sorted(columns)]
        writer.writerows([epoch, *map(repr, row)] for epoch, row in enumerate(zip(*values, strict=True)))


def events(names: Names, by_epoch: bool) -> Callable[[Run, Path], None]:
    """Return what writes event files with torch's SummaryWriter; `by_epoch` counts epochs instead of steps."""

    def write(run: Run, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        per_epoch = float((run.scalars["step"] / run.scalars["epoch"]).median())
        with SummaryWriter(str(folder), max_queue=len(run.scalars) + len(run.histograms)) as writer:
            if run.settings:
                writer.add_hparams(dict(run.settings), {}, run_name=names.session)
            for step, tag, value in sorted(_scalars(run, names), key=lambda one: one[0]):
                at = int(np.ceil(step / per_epoch - 1e-9)) if by_epoch else int(step)
                writer.add_scalar(tag, value, at)
            for i, row in enumerate(run.histograms.itertuples()):
                at = int(np.ceil(row.step / per_epoch - 1e-9)) if by_epoch else int(row.step)
                tag = names.histograms[row.kind].format(_layer(row.layer))
                writer.add_histogram_raw(tag, **_buckets(run, i), global_step=at)

    return write


def _scalars(run: Run, names: Names) -> Iterator[tuple[float, str, float]]:
    for one in run.scalars.itertuples():
        if one.role in names.scalars:
            tag = names.scalars[one.role]
        elif one.role == "class_metric":
            tag = names.recall.format(one.tag.rpartition("/")[2])
        else:
            tag = names.layers[one.role].format(_layer(one.tag.partition("/")[2]))
        yield one.step, tag, one.value
    if names.epochs:
        for step, epoch in sorted(
            {(s, e) for s, e in zip(run.scalars["step"], run.scalars["epoch"], strict=True)}
        ):
            yield step, "epoch", float(np.ceil(epoch - 1e-9)) - 1


def _layer(place: str) -> str:
    """Return the name that torch gives the module: `00_layer/kernel` is `layers.0`."""
    return f"layers.{int(place.partition('_')[0])}"


def _buckets(run: Run, i: int) -> dict[str, Any]:
    """Return a histogram as SummaryWriter takes it; the exact zeros get the bucket that its own edges have for them."""
    row = run.histograms.iloc[i]
    left, right, counts = run.bins[row["first_bin"] : row["first_bin"] + row["n_bins"]].T
    zeros = float(np.nan_to_num(row["zeros"])) * row["count"]
    at = np.flatnonzero((left < -ZERO) & (right > ZERO)) if zeros else np.empty(0, int)
    limits, kept = right.tolist(), counts.tolist()
    if len(at):
        k = int(at[0])
        rest, below = max(0.0, kept[k] - zeros), -left[k] / (right[k] - left[k])
        limits[k : k + 1] = [-ZERO, ZERO, limits[k]]
        kept[k : k + 1] = [rest * below, zeros, rest * (1 - below)]
    elif zeros and left[0] >= 0:
        limits[:1], kept[:1] = [ZERO, limits[0]], [zeros, max(0.0, kept[0] - zeros)]
    return {
        "min": row["low"],
        "max": row["high"],
        "num": row["count"],
        "sum": row["mean"] * row["count"],
        "sum_squares": row["norm"] ** 2,
        "bucket_limits": limits,
        "bucket_counts": kept,
    }


WRITTEN = (
    Written("Keras CSV", "rate", "epoch", keras_csv),
    *(
        Written(
            f"{title} names, {'epochs counted' if by_epoch else 'steps counted'}",
            level,
            axis,
            events(names, by_epoch),
        )
        for title, names in (("PyTorch", PYTORCH), ("Lightning", LIGHTNING), ("fastai", FASTAI))
        for level, axis, by_epoch in (
            ("rate", "epoch", True),
            ("rate", "step", False),
            ("rich", "epoch", True),
            ("rich", "step", False),
        )
        if not (names.epochs and by_epoch)
    ),
)

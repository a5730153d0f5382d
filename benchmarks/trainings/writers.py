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

FINE = 64  # places that stand for the values of one even bin
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
            edges = np.array(writer.default_bins)
            for i, row in enumerate(run.histograms.itertuples()):
                at = int(np.ceil(row.step / per_epoch - 1e-9)) if by_epoch else int(row.step)
                tag = names.histograms[row.kind].format(_layer(row.layer))
                writer.add_histogram_raw(tag, **_buckets(run, i, edges), global_step=at)

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


def _buckets(run: Run, i: int, edges: np.ndarray) -> dict[str, Any]:
    """Return a histogram in SummaryWriter's own edges: the exact zeros apart, the others spread evenly over their bin.

    The corpus keeps twenty even bins and the share of zeros; torch's edges grow by a tenth and hold the zeros alone.
    """
    row = run.histograms.iloc[i]
    left, right, counts = run.bins[row["first_bin"] : row["first_bin"] + row["n_bins"]].T.copy()
    zeros = float(np.nan_to_num(row["zeros"])) * row["count"]
    at = np.flatnonzero((left <= 0) & (right >= 0) & (counts >= zeros - 0.5))[-1:]
    counts[at] -= zeros
    places = np.concatenate(
        [
            *(
                low + (high - low) * (np.arange(FINE) + 0.5) / FINE
                for low, high in zip(left, right, strict=True)
            ),
            np.zeros(len(at)),
        ]
    )
    weights = np.append(np.repeat(np.maximum(counts, 0) / FINE, FINE), np.full(len(at), zeros))
    held, _ = np.histogram(places, edges, weights=weights)
    full = np.flatnonzero(held > 0)
    kept = slice(max(0, full[0] - 1), full[-1] + 1)
    return {
        "min": row["low"],
        "max": row["high"],
        "num": row["count"],
        "sum": row["mean"] * row["count"],
        "sum_squares": row["norm"] ** 2,
        "bucket_limits": edges[1:][kept].tolist(),
        "bucket_counts": held[kept].tolist(),
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

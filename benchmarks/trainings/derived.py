"""One training, logged richly once, as the many logs that people keep of it; and the table of facts of them all."""

from __future__ import annotations

import csv
import gzip
import hashlib
import inspect
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from plateau_doctor.facts import Facts, known_facts
from plateau_doctor.run import HISTOGRAM_COLUMNS, SCALAR_COLUMNS, Run
from trainings.tasks import task

__all__ = ["LEVELS", "labels_of", "logged_run", "overfitted", "row_of", "variants", "write_tables"]

LEVELS = ("loss", "val", "accuracy", "rate", "norm", "rich")
AXES = ("epoch", "step", "thinned", "resumed")
WIDE = (("rich", "epoch"), ("rate", "epoch"))  # made of every seed
FIRST = tuple(("rate", axis) for axis in AXES[1:])  # made of the first seed
SOME = 4  # of these are made of the first seed too, taken in turn; all of every third configuration
VARIANTS = (
    *(("rich", axis) for axis in AXES[1:]),
    *((level, axis) for level in ("norm", "accuracy", "val", "loss") for axis in AXES[:2]),
)
GAIN = math.log(1.1)
SOME_GAIN = 0.03
FAR = 3.0  # times the usual clean loss, at which a training without a fault put in counts as gone wrong
FELL_ON, GAP = (
    1.05,
    1.1,
)  # training loss at the best epoch, and validation loss at the end, over training loss then
STUCK, FAR_ON, WIDE_GAP = 0.75, 1.1, 1.2  # best before this share of the run, and both ratios there
KINDS = ("gradient", "weight", "activation")
Logs = Mapping[str, np.ndarray]
Column = tuple[str, str, np.ndarray, np.ndarray, np.ndarray]  # tag, role, steps, epochs, values


def write_tables(folder: Path, into: Path, jobs: int) -> None:
    """Write labels, interventions and facts of all finished units in FOLDER; facts are kept there between calls."""
    into.mkdir(exist_ok=True)
    units = sorted(file.parent for file in folder.glob("*/done"))
    outcomes = [one for unit in units for one in json.loads((unit / "outcomes.json").read_text())]
    marks = {one["name"]: overfitted(folder, one) for one in outcomes}
    _write(into / "labels.csv.gz", _labels_table(outcomes, marks))
    made_by = _fingerprint()
    with ProcessPoolExecutor(jobs) as pool:
        parts = list(pool.map(_unit_rows, [(unit, made_by) for unit in units]))
    _write(
        into / "facts.csv.gz",
        ",".join(["name", "seed", "level", "axis", *known_facts()]) + "\n" + "".join(parts),
    )
    print(f"{len(outcomes)} configurations, {sum(part.count(chr(10)) for part in parts)} logs")


def _write(file: Path, text: str) -> None:
    with gzip.GzipFile(file, "wb", mtime=0) as packed:
        packed.write(text.encode())


def _fingerprint() -> str:
    """Return a mark of the code that facts come from: rows made by other code are made again."""
    package = Path(inspect.getfile(Facts)).parent
    sources = [
        *package.glob("*.py"),
        package.parent / "plateau.py",
        package.parent / "series.py",
        Path(__file__),
    ]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(sources))).hexdigest()[:12]


def _unit_rows(job: tuple[Path, str]) -> str:
    unit, made_by = job
    kept = unit / f"facts-{made_by}.csv"
    if not kept.exists():
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for outcome in json.loads((unit / "outcomes.json").read_text()):
            writer.writerows(_rows_of(unit.parent, outcome))
        kept.write_text(text.getvalue())
    return kept.read_text()


def labels_of(outcome: Mapping[str, Any], marks: str) -> tuple[dict[str, float], set[str]]:
    """Return the causes that a configuration has, with the gain of undoing each as a log-ratio, and the undecided.

    Judged by clean loss; by clean error where that gained and the loss did not get worse. An artifact of the
    log is a label by construction. Undecided is a cause whose undoing gained something, but not clearly, and one
    of two injected together whose undoing alone did not help. `marks` tells of each seed whether it `overfitted`:
    most have to.
    """
    ends = np.array(outcome["ends"], dtype=float)
    arms = [(tuple(causes), ends[i]) for i, causes in enumerate(outcome["arms"], start=1)]
    found: dict[str, float] = {}
    undecided: set[str] = set()
    for causes, undone in arms:
        gain, clear = _gain(ends[0], undone)
        for cause in causes:
            if clear:
                found[cause] = max(gain, found.get(cause, 0.0))
            elif gain > SOME_GAIN or (cause in outcome["injected"] and len(outcome["injected"]) > 1):
                undecided.add(cause)
    if marks.count("1") > len(marks) / 2:
        found["overfitting"] = _gain(ends[0], np.array(outcome["early"], dtype=float))[0]
    elif marks.strip("0~"):
        undecided.add("overfitting")
    if outcome["artifact"]:
        found["logging_artifact"] = math.inf
    return found, undecided - set(found)


def overfitted(folder: Path, outcome: Mapping[str, Any]) -> str:
    """Return a mark for each seed of a configuration: 1 where it overfitted, 0 where not, ? or ~ where it is open.

    It did where stopping at the epoch of the best validation loss would have ended clearly better on clean held-out
    data, the training loss fell on from there, and the validation loss ended above it. All are means over an eighth
    of the epochs: a single epoch is luck. It is open (?) where it gained something, but not clearly, and where held-out
    data is not what was trained on; and a matter of words (~) where the validation loss stood still for a quarter of
    the run, far above a training loss that fell on: stopping early gains nothing there, and many call it overfitting.
    """
    name = outcome["name"]
    with np.load(folder / name.rpartition("-")[0] / f"{name}.npz") as file:
        names = ("loss", "val_loss", "test")
        marks = "".join(_mark(*(file[f"{key}/{seed}"] for key in names)) for seed in range(3))
    return marks.replace("1", "?") if outcome["setup"]["mismatch"] else marks


def _mark(loss: np.ndarray, val_loss: np.ndarray, test: np.ndarray) -> str:
    width = max(3, len(val_loss) // 8)
    test = np.nan_to_num(test, nan=20.0)
    curves = np.stack([
        _epoch_means(loss, len(loss) // len(val_loss)), val_loss,
        np.log(np.clip(test[:, 0], 1e-3, 20)), np.log(test[:, 1] + 0.02),
    ])  # fmt: skip
    means = np.stack([np.convolve(curve, np.full(width, 1 / width), mode="valid") for curve in curves])
    at = int(np.argmin(np.nan_to_num(means[1], nan=np.inf)))
    best, end = means[:, at], means[:, -1]
    wavering = np.std(np.diff(curves[2:]), axis=1) / math.sqrt(
        width
    )  # two standard errors of a difference of means
    gains, bars = end[2:] - best[2:], np.maximum(GAIN, wavering)
    with np.errstate(all="ignore"):
        fell_on, above = best[0] / end[0], end[1] / end[0]  # a comparison with NaN is false
    clear = any(gains[i] > bars[i] and gains[1 - i] > -GAIN for i in range(2))
    if clear and fell_on > FELL_ON and above > GAP:
        return "1"
    if fell_on > 1 and float(gains.max()) > FELL_ON - 1:
        return "?"
    return "~" if at < STUCK * means.shape[1] and fell_on > FAR_ON and above > WIDE_GAP else "0"


def _gain(base: np.ndarray, undone: np.ndarray) -> tuple[float, bool]:
    """Return the mean log-ratio and whether it is clear; ends are (seeds, 2): loss and error."""
    loss = np.log(np.clip(base[:, 0], 1e-3, 20)) - np.log(np.clip(undone[:, 0], 1e-3, 20))
    error = np.log(base[:, 1] + 0.02) - np.log(undone[:, 1] + 0.02)
    for one, other in ((loss, error), (error, loss)):
        bar = max(GAIN, 2 * float(one.std(ddof=1)) / math.sqrt(len(one)))
        if one.mean() > bar and other.mean() > -GAIN:
            return float(one.mean()), True
    return float(max(loss.mean(), error.mean())), False


def _labels_table(outcomes: Sequence[Mapping[str, Any]], marks: Mapping[str, str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    usual = _usual_ends(outcomes)
    writer.writerow(
        [
            "name",
            "task",
            "architecture",
            "injected",
            "severity",
            "labels",
            "undecided",
            "overfitted",
            "undone",
            "loss",
            "error",
        ]
    )
    for one in outcomes:
        ends = np.array(one["ends"], dtype=float)
        arms = ["", *("+".join(causes) for causes in one["arms"])]
        labels, undecided = labels_of(one, marks[one["name"]])
        if not one["injected"] and not labels and _end(one) > FAR * usual[_unit_of(one)]:
            undecided |= {"lr_too_high", "lr_too_low"}  # it went wrong by itself, and nothing tells why
        writer.writerow([
            one["name"], one["setup"]["task"], one["setup"]["architecture"], " ".join(one["injected"]), one["severity"],
            " ".join(f"{cause}:{min(gain, 99):.2f}" for cause, gain in sorted(labels.items())),
                " ".join(sorted(undecided)), marks[one["name"]],
            "|".join(arms),
            "|".join(" ".join(f"{v:.3g}" for v in arm[:, 0]) for arm in ends),
            "|".join(" ".join(f"{v:.3g}" for v in arm[:, 1]) for arm in ends),
        ])  # fmt: skip
    return text.getvalue()


def _usual_ends(outcomes: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    """Return the median clean loss that trainings end with into which nothing was injected, for each unit."""
    ends: dict[tuple[str, str], list[float]] = {}
    for one in outcomes:
        if not one["injected"]:
            ends.setdefault(_unit_of(one), []).append(_end(one))
    return {unit: float(np.median(values)) for unit, values in ends.items()}


def _unit_of(outcome: Mapping[str, Any]) -> tuple[str, str]:
    return outcome["setup"]["task"], outcome["setup"]["architecture"]


def _end(outcome: Mapping[str, Any]) -> float:
    """Return the worst clean loss that a seed of a configuration ended with."""
    return max(loss for loss, _ in outcome["ends"][0])


def _rows_of(folder: Path, outcome: Mapping[str, Any]) -> Iterator[list[object]]:
    for level, axis, seed, run in variants(folder, outcome):
        yield row_of(run, outcome["name"], seed, level, axis)


def row_of(run: Run, name: str, seed: int, level: str, axis: str) -> list[object]:
    """Return the row of a log in the table of facts."""
    facts = Facts(run)
    return [name, seed, level, axis, *(_cell(facts[fact]) for fact in known_facts())]


def _cell(value: object) -> object:
    if value is None or isinstance(value, str):
        return value
    return f"{float(value):.3g}"  # type: ignore[arg-type]


def variants(folder: Path, outcome: Mapping[str, Any]) -> Iterator[tuple[str, str, int, Run]]:
    """Yield level, axis, seed and log of what is made of one configuration."""
    name = outcome["name"]
    with np.load(folder / name.rpartition("-")[0] / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    number = int(name.rpartition("-")[2])
    rest = (
        VARIANTS if number % 3 == 0 else [VARIANTS[(number * SOME + i) % len(VARIANTS)] for i in range(SOME)]
    )
    for seed in range(3):
        logs = {key.split("/")[0]: value for key, value in arrays.items() if key.endswith(f"/{seed}")}
        logs = spoilt(logs, outcome["artifact"], outcome["setup"]["steps_per_epoch"])
        for level, axis in (*WIDE, *((*FIRST, *rest) if seed == 0 else ())):
            yield level, axis, seed, logged_run(name, logs, outcome["setup"], level, axis)


def spoilt(logs: Logs, artifact: str, steps_per_epoch: int) -> dict[str, np.ndarray]:
    """Return the logs with an artifact put in."""
    logs = dict(logs)
    logs["epoch_loss"] = _epoch_means(logs["loss"], steps_per_epoch)
    logs["epoch_accuracy"] = _epoch_means(logs["accuracy"], steps_per_epoch)
    match artifact:
        case "running_mean":
            logs["loss"] = np.cumsum(logs["loss"]) / np.arange(1, len(logs["loss"]) + 1)
            logs["epoch_loss"] = logs["loss"][steps_per_epoch - 1 :: steps_per_epoch]
        case "moving_average_from_0":
            mean, means = 0.0, []
            for value in logs["loss"]:
                mean = 0.99 * mean + 0.01 * float(value)
                means.append(mean)
            logs["loss"] = np.array(means)
            logs["epoch_loss"] = logs["loss"][steps_per_epoch - 1 :: steps_per_epoch]
        case "cached_validation":
            logs["val_loss"] = np.full_like(logs["val_loss"], logs["val_loss"][0])
            logs["val_accuracy"] = np.full_like(logs["val_accuracy"], logs["val_accuracy"][0])
        case "summed_over_batches":
            logs["epoch_loss"] = logs["epoch_loss"] * steps_per_epoch
            within = np.arange(len(logs["loss"])) % steps_per_epoch
            starts = np.cumsum(logs["loss"]) - logs["loss"]
            logs["loss"] = np.cumsum(logs["loss"]) - starts[np.arange(len(within)) - within]
    return logs


def _epoch_means(values: np.ndarray, steps_per_epoch: int) -> np.ndarray:
    return values.reshape(-1, steps_per_epoch).mean(axis=1)


def logged_run(name: str, logs: Logs, setup: Mapping[str, Any], level: str, axis: str) -> Run:
    """Return the run as somebody would have logged it who keeps so much (`level`) and so often (`axis`)."""
    depth, spe = LEVELS.index(level), setup["steps_per_epoch"]
    steps, epochs = np.arange(len(logs["loss"])) + 1.0, np.arange(len(logs["val_loss"])) + 1.0
    ends = epochs * spe
    columns: list[Column] = []

    def add(tag: str, role: str, values: np.ndarray, at: np.ndarray = ends) -> None:
        if np.isfinite(values).any() or "loss" in tag:
            columns.append((tag, role, at, at / spe, values.astype(float)))

    if axis == "step":
        add("train/loss_step", "train_loss", logs["loss"], steps)
    else:
        add("train/loss", "train_loss", logs["epoch_loss"])
    if depth >= LEVELS.index("val"):
        add("validation/loss", "val_loss", logs["val_loss"])
    if depth >= LEVELS.index("accuracy"):
        if axis == "step":
            add("train/accuracy_step", "train_metric", logs["accuracy"], steps)
        else:
            add("train/accuracy", "train_metric", logs["epoch_accuracy"])
        add("validation/accuracy", "val_metric", logs["val_accuracy"])
    if depth >= LEVELS.index("rate"):
        add("learning_rate", "learning_rate", logs["rate"][spe - 1 :: spe])
    if depth >= LEVELS.index("norm"):
        every = slice(0, None, 1 if axis == "step" else spe)
        add("gradient_norm", "grad_norm", logs["grad_norm"][every], steps[every])
    histograms, bins = pd.DataFrame(columns=list(HISTOGRAM_COLUMNS)), np.empty((0, 3))
    settings: dict[str, float | str | bool] = {}
    if level == "rich":
        for i in range(logs["recall"].shape[1]):
            add(f"validation/recall/{i}", "class_metric", logs["recall"][:, i])
        at = logs["record_steps"] + 1.0
        for i in range(logs["layers"].shape[1]):
            place = f"{i:02d}_layer/kernel"
            add(f"gradient_norm/{place}", "layer_grad_norm", logs["layers"][:, i, 0], at)
            add(f"weight_norm/{place}", "layer_weight_norm", logs["layers"][:, i, 1], at)
            add(f"update_ratio/{place}", "layer_update_ratio", logs["layers"][:, i, 2], at)
        histograms, bins = _histograms(logs)
        settings = _settings(setup) | {"parameters": float(logs["bins"][0, 1].sum())}
    return Run(name, name, "corpus", _scalars(columns, axis), _typed(histograms), bins, settings)


def _scalars(columns: Sequence[Column], axis: str) -> pd.DataFrame:
    parts = []
    for tag, role, steps, epochs, values in columns:
        part = {
            "tag": tag,
            "role": role,
            "step": steps,
            "epoch": epochs,
            "wall_time": math.nan,
            "value": values,
        }
        frame = pd.DataFrame({**part, "segment": 0, "live": True})
        if axis == "thinned":
            frame = frame.iloc[::2]
        if axis == "resumed":  # stopped at 60 %, taken up again from a checkpoint at 50 %
            last = steps[-1]
            again = frame[frame["step"] > 0.5 * last].assign(segment=1)
            frame = frame[frame["step"] <= 0.6 * last]
            frame = pd.concat([frame.assign(live=frame["step"] <= 0.5 * last), again])
        parts.append(frame)
    return pd.concat(parts, ignore_index=True).astype(SCALAR_COLUMNS)


def _histograms(logs: Logs) -> tuple[pd.DataFrame, np.ndarray]:
    summaries, counts = logs["summaries"], logs["bins"].astype(float)  # (records, 3, layers, 6 | 20)
    n_bins = counts.shape[-1]
    kept = np.isfinite(summaries[..., 0]) & (counts.sum(-1) > 0)
    low, high = summaries[..., 2], summaries[..., 3]
    edges = low[..., None] + (high - low)[..., None] * np.linspace(0, 1, n_bins + 1)
    bins = np.stack([edges[..., :-1], edges[..., 1:], counts], axis=-1)[kept].reshape(-1, 3)
    record, kind, layer = np.nonzero(kept)
    total = counts.sum(-1)[kept]
    chosen = summaries[kept]
    spread = (chosen[:, 3] - chosen[:, 2]) > 0
    frame = pd.DataFrame({
        "tag": [f"{KINDS[k]}s/{i:02d}_layer" for k, i in zip(kind, layer, strict=True)],
        "layer": [f"{i:02d}_layer" + ("/kernel" if k < 2 else "") for k, i in zip(kind, layer, strict=True)],
        "kind": [KINDS[k] for k in kind],
        "step": logs["record_steps"][record] + 1.0,
        "wall_time": math.nan,
        "count": total,
        "mean": chosen[:, 0], "std": chosen[:, 1], "norm": chosen[:, 5], "low": chosen[:, 2], "high": chosen[:, 3],
        "zeros": chosen[:, 4],
        "edge": np.where(spread, (counts[kept][:, 0] + counts[kept][:, -1]) / total, math.nan),
        "first_bin": np.arange(len(total)) * n_bins, "n_bins": n_bins,
    })  # fmt: skip
    return frame, bins


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[list(HISTOGRAM_COLUMNS)].astype(HISTOGRAM_COLUMNS)


def _settings(setup: Mapping[str, Any]) -> dict[str, float | str | bool]:
    classes = task(setup["task"]).classes
    found: dict[str, float | str | bool] = {
        "optimizer": "sgd" if setup["optimizer"] == "momentum" else setup["optimizer"],
        "learning_rate": setup["lr"],
        "batch_size": float(setup["batch"]),
        "samples": float(setup["samples"]),
        "steps_per_epoch": float(setup["steps_per_epoch"]),
        "weight_decay": setup["weight_decay"],
        "dropout": setup["dropout"],
    }
    if classes:
        found |= {"classes": float(classes), "majority_share": setup["majority"] or 1.08 / classes}
    return found

"""Small examinations made by hand: a stuck run, a healthy one, one that cannot be told, one that went to NaN."""

import math

import numpy as np

from plateau_doctor.diagnosis import Diagnosis, Evidence
from plateau_doctor.examination import Examination, RunExamination
from plateau_doctor.fix import Fix
from plateau_doctor.missing import Missing
from plateau_doctor.plateau import Plateau
from plateau_doctor.run import Problem, Run, histogram_frame, scalar_frame

HOW = "Keras: callbacks=[plateau_doctor.recorders.keras.Recorder(logdir)]"
FIXES = {
    "lower_lr": Fix(
        "lower_lr",
        "Lower the learning rate",
        "Divide the learning rate by ten and train again.",
        "A shorter step no longer jumps over the valley.",
        ("Smith 2017, arXiv:1506.01186",),
        {
            "keras": "model.optimizer.learning_rate = 1e-3  # <was 1e-2>",
            "torch": "for group in optimizer.param_groups:\n    group['lr'] *= 0.1",
        },
        None,
    ),
    "clean_labels": Fix(
        "clean_labels",
        "Clean the labels",
        "Look at the samples with the highest loss.",
        "Why not.",
        (),
        {},
        None,
    ),
}


def rows(role: str, values: np.ndarray, tag: str = "", per_epoch: int = 1) -> list[dict[str, object]]:
    """One scalar a value, `per_epoch` steps to an epoch."""
    return [
        {
            "tag": tag or role,
            "role": role,
            "step": float(i * per_epoch),
            "epoch": float(i),
            "value": float(value),
        }
        for i, value in enumerate(values)
    ]


def curve(n: int, start: float, floor: float, seed: int = 0, noise: float = 0.01) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return floor + (start - floor) * np.exp(-8 * np.arange(n) / n) + noise * rng.standard_normal(n)


def gradients(layers: int = 4, steps: int = 10) -> list[dict[str, object]]:
    return [
        {
            "tag": f"gradients/{layer:02d}_conv",
            "layer": f"{layer:02d}_conv",
            "kind": "gradient",
            "step": float(step * 100),
            "norm": 10.0 ** (layer - layers) / (1 + step),
        }
        for step in range(steps)
        for layer in range(layers)
    ]


def diagnosis(cause: str = "lr_too_high", **changes: object) -> Diagnosis:
    values: dict[str, object] = {
        "cause": cause,
        "family": "learning_rate",
        "says": f"The trouble is {cause}."
        if cause != "lr_too_high"
        else "The learning rate is too high; the loss bounces.",
        "why": "A step longer than about 2 / curvature climbs the far side of the valley.",
        "severity": "error",
        "probability": None,
        "calibrated": False,
        "log_odds": 1.2,
        "evidence": (
            Evidence(
                "the training loss turned around at 62% of its late points, in a band 9.1% of its first level wide",
                "for",
                True,
                math.log(10),
                {"train_loss.zigzag": 0.62, "train_loss.band": 0.091},
            ),
            Evidence(
                "a rate of 0.5 is high for plain gradient descent",
                "for",
                True,
                math.log(3),
                {"rate.peak": 0.5},
            ),
            Evidence(
                "no layer moved by more than 0.2% in a step", "against", True, -2.3, {"rate.update": 0.002}
            ),
            Evidence("one step changed a layer by ?", "for", None, math.log(10), {"rate.update_high": None}),
            Evidence("the loss diverged", "for", False, math.log(3), {"state.name": "plateaued"}),
        ),
        "fixes": ("lower_lr", "clean_labels"),
        "confused_with": ("exploding_gradients", "label_noise"),
        "named": True,
    }
    return Diagnosis(**{**values, **changes})  # type: ignore[arg-type]


def stuck(name: str = "digits/lr_too_high", n: int = 60, **changes: object) -> RunExamination:
    """A run that is stuck from epoch 20 of 60, with accuracy, learning rate and gradient histograms."""
    scalars = scalar_frame(
        [
            *rows("train_loss", curve(n, 2.3, 1.4), "loss", 46),
            *rows("val_loss", curve(n, 2.3, 1.6, 1, 0.03), "val_loss", 46),
            *rows("train_metric", 1 - curve(n, 0.9, 0.45, 2) / 1.1, "accuracy", 46),
            *rows("val_metric", 1 - curve(n, 0.9, 0.5, 3) / 1.1, "val_accuracy", 46),
            *rows("learning_rate", np.full(n, 0.5), "learning_rate", 46),
        ]
    )
    run = Run(
        name,
        f"logs/{name}",
        "csv",
        scalars,
        histogram_frame(gradients()),
        settings={"optimizer": "sgd", "batch_size": 32, "learning_rate": 0.5},
    )
    values: dict[str, object] = {
        "run": run,
        "state": "plateaued",
        "headline": "stuck since epoch 20 (step 920) at loss 1.4: the learning rate is too high",
        "plateaus": (Plateau("train_loss", "loss", 920.0, (n - 1) * 46.0, 20.0, 1.4, -1e-6, 0.01, 0.97),),
        "diagnoses": (
            diagnosis(),
            diagnosis("label_noise", probability=0.64, calibrated=True, fixes=("clean_labels",)),
        ),
        "missing": (
            Missing("size of the updates of each layer", ("lr_too_high", "lr_too_low"), HOW),
            Missing("activation histograms", ("dead_relu",), HOW),
        ),
        "primary": "loss",
    }
    return RunExamination(**{**values, **changes})  # type: ignore[arg-type]


def healthy(name: str = "digits/healthy") -> RunExamination:
    scalars = scalar_frame(
        [
            *rows("train_loss", 3.0 * 0.9 ** np.arange(60), "loss"),
            *rows("val_loss", 3.1 * 0.91 ** np.arange(60)),
        ]
    )
    return RunExamination(
        Run(name, f"logs/{name}", "tensorboard", scalars),
        "improving",
        "still improving at the end (loss 0.00601)",
        checked=(
            "training loss fell by 99% of its first level",
            "12 causes were checked; none has enough signs",
        ),
        primary="loss",
    )


def unknown(
    name: str = "mystery", candidates: tuple[str, ...] = ("label_noise", "dead_relu")
) -> RunExamination:
    """A stuck run that logged nothing but its loss."""
    scalars = scalar_frame(rows("train_loss", curve(40, 2.3, 2.2), "loss"))
    return RunExamination(
        Run(name, f"logs/{name}.csv", "csv", scalars),
        "plateaued",
        "stuck since step 12 at loss 2.2; the log does not tell why",
        (Plateau("train_loss", "loss", 12.0, 39.0, None, 2.2, 0.0, 0.01, 1.0),),
        undetermined=candidates,
        missing=(Missing("learning rate", ("lr_too_low",), "log it each epoch as `learning_rate`"),)
        if candidates
        else (),
        primary="loss",
    )


def exploded(name: str = "diverged/run-3") -> RunExamination:
    """A run whose loss becomes NaN, and whose numbers are not numbers."""
    values = np.r_[np.geomspace(0.01, 1e4, 20), np.full(10, np.nan)]
    evidence = Evidence(
        "the loss is NaN", "for", True, math.inf, {"loss.last": math.nan, "loss.peak": math.inf}
    )
    return RunExamination(
        Run(name, "logs/x", "tensorboard", scalar_frame(rows("train_loss", values, "loss"))),
        "diverged",
        "loss diverged: the gradients explode",
        (Plateau("train_loss", "loss", 2.0, 4.0, math.nan, math.nan, math.inf, math.nan, 0.0),),
        (diagnosis("exploding_gradients", evidence=(evidence,), fixes=()),),
        primary="loss",
    )


def examination(*runs: RunExamination, problems: tuple[Problem, ...] = ()) -> Examination:
    return Examination(tuple(runs), problems, FIXES, "plateau-doctor analyze logs", "0.1.0")


def everything() -> Examination:
    short = RunExamination(
        Run("short", "logs/short.csv", "csv", scalar_frame(rows("train_loss", np.array([2.0, 1.9, 1.8])))),
        "too_short",
        "3 points of loss are too few to judge",
    )
    nothing = RunExamination(
        Run("notes", "logs/notes.csv", "csv", scalar_frame([])), "not_a_training_run", "no loss was logged"
    )
    problem = Problem("logs/broken.tfevents", "half a record", "the file ends within it", 1234, 56)
    return examination(stuck(), healthy(), unknown(), exploded(), short, nothing, problems=(problem,))

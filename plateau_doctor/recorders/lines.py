"""The line that logs what is missing: a recorder of the user's framework, or none in the script at all."""

from __future__ import annotations

from collections.abc import Mapping

from plateau_doctor.run import Run

__all__ = ["EVALUATE", "HELD_OUT", "LINES", "RECORD", "SUPPLIED", "framework_of", "line_for"]

RECORD = "plateau-doctor record -- python train.py"  # no line: it wraps the script, and takes what passes
KERAS = "callbacks=[plateau_doctor.recorders.keras.Recorder(logdir{})]"
KERAS_DATA = KERAS.format(", validation_data=(x_val, y_val), labels=y_train")
LINES: Mapping[str, str] = {
    "keras": KERAS.format(""),
    "torch": "plateau_doctor.recorders.torch.Recorder(model, optimizer, logdir)",
    "lightning": "callbacks=[plateau_doctor.recorders.lightning.Recorder(logdir)]",
    "huggingface": "callbacks=[plateau_doctor.recorders.huggingface.Recorder(logdir)]",
}

EVALUATE = "  # the script must evaluate on held-out data after each epoch"
HELD_OUT = frozenset(
    {"val_loss", "val_metric", "class_metrics"}
)  # needs that no line logs of a script that does not

LAYERS = frozenset(
    "learning_rate optimizer parameters regularization batch_size grad_norm layer_weights weight_histograms "
    "layer_update_ratio layer_gradients gradient_histograms".split()
)
LOSSES = frozenset({"train_loss", "val_loss", "batch_loss"})
SUPPLIED: Mapping[str, frozenset[str]] = {  # line -> the needs that it logs in any script that evaluates
    LINES["keras"]: LAYERS | LOSSES | {"train_metric", "val_metric", "loss_name"},
    KERAS_DATA: frozenset({"activation_histograms", "class_metrics", "samples", "classes", "majority_share"}),
    LINES["torch"]: LAYERS | {"activation_histograms"},
    LINES["lightning"]: LAYERS | LOSSES | {"activation_histograms"},
    LINES["huggingface"]: LAYERS | LOSSES | {"activation_histograms", "samples"},
}
WORDS: Mapping[str, str] = {
    "keras": "keras",
    "tensorflow": "keras",
    "lightning": "lightning",
    "huggingface": "huggingface",
    "transformers": "huggingface",
    "torch": "torch",
}


def line_for(need: str, framework: str | None, evaluates: bool = True) -> str:
    """Return the line that logs a need (a key of `NEEDS`) in a framework; the wrap where it has none, or is unknown.

    Where nothing shows that the script `evaluates`, the line says what it has to do first.
    """
    lines = [LINES.get(framework or "", RECORD), *([KERAS_DATA] if framework == "keras" else [])]
    line = next((line for line in lines if need in SUPPLIED.get(line, ())), RECORD)
    return line if evaluates or need not in HELD_OUT else line + EVALUATE


def framework_of(run: Run, held_on: str = "") -> str | None:
    """Return the framework that a run was likely trained with, a key of `LINES`, None where nothing tells.

    What a trial was `held_on` decides, then a setting `framework`, then the format's name, then a name that only
    Keras' TensorBoard callback gives.
    """
    for text in (held_on, str(run.settings.get("framework", "")), run.format):
        for word, framework in WORDS.items():
            if word in text.lower():
                return framework
    tags = (str(tag).rpartition("/")[2] for tag in run.scalars["tag"].unique())
    return "keras" if "epoch_loss" in tags else None

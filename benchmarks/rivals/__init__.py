"""The log-only tools on PyPI that we measure against: how each is installed and asked, and what its findings mean.

The meanings are generous: a finding stands for every cause of ours that its title, its own list of likely causes or
its advice speaks of, and is right when the training has any of them. A finding about a clock, the memory or the
noise of an evaluation stands for none, and is passed over when the first cause is looked for.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["RIVALS", "Answer", "Rival"]

ASK = Path(__file__).parent / "ask.py"
TOO_FAST = "lr_too_high exploding_gradients"
TOO_LONG = "overfitting small_dataset"
STUCK = "not_training lr_too_low"


@dataclass(frozen=True)
class Answer:
    """What a rival said of one log: its findings as sets of our causes, first to last, and whether it accused."""

    findings: tuple[frozenset[str], ...] = ()
    accused: bool = False
    error: str = ""


@dataclass(frozen=True)
class Rival:
    """A tool on PyPI.

    Attributes:
        name: Its name there.
        version: The release that is asked.
        causes: Finding -> our causes, in one string; one that is not here stands for none.
        quiet: Severities that accuse nobody, as our notes do not.
        axes: The logs that it can read; sk-autod needs as many validation losses as training losses.
    """

    name: str
    version: str
    causes: Mapping[str, str]
    quiet: frozenset[str] = frozenset()
    axes: tuple[str, ...] = ("epoch", "step")

    def installed(self, folder: Path) -> Path:
        """Return the Python of its own environment below a folder; made and installed when it is not there."""
        home = folder / f"{self.name}-{self.version}"
        python = home / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        if not (home / "installed").exists():
            venv.create(home, with_pip=True, clear=True)
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, f"{self.name}=={self.version}"], check=True)
            (home / "installed").touch()
        return python

    def ask(self, python: Path, logs: Sequence[Path]) -> list[Answer]:
        """Return what it says of each log."""
        command = [str(python), str(ASK), self.name.replace("-", "_"), *map(str, logs)]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return [self._answer(told[str(log)]) for log in logs]

    def _answer(self, told: str | list[tuple[str, str]]) -> Answer:
        if isinstance(told, str):
            return Answer(error=told)
        findings = [frozenset(self.causes.get(finding, "").split()) for finding, _ in told]
        loud = any(severity not in self.quiet for _, severity in told)
        return Answer(tuple(causes for causes in findings if causes), loud)


RIVALS = (
    Rival(
        "runmedic",
        "0.1.1",
        {
            "non_finite": f"{TOO_FAST} bad_initialization output_loss_mismatch",
            "divergence": f"{TOO_FAST} noise_floor unshuffled_data",
            "loss_spikes": f"{TOO_FAST} label_noise",
            "grad_spikes": TOO_FAST,
            "no_learning": f"{STUCK} output_loss_mismatch label_noise",
            "overfitting": TOO_LONG,
            "val_below_train": "over_regularized train_eval_mismatch",
            "constant_lr_plateau": "noise_floor",
        },
        frozenset({"info"}),
    ),
    Rival(
        "trainspotter",
        "0.2.6",
        {
            "spikes: Loss spike": TOO_FAST,
            "divergence: Diverged (non-finite values)": f"{TOO_FAST} output_loss_mismatch",
            "divergence: Diverged (sustained growth)": TOO_FAST,
            "plateau: Plateau": f"{STUCK} lr_decayed_too_early",
            "overfitting: Overfitting onset": TOO_LONG,
            "lr_schedule: No LR warmup detected": TOO_FAST,
            "grad_norm: Gradient-norm explosion": TOO_FAST,
            "grad_norm: Gradient clipping likely saturated": TOO_FAST,
        },
        frozenset({"info"}),
    ),
    Rival(
        "trainproof",
        "0.22.0",
        {
            "TP-NAN": TOO_FAST,
            "TP-NAN-GRAD": TOO_FAST,
            "TP-DIVERGE": TOO_FAST,
            "TP-GRAD-SPIKE": TOO_FAST,
            "TP-ZERO-LOSS": "output_loss_mismatch",
            "TP-ZERO-LOSS-ONSET": f"{TOO_FAST} output_loss_mismatch",
            "TP-FLAT": f"{STUCK} label_noise dead_relu",
            "TP-DEAD-RUN": f"{STUCK} label_noise dead_relu",
            "TP-ZERO-GRAD": "not_training vanishing_gradients dead_relu",
            "TP-ZERO-LR": STUCK,
            "TP-ZERO-LR-PARTIAL": "lr_too_low lr_decayed_too_early",
            "TP-OVERFIT": TOO_LONG,
        },
        frozenset({"INFO", "PASS", "NOT-CHECKED"}),
    ),
    Rival(
        "runwise",
        "0.4.0",
        {
            "nan: NaN": TOO_FAST,
            "nan: Inf": TOO_FAST,
            "spike: loss": TOO_FAST,
            "overfit: Overfitting:": TOO_LONG,
            "plateau: Plateau:": f"{STUCK} lr_decayed_too_early noise_floor",
            "gradient: Vanishing": "vanishing_gradients dead_relu not_training",
            "gradient: Gradient": TOO_FAST,
        },
    ),
    Rival(
        "sk-autod",
        "0.1.1",
        {
            "Classic overfitting": TOO_LONG,
            "Missed early stopping": TOO_LONG,
            "Exploding gradient": TOO_FAST,
            "LR too high": "lr_too_high",
            "LR too low": "lr_too_low",
            "Underfitting": "capacity_too_small over_regularized lr_too_low",
            "Dying ReLU proxy": "dead_relu bad_initialization unnormalized_inputs",
            "Noisy training": f"noise_floor {TOO_FAST}",
            "Data leakage": "train_eval_mismatch",
            "Label noise floor": "label_noise class_imbalance",
        },
        frozenset({"INFO"}),
        ("epoch",),
    ),
)

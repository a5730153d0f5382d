"""What a control recorded, read beside a log that does not hold it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from plateau_doctor.examination import load_rules
from plateau_doctor.run import Run, histogram_frame, scalar_frame
from plateau_doctor.trials.suspects import LEAST, suspects_of, with_recorded
from trials.recordings import run

KERNEL = "00_dense/kernel"


def recorded(epochs: int = 12, steps: int = 20) -> Run:
    """A control of the first epochs, counted in updates: curves, norms of layers, histograms, settings."""
    rows: list[dict[str, object]] = []
    for epoch in range(1, epochs + 1):
        at = {"step": float(steps * epoch), "epoch": float(epoch)}
        rows += [
            {**at, "tag": "train/loss", "role": "train_loss", "value": 0.1},
            {**at, "tag": "validation/accuracy", "role": "val_metric", "value": 0.9},
            {**at, "tag": f"gradient_norm/{KERNEL}", "role": "layer_grad_norm", "value": 0.5},
        ]
    held = {"tag": f"gradients/{KERNEL}", "layer": KERNEL, "kind": "gradient", "n_bins": 1}
    drawn = histogram_frame([{**held, "step": 20.0, "first_bin": 0}, {**held, "step": 240.0, "first_bin": 1}])
    bins = np.array([[-1.0, 1.0, 8.0], [-2.0, 2.0, 9.0]])
    return Run("seed-0", "trial", "tensorboard", scalar_frame(rows), drawn, bins, {"samples": 640.0})


def test_curves_stay_the_log_s_own_and_the_rest_is_taken_in() -> None:
    log = run(1.8)
    joined = with_recorded(log, recorded())
    assert set(joined.scalars["tag"]) == {"loss", "val_loss", f"gradient_norm/{KERNEL}"}
    own = joined.scalars[joined.scalars["tag"].isin(["loss", "val_loss"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, log.scalars)
    assert list(joined.histograms["tag"]) == [f"gradients/{KERNEL}"] * 2
    assert joined.bins[joined.histograms["first_bin"]].tolist() == recorded().bins.tolist()
    assert joined.settings["samples"] == 640.0
    assert "a control arm recorded" in joined.reasons["joined"]


def test_steps_are_counted_as_the_log_counts_them() -> None:
    """Twelve of 60 epochs are a fifth of the run, whose steps are its epochs 0 to 59."""
    joined = with_recorded(run(1.8), recorded())
    norms = joined.scalars[joined.scalars["role"] == "layer_grad_norm"]
    assert norms["step"].max() == pytest.approx(12)
    assert joined.histograms["step"].tolist() == pytest.approx([1.0, 12.0])
    by_step = run(1.8)
    by_step.scalars["step"] *= 20
    assert with_recorded(by_step, recorded()).histograms["step"].max() == pytest.approx(12 * 20, rel=0.02)


def test_what_the_log_holds_itself_is_not_taken_from_the_control() -> None:
    log = run(1.8)
    own = scalar_frame([{"tag": "grad", "role": "layer_grad_norm", "step": 1.0, "value": 3.0}])
    rich = replace(
        log,
        scalars=pd.concat([log.scalars, own], ignore_index=True),
        histograms=histogram_frame(
            [{"tag": "mine", "layer": "l", "kind": "gradient", "step": 1.0, "n_bins": 1}]
        ),
        bins=np.array([[0.0, 1.0, 1.0]]),
        settings={"samples": 7.0},
    )
    joined = with_recorded(rich, recorded())
    assert set(joined.scalars["tag"]) == {"loss", "val_loss", "grad"}
    assert list(joined.histograms["tag"]) == ["mine"]
    assert joined.settings["samples"] == 7.0


def test_suspects_are_what_is_named_and_what_is_likely() -> None:
    found = suspects_of(run(1.8), load_rules())
    assert found
    assert all(one.named or (one.probability or 0) >= LEAST for one in found)
    assert all(one.fixes for one in found)

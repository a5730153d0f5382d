"""Runs as a script would log them: stuck ones, better ones, with a seed's own noise."""

import math

import numpy as np

from plateau_doctor.run import Run, scalar_frame


def run(floor: float, seed: int = 0, n: int = 60, noise: float = 0.01, held_out: bool = True) -> Run:
    """A loss that falls to its floor within a fifth of 60 epochs."""
    rng = np.random.default_rng(seed)
    levels = [floor + (2.4 - floor) * math.exp(-i / 3) for i in range(n)]
    rows: list[dict[str, object]] = []
    for i, level in enumerate(levels):
        point = {"step": float(i), "epoch": float(i), "wall_time": 1000.0 + 2 * i}
        rows.append(
            {**point, "tag": "loss", "role": "train_loss", "value": level + noise * rng.standard_normal()}
        )
        if held_out:
            value = 1.05 * level + noise * rng.standard_normal()
            rows.append({**point, "tag": "val_loss", "role": "val_loss", "value": value})
    return Run("night", "logs/night", "csv", scalar_frame(rows))

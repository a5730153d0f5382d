"""Draws small images of strokes: every class is three strokes, every image draws them a little differently."""

from __future__ import annotations

import numpy as np

__all__ = ["draw"]

SIDE = 12  # pixels
POINTS = np.linspace(0, 1, 12)


def draw(
    classes: range, samples: int, seed: int, wobble: float = 0.1, noise: float = 0.15
) -> tuple[np.ndarray, np.ndarray]:
    """Return images of shape (samples, 12, 12, 1), mostly in 0..1, and their labels from 0.

    Args:
        classes: Which classes; the same number is always the same three strokes.
        samples: Number of images.
        seed: Of the drawing.
        wobble: Deviation of the ends of the strokes, as a share of the side.
        noise: Deviation of the pixels.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(classes), samples)
    # what a class looks like is no matter of chance: a RandomState keeps its seed when a trial offsets the others
    ends = np.stack([np.random.RandomState(1000 + c).uniform(0.1, 0.9, (3, 2, 2)) for c in classes])
    strokes = ends[labels] + wobble * rng.normal(size=(samples, 3, 2, 2))
    path = strokes[:, :, 0, None] + POINTS[:, None] * (strokes[:, :, 1, None] - strokes[:, :, 0, None])
    grid = (np.arange(SIDE) + 0.5) / SIDE
    near = np.exp(-(((grid - path.reshape(samples, -1, 2)[..., None]) * SIDE / 1.2) ** 2))
    images = np.max(near[:, :, 0, :, None] * near[:, :, 1, None, :], axis=1)
    images = images + noise * rng.normal(size=images.shape)
    return images[..., None].astype("float32"), labels

"""Fixes as data: reads `rules/fixes/*.toml` into Fixes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Change", "Fix"]


@dataclass(frozen=True)
class Change:
    """What a fix turns, typed, so that a trial can apply it. None means: leave as it is."""

    learning_rate_scale: float | None = None
    schedule: str | None = None
    optimizer: str | None = None
    clip_norm: float | None = None
    batch_size_scale: float | None = None
    weight_decay: float | None = None
    weight_decay_scale: float | None = None
    dropout: float | None = None
    dropout_scale: float | None = None
    batch_normalization: bool | None = None
    skip_connections: bool | None = None
    activation: str | None = None
    initializer: str | None = None
    width_scale: float | None = None
    class_weights: str | None = None
    label_smoothing: float | None = None
    normalize_inputs: bool | None = None
    shuffle: bool | None = None
    augmentation: tuple[str, ...] | None = None
    backbone: str | None = None
    unfreeze_last: int | None = None
    early_stopping_patience: int | None = None


@dataclass(frozen=True)
class Fix:
    """Something to change: advice for a person, code per framework, and the typed Change for a trial."""

    id: str
    title: str
    advice: str
    why: str
    references: tuple[str, ...]
    snippets: Mapping[str, str]  # framework ("keras", "torch") -> code
    change: Change | None

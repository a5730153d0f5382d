"""Trials: how one arm, control or treated, of the user's own script is trained."""

from __future__ import annotations

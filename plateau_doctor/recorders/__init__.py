"""Recorders: log what a diagnosis needs, into ordinary TensorBoard event files."""

from __future__ import annotations

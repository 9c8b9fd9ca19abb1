"""What goes wrong in training and evaluation, with its place in the message."""

from __future__ import annotations


class TrainingError(ValueError):
    """Data, recipe or checkpoint that cannot be used."""

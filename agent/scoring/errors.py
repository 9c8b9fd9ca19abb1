"""Why nothing can be scored, in words for whoever tries."""

from __future__ import annotations


class ScoringError(ValueError):
    """A protocol, bank, reference or fault that cannot be used."""

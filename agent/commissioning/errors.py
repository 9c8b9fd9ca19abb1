"""Why a line cannot be commissioned, in words for whoever tries."""

from __future__ import annotations


class CommissioningError(ValueError):
    """Samples, source or file that cannot be used."""

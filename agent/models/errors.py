"""The one exception of this folder."""

from __future__ import annotations


class ModelError(Exception):
    """A model that cannot be used; the message names the file, the key and what was expected."""

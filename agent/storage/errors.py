"""What can be wrong with the database before anything starts."""

from __future__ import annotations


class StorageError(Exception):
    """The state directory cannot serve this agent; the text names it and says what to do."""

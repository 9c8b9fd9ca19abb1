"""What can be wrong with the database before anything starts."""

from __future__ import annotations


class StorageError(Exception):
    """The state directory cannot serve this agent; the text names it and says what to do."""


class StateDirError(StorageError):
    """The configuration names a folder that will never serve: its locks, or a later version."""

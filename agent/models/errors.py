"""The one exception of this folder."""

from __future__ import annotations


class ModelError(Exception):
    """A model that cannot be used; the message names the file, the key and what was expected."""


def first_line(error: BaseException) -> str:
    """The first line of what an error says, which may be nothing."""
    return str(error).strip().partition("\n")[0]

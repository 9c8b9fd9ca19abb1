"""Which of the names that there are somebody meant who wrote another one."""

from __future__ import annotations

import difflib
from collections.abc import Collection

LIKE = 0.6
"""Least likeness (``difflib``) of a name that is offered for another."""


def nearest(name: str, known: Collection[str]) -> str:
    """The name most like ``name``, whatever its case; empty where none is like it.

    >>> nearest("Goldn", ("golden", "blush"))
    'golden'
    """
    by_fold = {one.casefold(): one for one in known}
    found = difflib.get_close_matches(name.casefold(), by_fold, 1, LIKE)
    return by_fold[found[0]] if found else ""


def unknown(what: str, name: str, known: Collection[str]) -> str:
    """Says that there is no such thing, what may have been meant, and what there is."""
    near = nearest(name, known)
    hint = f"; did you mean {near}" if near else ""
    return f"unknown {what} {name!r}{hint}; there are {', '.join(known)}"

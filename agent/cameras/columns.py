"""Lines of a table for a terminal or a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows of equal length as lines, columns under each other.

    >>> columns([("lost", "0"), ("picture", "64 x 64")])
    ['lost     0', 'picture  64 x 64']
    """
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()

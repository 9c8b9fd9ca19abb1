"""Which tests the README's test command leaves to the command of the long ones."""

from __future__ import annotations

from pathlib import Path

import pytest

LONG = "long"
"""What follows ``-m`` in the command of the long tests; the other says ``not long``."""

MARK = "pytest.mark.long"
"""The one spelling: a file without it is known to have no long test before it is imported."""


def left_out(path: Path, expression: str) -> bool:
    """Whether ``pytest -m expression`` need not import a file: no test in it is long."""
    return (
        expression == LONG
        and path.suffix == ".py"
        and path.name.startswith("test_")
        and MARK not in path.read_text(encoding="utf-8")
    )


def refuse_what_both_leave_out(item: pytest.Item) -> None:
    """A long test in a file that the long command passes over would be run by neither."""
    if item.get_closest_marker(LONG) and left_out(item.path, LONG):
        raise pytest.UsageError(f"{item.nodeid} is a long test, but its file has no {MARK}")

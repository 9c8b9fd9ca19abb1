"""Tables that are printed row by row, so that a run that ends early has said what it knows."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Cells = Sequence[str]


class DisagreementError(Exception):
    """Two sides that should give the same numbers do not: their times mean nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """``run`` measures and gives the cells after the name."""

    name: str
    run: Callable[[], Cells]


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    columns: Cells
    rows: Sequence[Row]


def run_tables(
    tables: Sequence[Table],
    say: Callable[[str], None],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Say every table line by line; the number of rows that failed.

    A row that raises is said to have failed, and the rest goes on. Past ``seconds`` no further row
    is begun: those are named as not run, and count as failed.
    """
    failed, started = 0, clock()
    for table in tables:
        for line in ("", f"{table.title}:", "", _line(table.columns)):
            say(line)
        say(_line(["---"] * len(table.columns)))
        for row in table.rows:
            gc.collect()
            if clock() - started > seconds:
                cells: Cells = ["not run: the time was up"]
            else:
                cells = _run(row)
            failed += len(cells) == 1
            blank = [""] * (len(table.columns) - 1 - len(cells))
            say(_line([row.name, *cells, *blank]))
    return failed


def _run(row: Row) -> Cells:
    try:
        return row.run()
    except Exception as error:  # noqa: BLE001 - a peer's code may raise anything; the rest goes on
        first = str(error).strip().partition("\n")[0].replace("|", "/")
        return [f"failed: {type(error).__name__}: {first}"]


def _line(cells: Cells) -> str:
    return f"| {' | '.join(cells)} |"

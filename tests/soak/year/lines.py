"""Whether what an agent holds stays level over its cycles: the rule of the proof of leaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from tests.soak.leaks import ERRORS, NOISE_MIB, WARM, _line
from tests.soak.year.book import Entry, Reading

LEAST = 20
"""Cycles of one life, without which no line is fitted."""
NOISE: dict[str, float] = {
    "memory_mib": NOISE_MIB,
    "descriptors": 1.0,
    "threads": 1.0,
    "segments": 1.0,
    "children": 1.0,
    "database_kib": 1024.0,
}
"""Growth over a life that nobody could tell from coming and going. The database's pages are given
back within its caps: what a busier day leaves is no growth."""
LOG_TIMES = 2.0
"""The log of the later half of a life against that of the earlier half, per cycle."""


@dataclass(frozen=True, slots=True)
class Line:
    """One quantity of one life: how many cycles, at its beginning and end, and the growth of a
    fitted line with its standard error."""

    life: str
    name: str
    cycles: int
    first: float
    last: float
    growth: float
    error: float

    @property
    def level(self) -> bool:
        """Whether it does not grow."""
        return self.growth <= max(NOISE[self.name], ERRORS * self.error)


def lives(entries: Sequence[Entry]) -> Iterator[tuple[str, list[Reading]]]:
    """Yield each process and what it held, without its first cycles, which fill the caches."""
    for life, group in groupby(entries, key=lambda one: one.reading.life):
        readings = [one.reading for one in group]
        kept = readings[len(readings) // WARM :]
        if len(kept) >= LEAST:
            yield life, kept


def lines(entries: Sequence[Entry]) -> list[Line]:
    """Fit them, of every life that is long enough."""
    found = []
    for life, kept in lives(entries):
        for name in NOISE:
            values = np.array([float(getattr(one, name)) for one in kept])
            growth, error = _line(values)
            found.append(Line(life, name, len(kept), values[0], values[-1], growth, error))
    return found


def log_grows(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield the lives whose log grows faster as they grow older."""
    for life, kept in lives(entries):
        written = np.diff([one.log_bytes for one in kept])
        early, late = np.array_split(np.maximum(written, 0), 2)
        if late.mean() > LOG_TIMES * max(early.mean(), 1.0):
            yield f"{life}: {early.mean():.0f} bytes of log a cycle, then {late.mean():.0f}"

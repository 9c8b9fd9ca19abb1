"""Which files of a watched folder are complete, in the order in which they came. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

SETTLE_S = 0.2
"""A file that has not changed for so long is tried: its writer has probably closed it."""
GIVE_UP_S = 10.0
"""One that then cannot be decoded may be on a slow way here: it is unreadable only after this."""
LOOK_GAP_S = 1.0
"""What came while nobody looked for longer (many pictures were being read) came at its own time."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes when a file does: its size, and the times of its content and of its entry."""

    size: int
    mtime_ns: int
    ctime_ns: int

    @property
    def placed(self) -> bool:
        """Whether the last that happened was no write: a rename into place, times set by a copy."""
        return self.ctime_ns > self.mtime_ns


@dataclass(slots=True)
class _Candidate:
    stamp: Stamp
    since: float
    backlog: bool
    tried: bool = False


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file to be tried. ``since``: when it was last seen to change; of a file that lay there at
    the first look, or at one after a gap (``backlog``), only its own time tells. ``last``: it has
    had its time."""

    name: str
    stamp: Stamp
    since: float
    backlog: bool
    last: bool


class Arrivals:
    """Fed with every look at the folder and the time of it."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Candidate] = {}
        self._looked_mono = -math.inf

    @property
    def names(self) -> Collection[str]:
        """The files that are there and have not been read."""
        return self._waiting.keys()

    def look(self, found: Mapping[str, Stamp], now: float) -> list[Arrival]:
        """Take the unread files of the folder; return those to be tried, in order of arrival.

        A file that was not whole is returned again when it has changed, and when its time is over.
        """
        for name in self._waiting.keys() - found.keys():
            del self._waiting[name]
        backlog = now - self._looked_mono > LOOK_GAP_S
        for name, stamp in found.items():
            known = self._waiting.get(name)
            if known is None or known.stamp != stamp:
                self._waiting[name] = _Candidate(stamp, now, backlog)
        self._looked_mono = now
        due = [
            Arrival(name, each.stamp, each.since, each.backlog, last=now - each.since >= GIVE_UP_S)
            for name, each in self._waiting.items()
            if self._is_due(each, now)
        ]
        for arrival in due:
            self._waiting[arrival.name].tried = True
        return sorted(due, key=lambda each: (each.stamp.ctime_ns, each.name))

    def _is_due(self, each: _Candidate, now: float) -> bool:
        waited_s = now - each.since
        if each.tried:
            return waited_s >= GIVE_UP_S
        return each.stamp.placed or waited_s >= SETTLE_S

    def done(self, name: str) -> None:
        """The file was read, or given up."""
        self._waiting.pop(name, None)

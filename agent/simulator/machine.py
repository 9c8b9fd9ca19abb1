"""The timeline of a pitting machine: which cup comes when, and what lies in it. Pure.

Cups come in rows: one cup per lane, all at the same moment. The machine's rate is its total over
the lanes, so a row comes every ``60 * lanes / rate`` seconds. The belt may stop: between two rows
of triggered pictures nothing happens then, and a free-running camera sees the same fruit stand.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from agent.records import MachineState

SEEDS_PER_RUN = 10**8
"""Fruit seeds of one run: ``seed * SEEDS_PER_RUN`` upward, so that runs share no fruit."""
STOP_SHORTEST_S = 0.5


class Content(enum.StrEnum):
    FRUIT = "fruit"
    EMPTY = "empty"
    DOUBLE = "double"  # two fruit in one cup: nothing that could be cut


@dataclass(frozen=True, slots=True)
class MachineSettings:
    """``rate_per_min`` cups over all lanes; ``empty`` and ``doubles`` shares of the cups;
    ``stops_per_h`` belt stops of ``stop_s`` on average; ``lot_rows`` rows to a lot (0: one lot);
    ``varieties`` taken in turn, one a lot; none: every fruit may be of any variety."""

    rate_per_min: float = 280.0
    lanes: int = 1
    seed: int = 0
    empty: float = 0.03
    doubles: float = 0.0
    stops_per_h: float = 0.0
    stop_s: float = 8.0
    lot_rows: int = 0
    varieties: tuple[str, ...] = ()

    @property
    def row_period_s(self) -> float:
        return 60.0 * self.lanes / self.rate_per_min


@dataclass(frozen=True, slots=True)
class Cup:
    """One cup of one lane. ``seed`` is the fruit's (or the cup's) own."""

    lane: int
    content: Content
    seed: int


@dataclass(frozen=True, slots=True)
class Row:
    """The cups that pass together. ``due_s`` is when the row lies under the camera, in seconds from
    the start; ``state`` what the machine says at that moment (STOPPED: the belt halts on this row
    and stands for ``halt_s``)."""

    index: int
    due_s: float
    state: MachineState
    halt_s: float
    lot: int
    variety: str | None
    cups: tuple[Cup, ...]


class Timeline:
    """Rows in their order; deterministic by the settings' seed."""

    def __init__(self, settings: MachineSettings) -> None:
        self._settings = settings
        self._next = 0
        self._due_s = 0.0

    def next_row(self) -> Row:
        """The next row."""
        s = self._settings
        index = self._next
        rng = np.random.default_rng([s.seed, 3, index])
        cups = tuple(self._cup(rng, index, lane) for lane in range(s.lanes))
        lot = index // s.lot_rows if s.lot_rows else 0
        state, halt_s = self._halt(rng, index)
        variety = s.varieties[lot % len(s.varieties)] if s.varieties else None
        row = Row(index, self._due_s, state, halt_s, lot, variety, cups)
        self._next += 1
        self._due_s += s.row_period_s + halt_s
        return row

    def _cup(self, rng: np.random.Generator, index: int, lane: int) -> Cup:
        s = self._settings
        draw = rng.random()
        if draw < s.empty:
            content = Content.EMPTY
        elif draw < s.empty + s.doubles:
            content = Content.DOUBLE
        else:
            content = Content.FRUIT
        return Cup(lane, content, s.seed * SEEDS_PER_RUN + index * s.lanes + lane)

    def _halt(self, rng: np.random.Generator, index: int) -> tuple[MachineState, float]:
        s = self._settings
        if s.lot_rows and len(s.varieties) > 1 and (index + 1) % s.lot_rows == 0:
            return MachineState.CHANGE_OVER, s.stop_s
        if rng.random() < s.stops_per_h * s.row_period_s / 3600.0:
            return MachineState.STOPPED, STOP_SHORTEST_S + float(rng.exponential(s.stop_s))
        return MachineState.RUNNING, 0.0


class Belt:
    """Where the belt is at any time, for a free-running camera: pure; time must not go back."""

    def __init__(self, timeline: Timeline, row_period_s: float) -> None:
        self._timeline = timeline
        self._period_s = row_period_s
        first = timeline.next_row()
        self._rows = [first, timeline.next_row()]

    def at(self, t_s: float) -> tuple[Row, Row, float, MachineState]:
        """The last row that reached the camera's centre, the one after it, how far (0..1, in
        distances between rows) the first has moved on, and what the machine says."""
        while t_s >= self._rows[1].due_s:
            self._rows = [self._rows[1], self._timeline.next_row()]
        row, following = self._rows
        since = t_s - row.due_s
        if since < row.halt_s:
            return row, following, 0.0, row.state
        progress = (since - row.halt_s) / self._period_s
        return row, following, min(1.0, max(0.0, progress)), MachineState.RUNNING

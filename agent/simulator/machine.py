"""The timeline of a pitting machine: which cup comes when, and what lies in it. Pure.

Cups come in rows: one cup per lane, all at the same moment. The machine's rate is its total over
the lanes, so a row comes every ``60 * lanes / rate`` seconds. The belt may stop: between two rows
of triggered pictures nothing happens then, and a free-running camera sees the same fruit stand.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterator
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


def rows(settings: MachineSettings) -> Iterator[Row]:
    """Rows in their order, without end; deterministic by the settings' seed."""
    due_s = 0.0
    for index in itertools.count():
        rng = np.random.default_rng([settings.seed, 3, index])
        cups = tuple(_cup(settings, rng, index, lane) for lane in range(settings.lanes))
        lot = index // settings.lot_rows if settings.lot_rows else 0
        state, halt_s = _halt(settings, rng, index)
        varieties = settings.varieties
        variety = varieties[lot % len(varieties)] if varieties else None
        yield Row(index, due_s, state, halt_s, lot, variety, cups)
        due_s += settings.row_period_s + halt_s


def _cup(settings: MachineSettings, rng: np.random.Generator, index: int, lane: int) -> Cup:
    draw = rng.random()
    if draw < settings.empty:
        content = Content.EMPTY
    elif draw < settings.empty + settings.doubles:
        content = Content.DOUBLE
    else:
        content = Content.FRUIT
    return Cup(lane, content, settings.seed * SEEDS_PER_RUN + index * settings.lanes + lane)


def _halt(
    settings: MachineSettings, rng: np.random.Generator, index: int
) -> tuple[MachineState, float]:
    s = settings
    if s.lot_rows and len(s.varieties) > 1 and (index + 1) % s.lot_rows == 0:
        return MachineState.CHANGE_OVER, s.stop_s
    if rng.random() < s.stops_per_h * s.row_period_s / 3600.0:
        return MachineState.STOPPED, STOP_SHORTEST_S + float(rng.exponential(s.stop_s))
    return MachineState.RUNNING, 0.0


class Belt:
    """Where the belt is at any time, for a free-running camera: pure; time must not go back."""

    def __init__(self, settings: MachineSettings) -> None:
        self._coming = rows(settings)
        self._period_s = settings.row_period_s
        self._near = next(self._coming), next(self._coming)

    def at(self, t_s: float) -> tuple[Row, Row, float, MachineState]:
        """The last row that reached the camera's centre, the one after it, how far (0..1, in
        distances between rows) the first has moved on, and what the machine says."""
        while t_s >= self._near[1].due_s:
            self._near = self._near[1], next(self._coming)
        row, following = self._near
        since = t_s - row.due_s
        if since < row.halt_s:
            return row, following, 0.0, row.state
        progress = (since - row.halt_s) / self._period_s
        return row, following, min(1.0, max(0.0, progress)), MachineState.RUNNING

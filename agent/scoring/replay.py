"""Recordings played through the real watch and alarm manager in virtual time. Pure.

What a recording does not hold is what the alarms do to the sampler: a line that is followed up gets
more explanations than the replay has, so delays here are those without that help.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from agent import config
from agent.alarms.catalogue import BY_CAUSE, Cause, definition_of
from agent.alarms.charts.reference import Reference
from agent.alarms.lifecycle.lifecycle import Event
from agent.alarms.lifecycle.manager import AlarmManager
from agent.alarms.watch import Watch
from agent.records import Explanation, JobFailure, MachineInfo, MachineState, NoReadReason
from agent.scoring.planting import CAMERA
from agent.scoring.rebuilt import explanation_of, reading_of, utc_ms
from agent.scoring.recording import Recording

TICK_S = 1.0


@dataclass(frozen=True, slots=True)
class Piece:
    """The readings of ``start_s`` to ``end_s`` of a recording, with their explanations."""

    recording: Recording
    start_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s

    def fruit(self) -> range:
        """Which readings."""
        first, last = np.searchsorted(self.recording.mono, (self.start_s, self.end_s))
        return range(int(first), int(last))

    def explanations(self) -> range:
        """Which explanations: those of these readings."""
        fruit = self.fruit()
        first, last = np.searchsorted(self.recording.fruit, (fruit.start, fruit.stop))
        return range(int(first), int(last))


@dataclass(frozen=True, slots=True)
class Raised:
    """One alarm that was raised; ``told``: somebody was called, nothing suppressed it."""

    mono: float
    cause: Cause
    told: bool
    fruit: int


def whole(recording: Recording) -> Piece:
    """All of it."""
    return Piece(recording, 0.0, recording.seconds)


class LineReplay:
    """One lane of one agent, from pieces of recordings; ``now`` is its clock, ``fruit`` how many
    have passed, ``raised`` what was raised so far."""

    def __init__(self, settings: config.Alarms, references: Mapping[str, Reference]) -> None:
        self._watch = Watch(settings, [CAMERA], references)
        self._manager = AlarmManager(settings, source=CAMERA, session="replay")
        self.now = 0.0
        self.fruit = 0
        self.raised: list[Raised] = []
        self._next_tick = 0.0

    def play(self, piece: Piece) -> None:
        """Let the piece pass; the clock moves on by its length."""
        begin, end = self.now, self.now + piece.seconds
        for at, news in self._events(piece, begin - piece.start_s, end):
            self._tick_until(at)
            if isinstance(news, int):
                self._read(piece.recording, news, begin - piece.start_s)
            elif isinstance(news, JobFailure):
                self._watch.on_failure(news)
            else:
                self._watch.on_explanation(news)
        self._tick_until(end)
        self.now = end

    def change_over(self, variety: str, seconds: float) -> None:
        """The machine stands for so long, and goes on with this variety."""
        self._say(MachineState.CHANGE_OVER, None)
        self.now += seconds
        self._tick_until(self.now)
        self._say(MachineState.RUNNING, variety)

    def first(self, since: float, causes: Collection[Cause] | None = None) -> list[Raised]:
        """What was raised at the first moment after ``since``: alarms that somebody was told of;
        with ``causes``, those of them whether told or not. None: empty."""
        after = [
            one
            for one in self.raised
            if one.mono > since and (one.told if causes is None else one.cause in causes)
        ]
        return [one for one in after if one.mono == after[0].mono]

    def _events(
        self, piece: Piece, shift: float, end: float
    ) -> Iterator[tuple[float, int | Explanation | JobFailure]]:
        made = piece.recording
        fruit = [(float(made.mono[i]) + shift, 0, i) for i in piece.fruit()]
        known = [(min(float(made.done[j]) + shift, end), 1, j) for j in piece.explanations()]
        for at, explained, index in sorted(fruit + known):
            yield at, explanation_of(made, index, shift) if explained else index

    def _read(self, recording: Recording, index: int, shift: float) -> None:
        reading, values = reading_of(recording, index, shift)
        self._watch.on_fruit(reading, values)
        self.fruit += reading.segmentation.reading.reason is not NoReadReason.EMPTY

    def _say(self, state: MachineState, variety: str | None) -> None:
        self._watch.on_machine(
            MachineInfo(state, variety=variety, received_utc_ms=utc_ms(self.now))
        )

    def _tick_until(self, now: float) -> None:
        while self._next_tick <= now:
            at, stamp_ms = self._next_tick, utc_ms(self._next_tick)
            records = [
                record
                for condition in self._watch.tick(at)
                for record in self._manager.update(condition, at, stamp_ms)
            ]
            records += self._manager.tick(at, stamp_ms)
            self.raised += [
                Raised(at, definition_of(one).cause, not one.suppressed, self.fruit)
                for one in records
                # its beginning, suppressed or not: not the end of a suppression that hid it
                if one.transition == Event.RAISE.value and one.active_since_ms == stamp_ms
            ]
            self._next_tick += TICK_S


def most_severe(raised: list[Raised]) -> Cause:
    """The one at the top of an operator's list: highest severity, then the catalogue's order."""
    order = list(BY_CAUSE)
    return min(
        (one.cause for one in raised),
        key=lambda cause: (-BY_CAUSE[cause].severity, order.index(cause)),
    )

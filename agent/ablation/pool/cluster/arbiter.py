"""Who goes next where workers of several agents share a GPU, or the processors of a machine.

A worker there asks for its turn before each job. The class of the job decides (an alarm's goes
before a periodic one), then which agent was served longest ago: one that floods waits behind its
own jobs. A job that runs is not interrupted.

The arbiter is an actor of the driver that needed it first and ends with it. It is an improvement,
not a condition: a driver that gets no word from it goes on without, and the next question makes
another one. A new arbiter does not know of the jobs that run: for their length there may be one too
many at a place.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field

from agent.records import SamplingClass

RANKS = {one.value: rank for rank, one in enumerate(SamplingClass)}
HELD_MAX_S = 3600.0
PLACES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Ask:
    """A job that wants its turn at ``place``, where ``capacity`` are done at a time.

    ``hold_s``: a turn that nobody gives back ends after so long.
    """

    job: str
    agent: str
    sampling_class: str
    place: str
    capacity: int
    hold_s: float


@dataclass(slots=True)
class _Place:
    running: dict[str, float] = field(default_factory=dict)  # until when, by job
    waiting: list[tuple[int, Ask]] = field(default_factory=list)
    served: dict[str, int] = field(default_factory=dict)  # the agent's last turn


class Turns:
    """The decisions, fed with the time (monotonic seconds)."""

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}
        self._numbers = itertools.count()

    def ask(self, ask: Ask) -> None:
        """Queue a job."""
        place = self._places.setdefault(ask.place, _Place())
        place.waiting.append((next(self._numbers), ask))

    def forget(self, place: str, job: str) -> None:
        """A job needs its turn no more: it is done, or given up."""
        if (found := self._places.get(place)) is None:
            return
        found.running.pop(job, None)
        found.waiting = [(n, ask) for n, ask in found.waiting if ask.job != job]
        if not found.running and not found.waiting and len(self._places) > PLACES_MAX:
            del self._places[place]

    def granted(self, now: float) -> list[str]:
        """The jobs whose turn has come since the last call."""
        jobs: list[str] = []
        for place in self._places.values():
            place.running = {job: until for job, until in place.running.items() if until > now}
            while place.waiting:
                number, ask = min(place.waiting, key=lambda entry: _order(place, *entry))
                if len(place.running) >= ask.capacity:
                    break
                place.waiting.remove((number, ask))
                place.served[ask.agent] = next(self._numbers)
                place.running[ask.job] = now + min(ask.hold_s, HELD_MAX_S)
                jobs.append(ask.job)
        return jobs


def _order(place: _Place, number: int, ask: Ask) -> tuple[int, int, int]:
    rank = RANKS.get(ask.sampling_class, len(RANKS))
    return rank, place.served.get(ask.agent, -1), number


class Arbiter:
    """The actor around ``Turns``. Its methods run in one event loop."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._waiting: dict[str, asyncio.Event] = {}

    async def take(self, ask: Ask, wait_s: float) -> bool:
        """Wait for the turn of ``ask``; False when it has not come within ``wait_s``."""
        event = self._waiting[ask.job] = asyncio.Event()
        self._turns.ask(ask)
        end = time.monotonic() + wait_s
        try:
            while True:
                self._grant()
                left_s = end - time.monotonic()
                if event.is_set():
                    return True
                if left_s <= 0:
                    self._turns.forget(ask.place, ask.job)
                    return False
                try:  # awake now and then: a turn that nobody gives back ends by the clock
                    await asyncio.wait_for(event.wait(), min(left_s, 1.0))
                except TimeoutError:
                    continue
        finally:
            del self._waiting[ask.job]

    async def give_back(self, place: str, job: str) -> None:
        """The job is done."""
        self._turns.forget(place, job)
        self._grant()

    def _grant(self) -> None:
        for job in self._turns.granted(time.monotonic()):
            if (event := self._waiting.get(job)) is not None:
                event.set()

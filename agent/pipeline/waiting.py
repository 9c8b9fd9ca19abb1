"""Finished readings that wait for their fruit's id. Pure: it is fed the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Protocol

from agent.records import FruitReading

POLL_S = 0.02
"""How often the head of a queue is asked again, where nothing wakes the loop before."""


class Identify(Protocol):
    """Return the reading with its id, or None while it may still come; ``final`` ends the wait."""

    def __call__(
        self, reading: FruitReading, now: float, *, final: bool = False
    ) -> FruitReading | None: ...


class WaitingReadings:
    """A queue per lane: readings leave it in the order in which they came."""

    def __init__(self, identify: Identify) -> None:
        self._identify = identify
        self._lanes: dict[str, deque[FruitReading]] = {}

    def add(self, reading: FruitReading) -> None:
        self._lanes.setdefault(reading.segmentation.lane, deque()).append(reading)

    def timeout_s(self, longest_s: float) -> float:
        """How long the loop may wait for the next frame."""
        return min(longest_s, POLL_S) if any(self._lanes.values()) else longest_s

    def ready(
        self,
        clock: Callable[[], float],
        *,
        final: bool = False,
        lanes: Collection[str] | None = None,
    ) -> Iterator[FruitReading]:
        """Yield the readings whose ids are settled: of ``lanes``, or of all."""
        for lane, waiting in list(self._lanes.items()):
            if lanes is not None and lane not in lanes:
                continue
            while waiting:
                identified = self._identify(waiting[0], clock(), final=final)
                if identified is None:
                    break
                waiting.popleft()
                yield identified

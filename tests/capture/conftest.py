"""A capture system whose children are gone when the test is over."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from agent.capture.feed import CaptureContext
from agent.capture.system import CaptureSystem
from agent.config import Camera
from agent.records import CameraState, CameraStatus, Frame
from tests.capture.sources import OPENERS
from tests.capture.support import Ledger
from tests.support import wait_until


@dataclass
class Running:
    """A system, a live loop that takes its frames, and what both have seen."""

    system: CaptureSystem
    ledger: Ledger
    frames: list[Frame] = field(default_factory=list)
    history: list[CameraStatus] = field(default_factory=list)
    taking: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def loop(self) -> None:
        while not self.over.is_set():
            if self.taking.is_set():
                self.frames += self.system.take(8, 0.05)
            else:
                time.sleep(0.01)
            self.history += self.system.changes()

    def seen(self, name: str = "cam1") -> list[tuple[str, str]]:
        """(state, cause) of every change so far."""
        return [(s.state.value, s.cause) for s in self.history if s.source_name == name]

    def state(self, name: str = "cam1") -> CameraState:
        return next(s.state for s in self.system.statuses() if s.source_name == name)

    def count(self, name: str = "cam1") -> int:
        return sum(frame.lane == name for frame in self.frames)

    def wait_for(self, state: str, cause: str, timeout_s: float = 20.0, name: str = "cam1") -> None:
        wait_until(
            lambda: (state, cause) in self.seen(name),
            timeout_s,
            f"{name} {state} by {cause}; seen {self.seen(name)}",
        )

    def wait_for_frames(self, count: int, name: str = "cam1", timeout_s: float = 20.0) -> None:
        """Wait for ``count`` more frames than now."""
        target = self.count(name) + count
        wait_until(lambda: self.count(name) >= target, timeout_s, f"{count} frames of {name}")

    def stop(self) -> None:
        """Stop, then check that the books balance and name every frame that is missing."""
        assert self.system.stop(10)
        self.over.set()
        for name, books in self.system.books().items():
            assert books.in_ring == 0, name
            assert books.captured == books.taken + books.dropped, name
            assert self.ledger.counts[("frames_captured", name)] == books.captured
            numbers = [frame.seq for frame in self.frames if frame.lane == name]
            assert len(numbers) == books.taken, name
            assert len(set(numbers)) == len(numbers), name
            assert numbers == sorted(numbers), name
            assert max(numbers, default=0) <= books.captured, name

    def dropped(self, name: str = "cam1") -> Counter[str]:
        return Counter(self.system.books()[name].dropped_by_reason)


Capture = Callable[..., Running]


@pytest.fixture
def capture(children_forked: None) -> Iterator[Capture]:
    """Starts a system with these cameras; checks its books at the end of the test."""
    running: list[Running] = []

    def start(*cameras: Camera) -> Running:
        ledger = Ledger()
        context = CaptureContext(ledger, time.monotonic, "s1", OPENERS, random.Random(1))
        run = Running(CaptureSystem(cameras, context), ledger)
        run.taking.set()
        threading.Thread(target=run.loop, daemon=True).start()
        run.system.start()
        running.append(run)
        return run

    yield start
    for run in running:
        run.stop()

"""The live loop with stages that stand in for cameras and a network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from agent.pipeline.live import LiveLoop, LiveStages
from agent.records import Frame, FruitReading, SegmentedFrame
from agent.supervision.live_priority import LivePriority, PauseForLive
from tests.capture.support import Ledger
from tests.support import wait_until


class OneFrame:
    """A capture that delivers one frame."""

    def __init__(self) -> None:
        self._frames = [Frame("cam1", "cam1-1", 1, 0, 0.0, np.zeros((8, 8, 3), np.uint8), None)]

    def identified(
        self, reading: FruitReading, now: float, *, final: bool = False
    ) -> FruitReading | None:
        return reading

    def take(self, count: int, timeout_s: float) -> list[Frame]:
        if self._frames:
            return [self._frames.pop()]
        time.sleep(0.01)
        return []


class NoFruit:
    """A reader that finds no fruit."""

    def tick(self, now: float) -> list[FruitReading]:
        return []

    def flush(self) -> list[FruitReading]:
        return []


class Sinks:
    def on_segmented(self, frame: Frame, segmentation: SegmentedFrame) -> None:
        pytest.fail("nothing was segmented")

    def on_fruit(self, reading: FruitReading) -> None:
        pytest.fail("there is no fruit")


class Looking:
    """A segmenter that looks whether others would stand still, then fails."""

    def __init__(self, live: LivePriority, naps: list[float]) -> None:
        self._pause = PauseForLive(live.fd, sleep=self._nap)
        self._naps = naps
        self.calls = 0

    def _nap(self, seconds: float) -> None:
        self._naps.append(seconds)
        time.sleep(seconds)

    pending = False

    def segment(self, frames: Sequence[Frame]) -> Any:
        self.calls += 1
        self._pause.wait()
        raise RuntimeError("a bad picture")


def test_workers_stand_still_while_a_frame_is_segmented_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The handler belongs to the main thread of a worker; here only the waiting is wanted.
    monkeypatch.setattr("agent.supervision.live_priority.signal.signal", lambda *_: None)
    monkeypatch.setattr("agent.supervision.live_priority.signal.siginterrupt", lambda *_: None)
    live, naps = LivePriority(), list[float]()
    looking = Looking(live, naps)
    stages = LiveStages(OneFrame(), looking, NoFruit(), 1)  # type: ignore[arg-type]
    books = Ledger()
    loop = LiveLoop(stages, Sinks(), books, time.monotonic, live)
    loop.start()
    lost = ("frames_dropped", "cam1", "segmentation", "error")
    wait_until(lambda: books.counts.get(lost) == 1, 10, "the frame is lost by its error")
    loop.stop(5.0)
    assert looking.calls == 1
    assert naps
    during = len(naps)
    looking._pause.wait()
    assert len(naps) == during

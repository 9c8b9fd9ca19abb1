"""What waits to be written, and the pictures of fruit that are not answered yet. Both bounded."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from agent.dataset import Reason
from agent.records import Explanation, Frame, FruitReading

WAITING_BYTES = 128 * 1024 * 1024
"""Of the pictures that wait to be written."""
HELD_FRAMES = 64
HELD_BYTES = 64 * 1024 * 1024
"""Of pictures whose fruit may still be answered: for its id, or for a better picture of it."""


@dataclass(frozen=True, slots=True)
class Job:
    """A picture to be kept for ``reasons``; without reasons, one that was explained. The arrays are
    those of the live path, which nobody writes to any more."""

    frame: Frame
    fruit: FruitReading
    reasons: tuple[Reason, ...] = ()
    explanation: Explanation | None = None
    unusual: bool = False


class JobQueue:
    """Many threads put, one takes; nobody waits to put."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._jobs: deque[Job] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._woken = False

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: Job) -> bool:
        """Add a job; False when it has no place."""
        size = job.frame.image.nbytes
        with self._changed:
            full = len(self._jobs) >= self.limit
            if full or (self._jobs and self._bytes + size > WAITING_BYTES):
                return False
            self._jobs.append(job)
            self._bytes += size
            self._changed.notify()
        return True

    def take(self, timeout_s: float) -> Job | None:
        """Return the oldest job; None after a while without one, or when woken."""
        with self._changed:
            if not self._jobs and not self._woken:
                self._changed.wait(timeout_s)
            self._woken = False
            if not self._jobs:
                return None
            job = self._jobs.popleft()
            self._bytes -= job.frame.image.nbytes
            return job

    def wake(self) -> None:
        """Have ``take`` return."""
        with self._changed:
            self._woken = True
            self._changed.notify()


class HeldFrames:
    """The pictures of the live path by frame, until their fruit is answered. For one thread."""

    def __init__(self) -> None:
        self._frames: dict[str, Frame] = {}  # in the order of capture
        self._bytes = 0

    def hold(self, frame: Frame) -> None:
        """Remember a picture; the oldest are forgotten where there are too many."""
        self._frames[frame.frame_id] = frame
        self._bytes += frame.image.nbytes
        while len(self._frames) > 1 and (
            len(self._frames) > HELD_FRAMES or self._bytes > HELD_BYTES
        ):
            self._forget(next(iter(self._frames)))

    def take(self, lane: str, frame_id: str) -> Frame | None:
        """Return a fruit's picture and forget it with those of its lane before it."""
        found = self._frames.get(frame_id)
        if found is not None:
            for frame in list(self._frames.values()):
                if frame.lane == lane and frame.seq <= found.seq:
                    self._forget(frame.frame_id)
        return found

    def clear(self) -> None:
        """Forget all."""
        self._frames.clear()
        self._bytes = 0

    def _forget(self, frame_id: str) -> None:
        self._bytes -= self._frames.pop(frame_id).image.nbytes

"""The pictures of one camera on their way out of shared memory, and the books about them.

Every session (a capture child) has a ring of its own, so that nothing a dead writer left can be
mistaken for the work of the next. What a dead session still holds is read first.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from agent.supervision.ring import RingFrame, RingReader
from agent.supervision.ring_memory import FrameRing, RingError
from agent.telemetry import Telemetry

SESSIONS = 4
"""Rings kept at most: more wait only when nobody takes frames, and then the oldest is dropped."""


@dataclass(frozen=True, slots=True)
class FrameBooks:
    """Where the frames of one lane are: captured = taken + dropped + in_ring, at every moment."""

    captured: int
    dropped: int
    taken: int
    in_ring: int
    dropped_by_reason: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Arrivals:
    """``count`` pictures came; the newest was taken at one moment and here at another."""

    count: int
    captured_mono: float
    arrived_mono: float


class _Session:
    def __init__(self, memory_fd: int, base: int) -> None:
        self.memory_fd = memory_fd
        self.base = base  # pictures of this camera in the sessions before
        self.reader: RingReader | None = None
        self.counted = 0
        self.overrun = 0
        self.stale = 0
        self.facts_lost = 0
        self.dead = False

    def attach(self) -> None:
        """Map the ring, if the child has given it its shape."""
        if self.reader is None:
            with contextlib.suppress(RingError):
                self.reader = RingReader(FrameRing.attach(self.memory_fd))

    def close(self) -> None:
        if self.reader is not None:
            self.reader.ring.close()
        os.close(self.memory_fd)


class RingQueue:
    """Not for several threads at once: its owner holds a lock around every call.

    ``numbered_from``: pictures that these lanes had from a camera before this one.
    """

    def __init__(
        self,
        lanes: tuple[str, ...],
        max_age_s: float,
        telemetry: Telemetry,
        numbered_from: int = 0,
    ) -> None:
        self._numbered_from = numbered_from
        self._lanes = lanes
        self._max_age_s = max_age_s
        self._telemetry = telemetry
        self._sessions: deque[_Session] = deque()
        self._captured = 0
        self._reported = 0  # of the captured, what ``arrivals`` has already counted
        self._taken = 0
        self._dropped: Counter[str] = Counter()

    # --- sessions --------------------------------------------------------------------------------

    def begin(self, memory_fd: int) -> None:
        """A new child will write to this memory, which now belongs to the queue."""
        while len(self._sessions) >= SESSIONS:
            self._discard(self._sessions.popleft(), "child_killed")
        self._sessions.append(_Session(memory_fd, self.numbered))

    def attach(self) -> None:
        """The newest child has given its ring a shape."""
        if self._sessions:
            self._sessions[-1].attach()

    @property
    def numbered(self) -> int:
        """The number of the newest picture that was counted."""
        return self._numbered_from + self._captured

    @property
    def beat_mono(self) -> float:
        """Time of the newest child's last heartbeat; 0 before the first."""
        reader = self._sessions[-1].reader if self._sessions else None
        return 0.0 if reader is None else reader.ring.beat_mono

    def retire(self) -> None:
        """The newest child is dead: what it has written is final."""
        if self._sessions:
            self._sessions[-1].attach()
            self._sessions[-1].dead = True
            self._count(self._sessions[-1])  # the next session's numbers go on from here
            self._close_session()

    def abandon(self, reason: str) -> None:
        """Book everything that still waits as dropped, and let go of all memory."""
        while self._sessions:
            self._sessions[-1].attach()
            self._discard(self._sessions.popleft(), reason)

    def _discard(self, session: _Session, reason: str) -> None:
        self._count(session)
        self._book_overrun(session)
        if session.reader is not None:
            self._drop(reason, session.counted - session.reader.next)
        session.close()

    def _close_session(self) -> None:
        """Close dead sessions that were read to their end; what was cut off in them is dropped."""
        while self._sessions and self._sessions[0].dead:
            reader = self._sessions[0].reader
            if reader is not None and reader.peek_mono() is not None:
                return
            self._discard(self._sessions.popleft(), "child_killed")

    # --- pictures --------------------------------------------------------------------------------

    def oldest_mono(self, now: float) -> float | None:
        """Capture time of the oldest waiting picture; those above the age limit are dropped."""
        self._close_session()
        for session in self._sessions:
            reader = session.reader
            while reader is not None and (mono := reader.peek_mono()) is not None:
                if now - mono <= self._max_age_s:
                    return mono
                reader.skip()
                self._count(session)
                self._drop("expired", 1)
        return None

    def pop(self) -> tuple[RingFrame, int] | None:
        """Return the oldest waiting picture and its number (from 1, over all sessions)."""
        for session in self._sessions:
            if session.reader is None:
                continue
            picture = session.reader.pop()
            self._count(session)
            self._book_overrun(session)
            if picture is not None:
                self._taken += 1
                return picture, session.base + picture.index + picture.stale + 1
        return None

    # --- books -----------------------------------------------------------------------------------

    def arrivals(self) -> Arrivals:
        """Return what came since the last call; pictures that came too old are no sign of life."""
        newest_mono = pushed_mono = 0.0
        for session in self._sessions:
            self._count(session)
            if session.reader is not None:
                newest_mono = max(newest_mono, session.reader.ring.last_mono)
                pushed_mono = max(pushed_mono, session.reader.ring.pushed_mono)
        # Not only what this call counted: a picture may be taken out between two looks.
        fresh = self._captured - self._dropped["stale"]
        count, self._reported = fresh - self._reported, fresh
        return Arrivals(count, newest_mono, pushed_mono)

    def books(self) -> FrameBooks:
        """The books, the same for each lane of this camera."""
        in_ring = 0
        for session in self._sessions:
            self._count(session)
            self._book_overrun(session)
            if session.reader is not None:
                in_ring += session.counted - session.reader.next
        dropped = self._dropped.total()
        return FrameBooks(self._captured, dropped, self._taken, in_ring, dict(self._dropped))

    def _count(self, session: _Session) -> None:
        if session.reader is None:
            return
        ring = session.reader.ring
        lost = ring.meta_dropped - session.facts_lost
        if lost > 0:
            session.facts_lost += lost
            for lane in self._lanes:
                self._telemetry.count("picture_facts_lost", lost, camera=lane)
        # Once: the writer goes on while this runs.
        captured, stale = ring.captured, ring.stale
        new = captured - session.counted + stale - session.stale
        if new > 0:
            left_out = stale - session.stale
            session.counted, session.stale = captured, stale
            self._captured += new
            for lane in self._lanes:
                self._telemetry.count("frames_captured", new, camera=lane)
            self._drop("stale", left_out)

    def _book_overrun(self, session: _Session) -> None:
        if session.reader is not None:
            self._drop("overrun", session.reader.overrun - session.overrun)
            session.overrun = session.reader.overrun

    def _drop(self, reason: str, count: int) -> None:
        if count > 0:
            self._dropped[reason] += count
            for lane in self._lanes:
                self._telemetry.count(
                    "frames_dropped", count, camera=lane, stage="capture", reason=reason
                )

"""The retained status topic: the state of the agent, its heartbeat, and the last will."""

from __future__ import annotations

import threading

from agent.publishing.wire.composer import Composer
from agent.publishing.wire.messages import Entry, Message
from agent.publishing.wire.payloads import LOST, STOPPED
from agent.telemetry import Clock

REPLACE_S = 1.0
"""Our word takes the place of another's no more often: two that answer each other would flood the
broker."""


class StatusTopic:
    """Says the state at once when it changed, and again every ``interval_s``. For any thread."""

    def __init__(self, composer: Composer, interval_s: float, clock: Clock) -> None:
        self._composer = composer
        self._interval_s = interval_s
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()
        self._state = "starting"
        self._reason = ""
        self._last_frame_ms = 0
        self._changed = True
        self._replaced = False
        self._sent_mono = float("-inf")

    def configure(self, interval_s: float) -> None:
        """Say it again after another interval, and once now: what it says of the agent is new."""
        with self._lock:
            self._interval_s, self._changed = interval_s, True

    def update(self, state: str, reason: str, last_frame_ms: int) -> bool:
        """Take over how the agent is; return whether that is to be said at once."""
        with self._lock:
            self._changed |= (state, reason) != (self._state, self._reason)
            self._state, self._reason, self._last_frame_ms = state, reason, last_frame_ms
            return self._changed

    def connected(self) -> None:
        """What the broker holds is not our word: the will, another's, or nothing."""
        with self._lock:
            self._changed = True

    def replaced(self) -> None:
        """Another's word stands where ours was."""
        with self._lock:
            self._replaced = True

    def due(self, now: float) -> Entry | None:
        """Return the message when it is to be sent now, and count it as sent."""
        with self._lock:
            wait_s = REPLACE_S if self._replaced else self._interval_s
            if not self._changed and now - self._sent_mono < wait_s:
                return None
            self._changed, self._replaced, self._sent_mono = False, False, now
            return self._entry(self._state, self._reason, now, online=True)

    def will(self) -> Message:
        """Return what the broker is to publish when the connection is lost."""
        with self._lock:
            (message,) = self._entry(LOST, "connection lost", online=False).messages
            return message

    def farewell(self, now: float) -> Entry:
        """Return the last message of an orderly end."""
        with self._lock:
            return self._entry(STOPPED, "stopped", now, online=False)

    def _entry(self, state: str, reason: str, now: float = 0.0, *, online: bool) -> Entry:
        return self._composer.status(
            state,
            reason,
            now,
            online=online,
            uptime_s=self._clock() - self._started,
            last_frame_ms=self._last_frame_ms,
        )

"""Whether the primary host application is there, as its STATE messages say. Pure.

Version 3 of the specification made STATE a JSON object on ``spBv1.0/STATE/{id}``; hosts of before
say ``ONLINE`` or ``OFFLINE`` on ``STATE/{id}``. Both are understood. A JSON message that is older
than the newest one is a late will and changes nothing; as soon as a host has spoken JSON, its text
form (which has no time) is ignored.
"""

from __future__ import annotations

import enum
import json

from agent.publishing.sparkplug.topics import state_topics

STATE_BYTES_MAX = 4096


class StateMessage(enum.Enum):
    """What one STATE message was."""

    ONLINE = "online"
    OFFLINE = "offline"
    STALE = "stale"  # older than what is known
    INVALID = "invalid"
    FOREIGN = "foreign"  # of another host, or no STATE at all


_TEXT = {b"ONLINE": True, b"OFFLINE": False}


class PrimaryHost:
    """``online`` is true at once where no host is configured."""

    def __init__(self, host_id: str | None) -> None:
        self._wanted = host_id is not None
        self.topics: tuple[str, ...] = state_topics(host_id) if host_id is not None else ()
        self._online = False
        self._newest_ms: int | None = None

    @property
    def online(self) -> bool:
        return self._online or not self._wanted

    def new_session(self) -> None:
        """A new connection: a STATE of the last one proves nothing. Its time is kept."""
        self._online = False

    def receive(self, topic: str, payload: bytes) -> StateMessage:
        """Take one message into account."""
        if topic not in self.topics:
            return StateMessage.FOREIGN
        if payload in _TEXT:
            if self._newest_ms is not None:
                return StateMessage.STALE
            return self._become(_TEXT[payload])
        state = _parse(payload)
        if state is None:
            return StateMessage.INVALID
        online, timestamp_ms = state
        if self._newest_ms is not None and timestamp_ms < self._newest_ms:
            return StateMessage.STALE
        self._newest_ms = timestamp_ms
        return self._become(online)

    def _become(self, online: bool) -> StateMessage:
        self._online = online
        return StateMessage.ONLINE if online else StateMessage.OFFLINE


def _parse(payload: bytes) -> tuple[bool, int] | None:
    if len(payload) > STATE_BYTES_MAX:
        return None
    try:
        parsed = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict):
        return None
    online, timestamp_ms = parsed.get("online"), parsed.get("timestamp")
    if not isinstance(online, bool) or isinstance(timestamp_ms, bool):
        return None
    if not isinstance(timestamp_ms, int):
        return None
    return online, timestamp_ms

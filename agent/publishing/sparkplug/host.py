"""Whether the primary host application is there, as its STATE messages say. Pure.

Version 3 of the specification made STATE a JSON object on ``spBv1.0/STATE/{id}``; hosts of before
say ``ONLINE`` or ``OFFLINE`` on ``STATE/{id}``. Both are understood. A JSON message that is older
than the newest one is a late will and changes nothing; as soon as a host has spoken JSON, its text
form (which has no time) is ignored.
"""

from __future__ import annotations

import enum
import json

from pydantic import BaseModel

from agent.publishing.sparkplug.topics import state_topics

STATE_BYTES_MAX = 4096


class StateMessage(enum.Enum):
    """What one STATE message was."""

    ONLINE = "online"
    OFFLINE = "offline"
    STALE = "stale"  # older than what is known
    INVALID = "invalid"
    FOREIGN = "foreign"  # of another host, or no STATE at all


class _State(BaseModel):
    """The JSON of version 3; ``timestamp`` is Unix time in ms. What else it holds is skipped."""

    online: bool
    timestamp: int


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
        if len(payload) > STATE_BYTES_MAX:
            return StateMessage.INVALID
        try:
            state = _State.model_validate(json.loads(payload), strict=True)
        except (ValueError, RecursionError):  # the first is what pydantic raises, too
            return StateMessage.INVALID
        if self._newest_ms is not None and state.timestamp < self._newest_ms:
            return StateMessage.STALE
        self._newest_ms = state.timestamp
        return self._become(state.online)

    def _become(self, online: bool) -> StateMessage:
        self._online = online
        return StateMessage.ONLINE if online else StateMessage.OFFLINE

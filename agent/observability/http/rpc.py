"""Remote calls from the HTTP server's process to the agent.

The server lives in a process of its own, so that its work for clients takes nothing from the
live path but these short replies: numbers, and a picture once. A frame is encoded on this side,
since that takes the agent no longer than to hand the pixels over, and the server nothing.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import to_json

from agent.observability.exposition import OPENMETRICS, expose
from agent.observability.http.app_state import AppState
from agent.observability.newest import HeatMap
from agent.observability.pictures import (
    MAP_SIDE_PX,
    Picture,
    fitted,
    frame_picture,
)
from agent.records import CameraState
from agent.supervision.channel import Channel

OPEN_MAX = 64
"""Calls that may wait, probes not counted; a call outlives the connection that made it."""
PROBES = frozenset({"health", "metrics"})
"""Answered at once by the agent's own loop, whatever the others wait for."""
WORK_LIMIT_S = 5.0
"""After which the server says 503 in place of an answer."""
BEGIN_WITHIN_S = 4.5
"""What is not begun by then is not done: the client is getting a failure already."""


class Unchanged(enum.Enum):
    """The reply to a caller that has the newest already."""

    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes judge."""

    loop_ages_s: Mapping[str, float]
    sources: Mapping[str, CameraState]


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its name in ``AgentService``, its arguments, when it was made."""

    number: int
    name: str
    args: tuple[object, ...]
    called_mono: float


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to the call of that number; ``failed``: the agent made a mistake, and logged it."""

    number: int
    value: object = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """Heartbeat of the server's process, and what it has counted since the last one: pairs of
    metric and labels, with their number."""

    counted: tuple[tuple[str, tuple[tuple[str, str], ...], int], ...] = ()


class AgentUnavailable(Exception):  # noqa: N818 - says what is the case
    """The agent does not answer."""


class AgentFailed(Exception):  # noqa: N818
    """The agent failed at an answer; its log says how."""


class AgentClient:
    """The server's end: calls to the agent over the control channel."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
        self._channel = channel
        self._loop = loop
        self._numbers = itertools.count()
        self._open: dict[int, asyncio.Future[Reply]] = {}
        self._counted: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
        threading.Thread(target=self._listen, name="answers", daemon=True).start()

    async def call(self, name: str, *args: object) -> Any:
        """Return what ``AgentService`` answers.

        ``AgentUnavailable`` when it does not read or too many calls wait already,
        ``AgentFailed`` when it raised. Waits without a limit of its own.
        """
        full = name not in PROBES and len(self._open) >= OPEN_MAX
        if full or not self._channel.has_room():  # a full socket would stop this loop
            raise AgentUnavailable
        number = next(self._numbers)
        # Whoever called may have given up; the call stays open until it is answered.
        future = self._open[number] = self._loop.create_future()
        self._channel.send(Call(number, name, args, time.monotonic()))
        reply = await asyncio.shield(future)
        if reply.failed:
            raise AgentFailed(name)
        return reply.value

    def count(self, name: str, **labels: str) -> None:
        """Add one to a counter of the agent."""
        self._counted[name, tuple(labels.items())] += 1

    def flush(self) -> None:
        """Let the agent know now what was counted; also the heartbeat."""
        if not self._channel.has_room():
            return
        counted = tuple((*key, number) for key, number in self._counted.items())
        self._counted.clear()
        self._channel.send(Counts(counted))

    def _listen(self) -> None:
        while True:
            reply = self._channel.receive(60.0)
            if isinstance(reply, Reply):
                self._loop.call_soon_threadsafe(self._settle, reply)

    def _settle(self, reply: Reply) -> None:
        future = self._open.pop(reply.number)
        if not future.done():
            future.set_result(reply)


class AgentService:
    """The agent's end: who answers each call."""

    def __init__(self, state: AppState) -> None:
        self._state = state
        self._answers: dict[str, Callable[..., object]] = {
            "health": self.health,
            "metrics": self.metrics,
            "status": self.status,
            "frame": self.frame,
            "frame_of": self.frame_of,
            "overlay": state.newest.overlay,  # the newest heat map of a class
            "heat_map": self.heat_map,
            "mean_map": state.newest.mean_map,  # the control beside it
            "evidence": self.evidence,
            "machine": state.on_machine,
            "descriptions": self.descriptions,
            "act": state.act,
            "history": self.history,
            "past_alarms": self.past_alarms,
        }

    def call(self, name: str, args: tuple[object, ...]) -> object:
        """Answer one call; ``KeyError`` for a name that is none."""
        return self._answers[name](*args)

    def health(self) -> Health:
        """What the probes judge, of this moment."""
        return Health(dict(self._state.telemetry.loops.ages_s()), self._state.sources())

    def metrics(self, openmetrics: bool) -> tuple[bytes, str]:
        """The exposition and its content type."""
        return expose(self._state.telemetry.registry, OPENMETRICS if openmetrics else "")

    def status(self) -> bytes:
        """The snapshot as JSON."""
        return to_json(self._state.view(), inf_nan_mode="null")

    def descriptions(self) -> bytes:
        """What the agent publishes, as JSON."""
        return to_json(self._state.descriptions, inf_nan_mode="null")

    def history(self, lane: str) -> bytes:
        """The last hours of a lane, as JSON."""
        return to_json(self._state.history(lane), inf_nan_mode="null")

    def past_alarms(self) -> bytes:
        """The newest occurrences of alarms, as JSON."""
        return to_json(self._state.past_alarms(), inf_nan_mode="null")

    def frame(self, lane: str, known: str) -> Picture | Unchanged | None:
        """The newest frame of a lane with what was read in it.

        ``UNCHANGED`` when its id is ``known``.
        """
        frame = self._state.newest.frame(lane)
        if frame is None:
            return None
        return Unchanged.UNCHANGED if frame.frame.frame_id == known else frame_picture(frame)

    def frame_of(self, lane: str, frame_id: str, side_px: int) -> Picture | None:
        """The frame of that id, at most ``side_px`` on a side; None when it is not kept."""
        frame = self._state.newest.frame_of(lane, frame_id)
        return None if frame is None else frame_picture(frame, side_px)

    def heat_map(self, lane: str, class_name: str, frame_id: str) -> HeatMap | None:
        """The newest heat map of a class, its frame at most as large as it is shown."""
        found = self._state.newest.heat_map(lane, class_name, frame_id)
        if found is None or found.frame is None:
            return found
        return replace(found, frame=fitted(found.frame, MAP_SIDE_PX))

    def evidence(self, event_id: str) -> tuple[str, bytes] | None:
        """Content type and bytes of the picture behind an occurrence, from memory or the disk."""
        overlay = self._state.newest.evidence(event_id)
        if overlay is not None:
            return overlay.content_type, overlay.data
        return self._state.kept_evidence(event_id)  # older, or of an earlier start

"""What an earlier start published of lanes and classes that are not configured any more.

Its newest values stay retained at the broker, where they look like measurements. Each start keeps
what it publishes, and withdraws what another one kept until the broker has taken that.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Collection
from typing import Literal

from pydantic import BaseModel, ConfigDict

from agent.records import PublishedLane
from agent.storage.kept import Kept, parse_kept

logger = logging.getLogger(__name__)

NAME = "published_lanes"
LANES_MAX = 1000
"""Beyond it the oldest are given up: their values expire by themselves under MQTT 5."""


class _Lane(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    metrics: tuple[str, ...]
    classes: tuple[str, ...]


class _Saved(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    version: Literal[1] = 1
    lanes: dict[str, _Lane]


class PublishedLanes:
    """``now``: what this start publishes. ``told`` may be called from any thread, the rest by one
    at a time."""

    def __init__(self, kept: Kept, now: Collection[PublishedLane]) -> None:
        self._kept = kept
        self._now = {one.lane: one for one in now}
        self._gone: dict[str, PublishedLane] = {}
        self._told: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._unread = False  # the file may have a list that could not be read yet

    def restore(self) -> list[PublishedLane]:
        """Return what is to be withdrawn, and keep what this start publishes. Of a file that cannot
        be read now nothing is; what it lists is withdrawn by the next start."""
        self._unread = self._kept.out_of_reach
        if not self._unread:
            self._take_earlier()
        return list(self._gone.values())

    def change(self, now: Collection[PublishedLane]) -> list[PublishedLane]:
        """Publish these from now on; return what is to be withdrawn of the others."""
        before, self._now = self._now, {one.lane: one for one in now}
        for lane, was in before.items():
            left = _without(_with(was, self._gone.pop(lane, None)), self._now.get(lane))
            if left.metrics or left.classes:
                self._gone[lane] = left
        for lane in self._now:
            self._gone.pop(lane, None)
        if not self._unread:
            self._save()
        return [self._gone[lane] for lane in before if lane in self._gone]

    def _take_earlier(self) -> None:
        for lane, was in self._earlier().items():
            left = _without(was, self._now.get(lane))
            if left.metrics or left.classes:
                self._gone[lane] = left
        for lane in list(self._gone)[:-LANES_MAX]:
            del self._gone[lane]
        self._save()

    def told(self, lane: str) -> None:
        """The broker has taken that a lane's values are withdrawn."""
        self._told.put(lane)

    def tick(self) -> None:
        """Forget what was withdrawn."""
        if self._unread and not self._kept.out_of_reach:
            self._unread = False
            self._take_earlier()
        told = False
        while not self._told.empty():
            told = self._gone.pop(self._told.get_nowait(), None) is not None or told
        if told:
            self._save()

    def _earlier(self) -> dict[str, PublishedLane]:
        found = self._kept.get(NAME)
        saved = parse_kept(found, NAME, _Saved, logger) if found is not None else None
        if saved is None:
            return {}
        return {
            lane: PublishedLane(lane, one.metrics, one.classes) for lane, one in saved.lanes.items()
        }

    def _save(self) -> None:
        saved = {
            lane: _with(one, self._gone.get(lane)) for lane, one in (self._gone | self._now).items()
        }
        lanes = {
            lane: _Lane(metrics=one.metrics, classes=one.classes) for lane, one in saved.items()
        }
        self._kept.put(NAME, _Saved(lanes=lanes).model_dump(mode="json"), lambda: None)


def _without(was: PublishedLane, now: PublishedLane | None) -> PublishedLane:
    if now is None:
        return was
    return PublishedLane(
        was.lane,
        tuple(name for name in was.metrics if name not in now.metrics),
        tuple(name for name in was.classes if name not in now.classes),
    )


def _with(now: PublishedLane, gone: PublishedLane | None) -> PublishedLane:
    if gone is None:
        return now
    return PublishedLane(
        now.lane,
        tuple(dict.fromkeys((*now.metrics, *gone.metrics))),
        tuple(dict.fromkeys((*now.classes, *gone.classes))),
    )

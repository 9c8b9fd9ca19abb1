"""The pictures that the page shows, encoded once for all clients; without clients a frame costs
nothing. Frames come encoded; maps, which are wanted more rarely and cost more, are drawn here."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from concurrent.futures import Executor

from agent.observability.http.rpc import AgentClient, Unchanged
from agent.observability.newest import HeatMap, MeanMap
from agent.observability.pictures import Picture, heat_map_picture, mean_map_picture

BY_ID = 64
"""Frames that were asked for by their id and are kept encoded, at some 20 to 100 KiB each."""


class PictureCache:
    """Fetches the newest of a lane, unless it has it already, and draws maps in ``executor``."""

    def __init__(self, agent: AgentClient, executor: Executor) -> None:
        self._agent = agent
        self._executor = executor
        self._kept: dict[tuple[str, ...], Picture] = {}
        self._by_id: OrderedDict[tuple[str, str, int], Picture] = OrderedDict()
        self._locks: defaultdict[tuple[str, ...], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def frame(self, lane: str) -> Picture | None:
        """Return the newest frame of a lane, None before the first."""
        async with self._locks[lane,]:  # many viewers of one frame share one encoding
            kept = self._kept.get((lane,))
            frame: Picture | Unchanged | None = await self._agent.call(
                "frame", lane, kept.picture_id if kept else ""
            )
            if not isinstance(frame, Picture):
                return kept if frame is Unchanged.UNCHANGED else None
            self._kept[lane,] = frame
            return frame

    async def frame_of(self, lane: str, frame_id: str, side_px: int) -> Picture | None:
        """Return the frame of that id, at most ``side_px`` on a side; None when the agent does not
        keep it any more."""
        key = lane, frame_id, side_px
        async with self._locks[lane, "by id"]:
            kept = self._by_id.get(key)
            if kept is not None:
                return kept
            picture: Picture | None = await self._agent.call("frame_of", *key)
            if picture is None:
                return None
            self._by_id[key] = picture
            while len(self._by_id) > BY_ID:
                self._by_id.popitem(last=False)
            return picture

    async def heat_map(self, lane: str, class_name: str, frame_id: str) -> Picture | None:
        """Return the newest heat map of a class, drawn for the page; None as of ``mean_map``."""
        key = lane, class_name, "map"
        async with self._locks[key]:
            kept = self._kept.get(key)
            if kept is not None and kept.picture_id == frame_id:
                return kept
            found: HeatMap | None = await self._agent.call("heat_map", lane, class_name, frame_id)
            if found is None:
                return None
            if kept is not None and kept.picture_id == found.frame_id:
                return kept
            return await self._encode(key, lambda: heat_map_picture(found))

    async def mean_map(self, lane: str, class_name: str, frame_id: str) -> Picture | None:
        """Return the control of the newest heat map of a class, None before the first, or when it
        is not that of ``frame_id`` (any: "")."""
        mean_map: MeanMap | None = await self._agent.call("mean_map", lane, class_name, frame_id)
        if mean_map is None:
            return None
        key = lane, class_name
        async with self._locks[key]:
            kept = self._kept.get(key)
            if kept is not None and kept.picture_id == mean_map.frame_id:
                return kept
            return await self._encode(key, lambda: mean_map_picture(mean_map))

    async def _encode(self, key: tuple[str, ...], work: Callable[[], Picture]) -> Picture:
        loop = asyncio.get_running_loop()
        picture = self._kept[key] = await loop.run_in_executor(self._executor, work)
        return picture

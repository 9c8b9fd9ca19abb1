"""The driver: a child of the agent that is part of the Ray cluster, and may die with it.

Ray ends a driver whose cluster's head is away for a minute. So the agent never imports Ray: this
process does, and the agent replaces it as it replaces a worker.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Mapping
from typing import Any

from agent.ablation.pool.cluster.common import ActorSlot, Cluster
from agent.ablation.pool.cluster.joining import JoinError, join
from agent.ablation.pool.cluster.messages import (
    Connected,
    DriverArgs,
    DriverBeat,
    EndWorker,
    GiveJob,
    StartWorker,
)
from agent.ablation.pool.cluster.remote_worker import RemoteWorker
from agent.ablation.pool.messages import Failed
from agent.ablation.pool.shared_image import SharedImageError, SharedImageReader
from agent.supervision.channel import Channel

RECEIVE_S = 0.5
LEAVE_S = 4.0
KEEP_S = 45.0
"""Longer than the pool's longest back-off."""


def main(channel: Channel, args: DriverArgs, fds: Mapping[str, int]) -> None:
    """Target of ``agent.supervision``. ``fds``: where a slot's pictures lie, ``image-SLOT``."""
    try:
        ray = join(args)
    except JoinError as error:
        channel.send(error.refused)
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # Ray has set its own; the agent decides
    readers = {name: SharedImageReader(fd) for name, fd in fds.items()}
    asyncio.run(Driver(channel, args, ray, readers).run())


class Driver:
    """Does what the agent says until it says no more."""

    def __init__(
        self,
        channel: Channel,
        args: DriverArgs,
        ray: Any,
        readers: Mapping[str, SharedImageReader],
    ) -> None:
        self._channel = channel
        self._args = args
        self._readers = readers
        here = ray.get_runtime_context().get_node_id()
        node: Mapping[str, Any] = next((one for one in ray.nodes() if one["NodeID"] == here), {})
        store_bytes = int(node.get("Resources", {}).get("object_store_memory", 0))
        self._cluster = Cluster(ray, args, channel.send, store_bytes)
        self._workers: dict[int, tuple[StartWorker, RemoteWorker]] = {}
        self._slots: dict[int, ActorSlot] = {}
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Until ``Channel.stopping``; no worker is left then."""
        self._channel.send(Connected(f"{self._args.address}, Ray {self._cluster.ray.__version__}"))
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, args=(loop,), name="orders", daemon=True).start()
        while not self._stopped.is_set():
            self._channel.send(DriverBeat())
            try:
                await asyncio.wait_for(self._stopped.wait(), self._args.heartbeat_s)
            except TimeoutError:
                continue
        for number in list(self._workers):
            self._end(number)
        await asyncio.wait([asyncio.create_task(self._leave())], timeout=LEAVE_S)
        self._cluster.ray.shutdown()

    async def _leave(self) -> None:
        for slot in self._slots.values():
            if slot.ending is not None:
                await asyncio.wait([slot.ending])
            await self._cluster.kill(slot)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand the agent's messages to the loop, in order; a thread of its own."""
        while not self._channel.stopping.is_set():
            if (message := self._channel.receive(RECEIVE_S)) is not None:
                loop.call_soon_threadsafe(self._obey, message)
        loop.call_soon_threadsafe(self._stopped.set)

    def _obey(self, message: object) -> None:
        if isinstance(message, StartWorker):
            slot = self._slots.setdefault(message.slot, ActorSlot())
            worker = RemoteWorker(self._cluster, message, slot)
            self._workers[message.number] = (message, worker)
        elif isinstance(message, EndWorker):
            self._end(message.number)
        elif isinstance(message, GiveJob) and message.number in self._workers:
            start, worker = self._workers[message.number]
            order = message.order
            try:  # copied now: the agent writes to it again when this worker has a successor
                image, aperture = self._readers[f"image-{start.slot}"].read(order.image)
            except SharedImageError as error:
                worker.refuse(Failed(order.job_id, "picture", str(error), 0))
                return
            worker.give(order, image, aperture)

    def _end(self, number: int) -> None:
        if (found := self._workers.pop(number, None)) is None:
            return
        start, worker = found
        slot = self._slots[start.slot]
        slot.ending = asyncio.create_task(self._ended(slot, worker, slot.ending))

    async def _ended(
        self, slot: ActorSlot, worker: RemoteWorker, before: asyncio.Task[None] | None
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        await worker.end()
        asyncio.get_running_loop().call_later(KEEP_S, self._let_go, slot, slot.ending)

    def _let_go(self, slot: ActorSlot, ending: asyncio.Task[None] | None) -> None:
        """An actor that no worker has needed since holds a place that others may need."""
        if slot.ending is ending and not any(w.of(slot) for _, w in self._workers.values()):
            slot.ending = asyncio.create_task(self._cluster.kill(slot))

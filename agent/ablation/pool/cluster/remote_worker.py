"""One worker of the cluster as the driver sees it: its actor made, asked, and ended.

All of it runs in the driver's event loop. Ray has no deadline for a call, so every wait here has
one, and an actor that does not answer in time is killed. One that has said that its worker's
process is dead is kept for the slot's next worker: a new actor would take a second more.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.ablation.pool.cluster.arbiter import Ask
from agent.ablation.pool.cluster.common import ANSWER_S, ActorSlot, Cluster, answer
from agent.ablation.pool.cluster.host import WorkerHost, package_version
from agent.ablation.pool.cluster.messages import (
    Gone,
    Hosted,
    HostRequest,
    Placed,
    Said,
    StartWorker,
    WorkerEnded,
)
from agent.ablation.pool.messages import Beat, Done, Failed, Order, StartFailed
from agent.models.errors import ModelError

NEXT_S = 2.0
END_S = 3.0
NAME_TRIES_S = 12.0
TURN_SLACK_S = 1.0
Picture = NDArray[np.uint8]
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class RemoteWorker:
    """From the wish for a worker to its end, in its turn in ``slot``."""

    def __init__(self, cluster: Cluster, start: StartWorker, slot: ActorSlot) -> None:
        self._cluster = cluster
        self._start = start
        self._slot = slot
        self._sound = False  # whether the actor does what it is told
        self._hosted: Hosted | None = None
        self._turn: tuple[str, str] | None = None
        self._jobs: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._run())

    def give(self, order: Order, image: Picture, aperture: NDArray[np.bool_] | None) -> None:
        """Send a job on its way; its answer is said later."""
        task = asyncio.create_task(self._give(order, image, aperture))
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    def of(self, slot: ActorSlot) -> bool:
        """Whether it is a worker of ``slot``."""
        return self._slot is slot

    def refuse(self, failed: Failed) -> None:
        """A job that does not get as far as the worker."""
        self._say(failed)

    async def end(self) -> None:
        """End the worker: its actor is asked for at most ``END_S``, then killed."""
        for task in (self._task, *self._jobs):
            task.cancel()
        await asyncio.gather(self._task, *self._jobs, return_exceptions=True)
        self._give_back()
        slot = self._slot
        if slot.making is not None and not slot.making.done():
            await asyncio.wait([slot.making])  # one call to the cluster's head: it has an end
        if slot.actor is None:
            return
        if self._sound:
            with contextlib.suppress(self._cluster.ray.exceptions.RayError, TimeoutError):
                if await answer(slot.actor.end.remote(), END_S):
                    return
        await self._cluster.kill(slot)

    # --- life ------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            hosted = await self._host()
            if isinstance(hosted, StartFailed):
                self._say(hosted)
                return
            self._hosted = hosted
            self._sound = True
            self._cluster.say(Placed(self._start.number, hosted.pid, hosted.node))
            while not await self._listen():
                pass
        except TimeoutError:
            self._sound = False
            self._gone(f"no word from its machine for {ANSWER_S:g} s")
        except Exception as error:  # noqa: BLE001 - of Ray or ours: it costs this worker
            self._sound = False
            self._gone(" ".join(f"{type(error).__name__}: {error}".split())[:300])

    async def _host(self) -> Hosted | StartFailed:
        if self._slot.ending is not None:
            await asyncio.wait([self._slot.ending])
        try:
            files, refs = await asyncio.to_thread(self._cluster.model, self._start.args.spec.model)
        except ModelError as error:
            return StartFailed("ModelError", str(error), permanent=True)
        if (missing := await asyncio.to_thread(self._cluster.room)) is not None:
            return StartFailed("NoResource", missing, permanent=False)
        kept = self._slot.actor is not None
        if not kept and (failed := await self._make()) is not None:
            return failed
        args = self._cluster.args
        request = HostRequest(
            args=self._start.args,
            files=files,
            priority=args.priority,
            gpus=args.gpus,
            lease_s=args.lease_s,
            version=package_version(),
        )
        try:
            return await self._started(request, refs)
        except self._cluster.ray.exceptions.RayError as error:
            if not kept:
                return _not_started(error)
        await self._cluster.kill(self._slot)  # it died after its last worker
        if (failed := await self._make()) is not None:
            return failed
        try:
            return await self._started(request, refs)
        except self._cluster.ray.exceptions.RayError as error:
            return _not_started(error)

    async def _started(self, request: HostRequest, refs: tuple[Any, ...]) -> Hosted | StartFailed:
        asked = asyncio.wrap_future(self._slot.actor.start.remote(request, *refs).future())
        while not asked.done():  # for how long, the pool decides
            self._say(Beat(0, "waiting for a place in the cluster"))
            await asyncio.wait([asked], timeout=1.0)
        return asked.result()  # type: ignore[no-any-return]

    async def _make(self) -> StartFailed | None:
        """Make the actor, under the name that this agent's slot has in the cluster."""
        args, name = self._cluster.args, f"worker-{self._start.slot}"
        options = self._cluster.ray.remote(WorkerHost).options(
            name=name,
            num_cpus=args.cpus,
            num_gpus=args.gpus,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=4,
        )

        def make() -> None:
            self._slot.actor = options.remote()

        end = time.monotonic() + NAME_TRIES_S
        while True:
            # Goes on when this worker is ended meanwhile, and ``end`` finds the actor.
            self._slot.making = asyncio.ensure_future(asyncio.to_thread(make))
            try:
                await asyncio.shield(self._slot.making)
            except ValueError as error:
                if "name" not in str(error):
                    raise
                if time.monotonic() > end:
                    detail = (
                        f"{name} of agent {args.agent_id} is in use in {args.address}: "
                        "two agents with one id?"
                    )
                    return StartFailed("SameId", detail, permanent=False)
                await asyncio.sleep(0.3)
            else:
                return None

    async def _listen(self) -> bool:
        """Hand on what the worker says; true after the last of it."""
        for message in await answer(self._slot.actor.next.remote(NEXT_S), ANSWER_S):
            if isinstance(message, WorkerEnded):
                self._gone(message.how)
                return True
            if isinstance(message, Done | Failed):
                self._give_back()
            self._say(message)
        return False

    # --- jobs ------------------------------------------------------------------------------------

    async def _give(self, order: Order, image: Picture, aperture: NDArray[np.bool_] | None) -> None:
        hosted = self._hosted
        assert hosted is not None
        store = min(self._cluster.store_bytes, hosted.store_bytes)
        if image.nbytes > store:
            detail = f"a picture of {image.nbytes} bytes does not fit the object store of {store}"
            self._say(Failed(order.job_id, "picture", detail, 0))
            return
        if self._cluster.shared and not await self._has_turn(order, hosted):
            self._say(Failed(order.job_id, "deadline", f"no turn at {hosted.place} in time", 0))
            return
        left_s = order.deadline_mono - time.monotonic()
        try:
            # In a thread: a store that is full makes this wait.
            give = self._slot.actor.give.remote
            await (await asyncio.to_thread(give, order, left_s, image, aperture))
        except self._cluster.ray.exceptions.ObjectStoreFullError as error:
            self._give_back()
            self._say(Failed(order.job_id, "picture", " ".join(str(error).split())[:300], 0))
        except self._cluster.ray.exceptions.RayError:
            pass  # the actor is gone, which ``_listen`` says

    async def _has_turn(self, order: Order, hosted: Hosted) -> bool:
        left_s = order.deadline_mono - time.monotonic()
        agent = self._cluster.args.agent_id
        # Of several agents two jobs may have the same id.
        job = f"{agent}/{self._start.number}/{order.job_id}"
        ask = Ask(
            job=job,
            agent=agent,
            sampling_class=order.sampling_class.value,
            place=hosted.place,
            capacity=hosted.capacity,
            hold_s=left_s + TURN_SLACK_S,
        )
        self._turn = (hosted.place, job)
        if await self._cluster.take_turn(ask, max(0.0, left_s)):
            return True
        self._turn = None
        return False

    def _give_back(self) -> None:
        if self._turn is not None:
            turn, self._turn = self._turn, None
            self._cluster.give_back(*turn)

    def _say(self, message: object) -> None:
        self._cluster.say(Said(self._start.number, message))

    def _gone(self, how: str) -> None:
        self._give_back()
        self._cluster.say(Gone(self._start.number, how))


def _not_started(error: Exception) -> StartFailed:
    lines = [line for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    if any("No module named 'agent" in line for line in lines):
        detail = (
            f"a machine of the cluster has no pitwatch in its Ray's Python: {lines[-1].strip()}"
        )
        return StartFailed("NoPackage", detail[:300], permanent=True)
    words = " ".join(" ".join(lines).split())
    return StartFailed(type(error).__name__, words[:300], permanent=False)

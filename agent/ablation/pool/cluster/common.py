"""What the workers of one driver share: Ray, the model in its store, the arbiter, their actors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.ablation.pool.cluster.arbiter import Arbiter, Ask
from agent.ablation.pool.cluster.messages import DriverArgs, ModelFiles
from agent.ablation.pool.cluster.model_files import read_model
from agent.models.errors import ModelError

ANSWER_S = 10.0
"""An actor that has not answered after so long is gone or cut off."""
ARBITER_NAMESPACE = "pitwatch"


async def answer(ref: Any, timeout_s: float) -> Any:
    """What a call gave; ``TimeoutError`` when it has not come in time."""
    return await asyncio.wait_for(asyncio.wrap_future(ref.future()), timeout_s)


@dataclass(slots=True)
class ActorSlot:
    """What the workers of one slot hand on: their actor, and the end of the one before."""

    actor: Any = None
    making: asyncio.Future[None] | None = None
    ending: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Cluster:
    """What the workers of one driver share: Ray, the model's files in its store, the arbiter."""

    ray: Any
    args: DriverArgs
    say: Callable[[object], None]
    store_bytes: int
    _files: ModelFiles = field(default_factory=lambda: ModelFiles({}))
    _refs: tuple[Any, ...] = ()
    _arbiter: Any = None

    @property
    def shared(self) -> bool:
        """Whether workers have a share of what others use as well, and take turns."""
        return self.args.gpus < 1.0 if self.args.gpus else self.args.cpus < 1.0

    def model(self, model: Any) -> tuple[ModelFiles, tuple[Any, ...]]:
        """The model's files, in the object store once for all workers. ``ModelError``."""
        files, contents = read_model(model)
        if files.digests != self._files.digests:
            total = sum(map(len, contents))
            if total > self.store_bytes:
                raise ModelError(
                    f"a model of {total} bytes does not fit the object store of "
                    f"{self.store_bytes}: start Ray with a larger --object-store-memory"
                )
            refs = (self.ray.put(np.frombuffer(data, np.uint8)) for data in contents)
            self._files, self._refs = files, tuple(refs)
        return self._files, self._refs

    def room(self) -> str | None:
        """Why no machine of the cluster can ever have a worker as it is now; None: one can."""
        nodes = [node for node in self.ray.nodes() if node.get("Alive")]
        gpus, cpus = self.args.gpus, self.args.cpus
        for node in nodes:
            has = node.get("Resources", {})
            if has.get("GPU", 0) >= gpus and has.get("CPU", 0) >= cpus:
                return None
        wanted = " and ".join(f"{n:g} {kind}" for n, kind in ((gpus, "GPU"), (cpus, "CPU")) if n)
        return f"none of the cluster's {len(nodes)} machines offers {wanted} for a worker"

    async def kill(self, slot: ActorSlot) -> None:
        """End a slot's actor, whatever it is at."""
        actor, slot.actor = slot.actor, None
        if actor is not None:
            await asyncio.to_thread(self.ray.kill, actor)

    async def take_turn(self, ask: Ask, wait_s: float) -> bool:
        """Wait for a job's turn. Without a word of the arbiter the job goes on."""
        try:
            arbiter = await asyncio.to_thread(self._the_arbiter)
            return bool(await answer(arbiter.take.remote(ask, wait_s), wait_s + ANSWER_S))
        except (self.ray.exceptions.RayError, ValueError, TimeoutError):
            self._arbiter = None
            return True

    def give_back(self, place: str, job: str) -> None:
        if self._arbiter is not None:
            self._arbiter.give_back.remote(place, job)

    def _the_arbiter(self) -> Any:
        if self._arbiter is None:
            made = self.ray.remote(Arbiter).options(
                name="arbiter",
                namespace=ARBITER_NAMESPACE,
                get_if_exists=True,
                num_cpus=0,
                max_concurrency=1000,
            )
            self._arbiter = made.remote()
        return self._arbiter

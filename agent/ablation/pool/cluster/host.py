"""The actor: one worker on one machine of the cluster, its process, and its end.

The worker is a child process of the actor, the same one that a local pool starts. So it can be
killed at any moment, whatever it is in the middle of, and with it goes all that it held on the GPU:
ended by the actor when the driver says so, and by the kernel when the actor itself is gone.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.ablation.pool.cluster.messages import Hosted, HostRequest, WorkerEnded
from agent.ablation.pool.cluster.model_files import model_folder, place_model
from agent.ablation.pool.messages import Beat, Failed, Order, StartFailed
from agent.ablation.pool.placement import worker_environment
from agent.ablation.pool.shared_image import SharedImage, SharedImageError
from agent.models.errors import ModelError
from agent.supervision.child import Child, ChildBusy, ChildGone, ChildSpec, spawn
from agent.supervision.live_priority import LivePriority
from agent.supervision.waker import Waker

TICK_S = 0.5
END_S = 5.0
SAID_MAX = 256
Picture = NDArray[np.uint8]


def package_version() -> str:
    """The version of this package, as it is installed."""
    try:
        return version("pitwatch")
    except PackageNotFoundError:
        return "unknown"


class WorkerHost:
    """One worker at a time; several of its methods may be called at a time.

    One thread owns the child, since the kernel kills it with the thread that started it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards the next five
        self._said: deque[object] = deque()
        self._orders: deque[tuple[Order, Picture, NDArray[np.bool_] | None]] = deque()
        self._how: str | None = None
        self._dead = True
        self._asked_mono = time.monotonic()
        self._ending = threading.Event()
        self._waker = Waker()
        self._live = LivePriority()
        self._image = SharedImage("picture")

    def start(self, request: HostRequest, *contents: Any) -> Hosted | StartFailed:
        """Start the worker. ``contents``: the model's files, (N,) uint8, as ``request`` says."""
        if request.version != (ours := package_version()):
            detail = f"the agent is pitwatch {request.version}, this machine has {ours}"
            return StartFailed("VersionError", f"{_node()}: {detail}", permanent=True)
        import ray  # the actor runs in Ray

        where = ray.get_runtime_context()
        gpus = [str(one) for one in where.get_accelerator_ids().get("GPU", [])]
        try:
            spec = _spec(request, gpus, [bytes(memoryview(one)) for one in contents], self)
        except ModelError as error:
            return StartFailed("ModelError", f"{_node()}: {error}", permanent=True)
        started: deque[Child | OSError | ChildGone] = deque()
        with self._changed:  # the worker before has ended: ``end`` has said so
            self._said.clear()
            self._orders.clear()
            self._how, self._dead = None, False
            self._asked_mono = time.monotonic()
        self._ending = threading.Event()
        threading.Thread(
            target=self._run, args=(spec, request.lease_s, started), name="worker", daemon=True
        ).start()
        with self._changed:
            self._changed.wait_for(lambda: started)
        child = started[0]
        if not isinstance(child, Child):
            return StartFailed("OSError", f"{_node()}: {child}", permanent=False)
        node = where.get_node_id()
        mine: Mapping[str, Any] = next((n for n in ray.nodes() if n["NodeID"] == node), {})
        resources = mine.get("Resources", {})
        processors = max(1, int(resources.get("CPU", 1)) // request.args.threads)
        return Hosted(
            pid=child.pid,
            node=_node(),
            place=f"{node}/gpu{gpus[0]}" if gpus else f"{node}/cpu",
            capacity=1 if gpus else processors,
            store_bytes=int(resources.get("object_store_memory", 0)),
        )

    def next(self, wait_s: float) -> list[object]:
        """What the worker has said, waited for at most ``wait_s``; ``WorkerEnded`` is the last."""
        with self._changed:
            self._asked_mono = time.monotonic() + wait_s
            self._changed.wait_for(lambda: self._said or self._how is not None, wait_s)
            self._asked_mono = time.monotonic()
            said = list(self._said)
            self._said.clear()
            if self._how is not None:
                said.append(WorkerEnded(self._how))
        return said

    def give(
        self, order: Order, left_s: float, image: Picture, aperture: NDArray[np.bool_] | None
    ) -> None:
        """A job; ``left_s`` until its deadline, since this machine has a clock of its own."""
        order = replace(order, deadline_mono=time.monotonic() + left_s)
        with self._changed:
            self._orders.append((order, image, aperture))
        self._waker.wake()

    def end(self) -> bool:
        """Kill the worker; whether its process is dead."""
        self._ending.set()
        self._waker.wake()
        with self._changed:
            return bool(self._changed.wait_for(lambda: self._dead, END_S))

    # --- the thread that owns the child ----------------------------------------------------------

    def _run(self, spec: ChildSpec, lease_s: float, started: deque[Any]) -> None:
        try:
            child = spawn(spec)
        except (OSError, ChildGone) as error:
            with self._changed:
                started.append(error)
                self._dead = True
                self._changed.notify_all()
            return
        with self._changed:
            started.append(child)
            self._changed.notify_all()
        try:
            while not self._ending.is_set() and not self._forgotten(lease_s):
                self._waker.wait(TICK_S, child.fileno())
                self._say(child.receive())
                self._hand_over(child)
        except (ChildGone, ChildBusy):
            pass
        finally:
            dead = child.kill(END_S)
            with self._changed:
                self._dead = dead
                self._how = child.describe_exit() if dead else "not dead yet"
                self._changed.notify_all()
        if self._forgotten(lease_s):
            os._exit(1)  # the driver is gone, or this machine is cut off: give back what it has

    def _forgotten(self, lease_s: float) -> bool:
        with self._changed:
            return time.monotonic() - self._asked_mono > lease_s

    def _say(self, messages: list[object]) -> None:
        if not messages:
            return
        with self._changed:
            for message in messages:
                newest = self._said[-1] if self._said else None
                if isinstance(message, Beat) and isinstance(newest, Beat):
                    self._said[-1] = message  # only the newest beat says anything
                elif len(self._said) < SAID_MAX:
                    self._said.append(message)
            self._changed.notify_all()

    def _hand_over(self, child: Child) -> None:
        while True:
            with self._changed:
                if not self._orders:
                    return
                order, image, aperture = self._orders.popleft()
            try:
                header = self._image.write(image, aperture)
            except SharedImageError as error:
                self._say([Failed(order.job_id, "picture", str(error), child.rss_bytes())])
                continue
            child.send(replace(order, image=header))


def _spec(
    request: HostRequest, gpus: list[str], contents: list[bytes], host: WorkerHost
) -> ChildSpec:
    """How the worker's process is started here; ``ModelError``."""
    spec = request.args.spec
    if request.gpus and not gpus:
        raise ModelError("Ray gave no GPU: is CUDA_VISIBLE_DEVICES set to nothing there?")
    model = place_model(spec.model, request.files, contents, model_folder())
    device = "cuda:0" if gpus else "cpu"
    args = replace(request.args, spec=replace(spec, model=model, device=device))
    return ChildSpec(
        name="worker",
        target=spec.target,
        args=args,
        fds={"image": host._image.fd, "live": host._live.fd},
        env=worker_environment(device, request.args.threads, ",".join(gpus)),
        priority=request.priority,
    )


def _node() -> str:
    return os.uname().nodename

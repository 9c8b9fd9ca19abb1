"""The agent's side of a cluster: the driver's process, and a worker for each slot behind it.

Used by the pool's thread alone. The driver is started when a slot wants a worker and there is none;
when it dies, or says nothing, every worker behind it is gone, as if its process had died. So the
slots' back-off, budgets and breakers hold for the driver too.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections import deque

from agent.ablation.pool.cluster.joining import environment
from agent.ablation.pool.cluster.messages import (
    Connected,
    DriverArgs,
    DriverBeat,
    EndWorker,
    GiveJob,
    Gone,
    Placed,
    Refused,
    Said,
    StartWorker,
)
from agent.ablation.pool.messages import Done, Failed, StartFailed
from agent.ablation.pool.placement import Placement
from agent.ablation.pool.process import order_of, worker_args
from agent.ablation.pool.shared_image import SharedImage
from agent.ablation.pool.slot import WorkerContext
from agent.records import Selection
from agent.supervision.child import Child, ChildBusy, ChildGone, ChildSpec, spawn
from agent.supervision.survivors import Survivors
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

DRIVER_TARGET = "agent.ablation.pool.cluster.driver:main"
REAP_S = 0.5
LEASES = 3
"""A worker that its driver has not asked for so many heartbeat time-outs ends itself."""
LEAST_LEASE_S = 10.0


def plan_cluster_slots(count: int) -> tuple[Placement, ...]:
    """One placement for each worker that this agent may have in the cluster. Which device it is,
    its machine says."""
    return tuple(Placement(f"ray-{number}", "", {}) for number in range(count))


class ClusterLink:
    """At most one driver, and the workers behind it."""

    def __init__(self, context: WorkerContext, count: int) -> None:
        self._context = context
        self._count = count
        self._images: tuple[SharedImage, ...] = ()
        self._driver: Child | None = None
        self._connected = False
        self._started_mono = self._heard_mono = self._looked_mono = 0.0
        self._numbers = itertools.count()
        self._workers: dict[int, ClusterWorker] = {}
        self._say_connected(False)

    @property
    def pid(self) -> int:
        """Process id of the driver; 0 while there is none."""
        return 0 if self._driver is None else self._driver.pid

    def launch(self, placement: Placement) -> ClusterWorker:
        """A worker for a slot; ``OSError`` or ``ChildGone`` when there is no driver to be had."""
        driver = self._driver or self._start()
        slot = int(placement.name.partition("-")[2])
        number = next(self._numbers)
        worker = ClusterWorker(self, number, self._images[slot], placement.name)
        try:
            driver.send(StartWorker(number, slot, worker_args(placement, self._context)))
        except (ChildGone, ChildBusy) as error:
            self._lose("exited", str(error))
            raise ChildGone(str(error)) from error
        self._workers[number] = worker
        return worker

    def send(self, message: object) -> None:
        """Tell the driver; ``ChildGone``, ``ChildBusy``."""
        if self._driver is None:
            raise ChildGone("there is no driver")
        self._driver.send(message)

    def fileno(self) -> int:
        """Descriptor that is readable when the driver has said something; -1: there is none."""
        return -1 if self._driver is None else self._driver.fileno()

    def pump(self) -> None:
        """Hand what the driver has said to its workers; end one that is dead or silent."""
        if self._driver is None:
            return
        now = self._context.clock()
        if (gap_s := now - self._looked_mono) > self._context.settings.heartbeat_timeout_s / 2:
            self._heard_mono += gap_s  # nobody is silent while nobody listens
            self._started_mono += gap_s
        self._looked_mono = now
        try:
            messages = self._driver.receive()
        except ChildGone:
            self._lose("exited", "")
            return
        for message in messages:
            self._heard_mono = now
            self._hear(message)
        self._judge(now)

    def _judge(self, now: float) -> None:
        settings = self._context.settings
        if self._connected:
            silent = now - self._heard_mono > settings.heartbeat_timeout_s
        else:
            silent = now - self._started_mono > settings.start_timeout_s
        if silent:
            self._lose("silent", "it says nothing")

    def leave(self, worker: ClusterWorker) -> None:
        """A slot wants this worker no more: what it says from now on is dropped."""
        if self._workers.pop(worker.number, None) is None:
            return
        with contextlib.suppress(ChildGone, ChildBusy):
            self.send(EndWorker(worker.number))

    def close(self, patience_s: float) -> None:
        """The pool ends: so does the driver, which ends its workers first."""
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.stop(patience_s)
        for image in self._images:
            image.close()
        self._say_connected(False)

    def _start(self) -> Child:
        context = self._context
        settings, ray = context.settings, context.settings.ray
        context.survivors.check_room()
        # New memory for each driver: one that could not be killed shares nothing with the next.
        self._images = tuple(SharedImage(f"picture-ray-{n}") for n in range(self._count))
        tls = ray.tls
        files = (ray.token_file, tls.ca, tls.certificate, tls.key)
        self._driver = spawn(
            ChildSpec(
                name="ray-driver",
                target=DRIVER_TARGET,
                # It takes a second of processor time to start, beside a live path.
                priority="low",
                args=DriverArgs(
                    address=ray.address or "",
                    agent_id=context.spec.agent_id,
                    gpus=ray.gpus,
                    cpus=ray.cpus,
                    heartbeat_s=settings.heartbeat_s,
                    lease_s=max(LEAST_LEASE_S, LEASES * settings.heartbeat_timeout_s),
                    priority=settings.priority.value,
                ),
                fds={f"image-{n}": image.fd for n, image in enumerate(self._images)},
                env=environment(
                    *(None if file is None else str(file.absolute()) for file in files)
                ),
            )
        )
        self._connected = False
        self._started_mono = self._heard_mono = self._looked_mono = context.clock()
        log_event(logger, logging.INFO, "cluster_driver_started", pid=self._driver.pid)
        return self._driver

    def _hear(self, message: object) -> None:
        if isinstance(message, Said):
            worker = self._workers.get(message.number)
            if worker is not None:
                worker.said.append(message.message)
            elif isinstance(message.message, Done | Failed):
                self._context.telemetry.count("cluster_results_late")
        elif isinstance(message, Placed):
            if (worker := self._workers.get(message.number)) is not None:
                worker.pid = message.pid
        elif isinstance(message, Gone):
            if (worker := self._workers.pop(message.number, None)) is not None:
                worker.gone = message.how
                with contextlib.suppress(ChildGone, ChildBusy):
                    self.send(EndWorker(message.number))
        elif isinstance(message, Connected):
            self._say_connected(True)
            log_event(logger, logging.INFO, "cluster_joined", detail=message.detail)
        elif isinstance(message, Refused):
            failed = StartFailed(message.reason, message.detail, message.permanent)
            for worker in self._workers.values():
                worker.said.append(failed)
            self._lose(message.reason, message.detail)
        else:
            assert isinstance(message, DriverBeat)

    def _lose(self, reason: str, detail: str) -> None:
        """The driver is over, and all that it held with it."""
        driver, self._driver = self._driver, None
        if driver is None:
            return
        how = self._context.survivors.end(driver, REAP_S)
        detail = detail or how
        for worker in self._workers.values():
            worker.gone = f"the driver of the cluster is gone: {detail}"
        self._workers.clear()
        for image in self._images:
            image.close()
        self._context.telemetry.count("cluster_driver_restarts", reason=reason)
        log_event(logger, logging.WARNING, "cluster_lost", reason=reason, detail=detail)
        self._say_connected(False)

    def _say_connected(self, connected: bool) -> None:
        self._connected = connected
        self._context.telemetry.gauge("cluster_connected", float(connected))


class ClusterWorker:
    """A worker behind the driver, as a slot of the pool knows it."""

    def __init__(self, link: ClusterLink, number: int, image: SharedImage, name: str) -> None:
        self._link = link
        self._image = image
        self.number = number
        self.name = name
        self.pid = 0
        self.said: deque[object] = deque()
        self.gone: str | None = None
        """How it ended; None while it may live."""

    def fileno(self) -> int:
        return self._link.fileno()

    def receive(self) -> list[object]:
        self._link.pump()
        messages = list(self.said)
        self.said.clear()
        if not messages and self.gone is not None:
            raise ChildGone(self.gone)
        return messages

    def give(self, selection: Selection) -> None:
        """Hand a job over. ``SharedImageError``: the picture; ``ChildGone``, ``ChildBusy``."""
        if self.gone is not None:
            raise ChildGone(self.gone)
        frame = selection.frame
        header = self._image.write(frame.image, frame.aperture)
        self._link.send(GiveJob(self.number, order_of(selection, header)))

    def end(self, survivors: Survivors) -> str:
        self._link.leave(self)
        return self.gone or "ended in the cluster"

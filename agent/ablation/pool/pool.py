"""The ablation pool: one process per slot, killed and replaced when it fails, never waited for.

A supervisor thread owns the workers: it starts them, hands jobs over, listens, and kills. Callers
only touch two queues under a lock, so ``submit`` costs microseconds whatever the workers do; the
picture is copied by the supervisor. What a worker is, and may miss, is decided in ``lifecycle``.

What is caught, and by what. A worker that exits or is killed: the end of its socket, at once. One
that is stopped, or hangs holding the interpreter lock: missing heartbeats. One whose heartbeat
thread goes on while its job does not: the job's deadline plus ``KILL_GRACE_S``; a beat proves no
more than that threads run. One out of memory: its own report, or the kernel's kill. Only the job at
hand is lost, as a ``JobFailure``. Each slot has a back-off, a restart budget and a circuit breaker
of its own, so that one broken GPU does not take the others out of service; the pool's breaker
counts as open when no slot is left.

With ``pool: ray`` the slots' workers are in a cluster (``cluster``), and all of the above holds for
them as it is: what happens there reaches the slot as the end of a process, as silence, or as an
answer. Slots of this computer may stand in while the cluster is away (``standby``).

Why not Pebble's ``ProcessPool`` (5.2 looked at)? It does kill a task at its time-out and replaces
dead workers. But all its workers take tasks from one pipe under one lock: a task cannot be given to
a chosen worker, and a worker killed while it holds the lock blocks the others until the lock's
time-out of 60 s breaks the pool (noxdafox/pebble#119, #163). Workers get the same initializer and
arguments, so none can be pinned to a GPU of its own before CUDA starts. A dead worker is replaced
at once and for ever, without back-off, budget or breaker; there is no heartbeat, so a stopped idle
worker goes unnoticed; a time-out first asks by SIGTERM, for 3 s; pictures would be pickled through
the pipe. What is needed here is what Pebble leaves out, and ``agent.supervision`` has the rest.
"""

from __future__ import annotations

import logging
import os
import random
import threading
from collections import Counter, deque
from collections.abc import Iterable

from agent import config
from agent.ablation.pool.cluster.link import ClusterLink, plan_cluster_slots
from agent.ablation.pool.lifecycle import COMING, READY, End, WorkerLife, WorkerState
from agent.ablation.pool.messages import WorkerSpec
from agent.ablation.pool.placement import Placement, plan_slots
from agent.ablation.pool.process import WorkerProcess
from agent.ablation.pool.slot import Launch, Result, WorkerContext, WorkerSlot, failure
from agent.ablation.pool.standby import Standby
from agent.records import PoolStatus, Selection
from agent.supervision.live_priority import LivePriority
from agent.supervision.waker import Waker
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

TICK_S = 0.1
"""Longest sleep of the supervisor: how late a deadline or a start may be noticed."""
GAP_S = 1.0
"""A supervisor that did not run for longer (a suspended machine) excuses its workers."""
ENDED_PER_SLOT = 16
"""Ended jobs that nobody has fetched; beyond it no job is taken, so none is ever lost."""
FAILED_PAUSE_S = 1.0
LEAVE_S = 3.0
"""What the cluster's driver has to end its workers in order; else the cluster does."""


class AblationPool:
    """Runs ``spec`` in one process per slot of ``settings``.

    Raises ``SlotError`` for devices that this machine does not have. ``status().ready`` counts the
    workers with a proven model, busy ones included. Workers stand still while ``live`` is claimed.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        settings: config.Workers,
        telemetry: Telemetry,
        clock: Clock,
        live: LivePriority | None = None,
    ) -> None:
        self._telemetry = telemetry
        self._clock = clock
        context = WorkerContext(spec, settings, telemetry, clock, self._end, live or LivePriority())
        self._context = context
        self._renewing: WorkerSlot | None = None
        self._survivors = context.survivors
        rng = random.Random()  # noqa: S311 - jitter

        def slots(placements: Iterable[Placement], launch: Launch) -> tuple[WorkerSlot, ...]:
            lives = ((placement, WorkerLife(settings, rng)) for placement in placements)
            return tuple(WorkerSlot(where, life, context, launch) for where, life in lives)

        def local(settings: config.Workers) -> tuple[WorkerSlot, ...]:
            placements = plan_slots(settings, _gpu_count, os.environ.get("CUDA_VISIBLE_DEVICES"))
            return slots(placements, lambda placement: WorkerProcess(placement, context))

        self._link: ClusterLink | None = None
        self._standby = Standby(settings.ray.away_after_s)
        self._stand_ins: tuple[WorkerSlot, ...] = ()
        if settings.pool is config.PoolKind.LOCAL:
            self._slots = local(settings)
        else:
            count = 1 if settings.count is None else settings.count
            self._link = ClusterLink(context, count)
            self._slots = slots(plan_cluster_slots(count), self._link.launch)
            if count:
                stand_ins = {"count": settings.ray.local_workers}
                self._stand_ins = local(settings.model_copy(update=stand_ins))
        for slot in self._stand_ins:
            slot.wanted = False
        self._lock = threading.Lock()  # guards the next four
        self._inbox: deque[Selection] = deque()
        self._ended: deque[Result] = deque()
        self._idle = 0
        self._open = 0  # jobs taken and not ended
        self._ended_max = ENDED_PER_SLOT * max(1, len(self._slots + self._stand_ins))
        self._status = PoolStatus(len(self._slots), 0, 0, 0, breaker_open=False)
        self._waker = Waker()
        self._news = Waker()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pool", daemon=True)

    # --- for callers, from any thread ------------------------------------------------------------

    def start(self) -> None:
        """Start the supervisor, which starts the workers."""
        self._thread.start()

    def submit(self, selection: Selection) -> bool:
        """Take a job for a free worker, or refuse it; never waits. A job that was taken ends in
        ``results`` exactly once.

        The frame is copied later by the supervisor: it must not be written to any more.
        """
        with self._lock:
            if self._free() == 0:
                return False
            self._inbox.append(selection)
            self._open += 1
        self._waker.wake()
        return True

    def free_slots(self) -> int:
        """How many jobs ``submit`` would take now."""
        with self._lock:
            return self._free()

    def renew(self, spec: WorkerSpec) -> None:
        """Have the workers replaced by those of ``spec``, one after the other; one at a job ends it
        first. Its explanation says which model it is of."""
        self._context.spec = spec
        self._waker.wake()

    def renewed(self) -> bool:
        """Whether every worker that there is was started with the spec of the last ``renew``."""
        return not any(slot.outdated for slot in self._all_slots())

    def results(self) -> list[Result]:
        """Return and forget the jobs that have ended, oldest first."""
        with self._lock:
            ended = list(self._ended)
            self._ended.clear()
            if ended:
                os.eventfd_read(self._news.fd)
        return ended

    def fileno(self) -> int:
        """Descriptor that is readable while ``results`` has something."""
        return self._news.fd

    def status(self) -> PoolStatus:
        """How the workers were at the supervisor's last turn."""
        return self._status

    def slots(self) -> frozenset[str]:
        """The names of all slots."""
        return frozenset(slot.name for slot in self._all_slots())

    def pids(self) -> dict[str, int]:
        """Process ids by slot, of the workers that have a process; one in a cluster has it on its
        own machine."""
        processes = ((slot.name, slot.process) for slot in self._all_slots())
        return {name: p.pid for name, p in processes if p is not None and p.pid}

    def local_pids(self) -> list[int]:
        """Process ids of what runs on this computer: its workers, or the cluster's driver."""
        if self._link is None:
            return list(self.pids().values())
        stand_ins = (slot.process for slot in self._stand_ins)
        return [pid for pid in (self._link.pid, *(p.pid for p in stand_ins if p)) if pid]

    def stop(self, timeout_s: float) -> bool:
        """Kill the workers; running and waiting jobs end as failures by reason ``shutdown``. True
        when it was done in time."""
        with self._lock:
            self._stopping.set()
        if self._thread.ident is None:
            return True
        self._waker.wake()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _free(self) -> int:
        if self._stopping.is_set():
            return 0
        room = self._ended_max - len(self._ended) - self._open
        return max(0, min(self._idle - len(self._inbox), room))

    # --- the supervisor's thread -----------------------------------------------------------------

    def _run(self) -> None:
        last = self._clock()
        while not self._stopping.is_set():
            self._telemetry.beat("pool")
            now = self._clock()
            try:
                self._turn(now, now - last)
                self._sleep()
            except Exception:  # a defect must not end explanations for good: say so, start over
                logger.exception("pool_failed")
                for slot in self._all_slots():
                    self._give_up(slot)
                self._stopping.wait(FAILED_PAUSE_S)
            last = now
        self._shut_down()

    def _all_slots(self) -> tuple[WorkerSlot, ...]:
        return self._slots + self._stand_ins

    def _turn(self, now: float, gap_s: float) -> None:
        self._survivors.again()
        self._stand_in(now)
        for slot in self._all_slots():
            if gap_s > GAP_S:
                slot.life.excuse(gap_s)
            try:
                slot.turn(now)
            except Exception:  # about one worker: the others go on
                logger.exception("pool_failed", extra={"fields": {"slot": slot.name}})
                self._give_up(slot)
        self._renew()
        self._assign(now)
        self._report()

    def _stand_in(self, now: float) -> None:
        """Local workers start when the cluster is away, and end when it is back."""
        if not self._stand_ins:
            return
        ready = sum(slot.state in READY for slot in self._slots)
        changed = self._standby.update(ready, now)
        for slot in self._stand_ins:
            slot.wanted = self._standby.wanted
        if changed:
            event = "cluster_away" if self._standby.wanted else "cluster_back"
            log_event(logger, logging.WARNING, event, local_workers=len(self._stand_ins))
            self._telemetry.gauge("workers_stand_in", float(self._standby.wanted))

    def _renew(self) -> None:
        """Replace the next outdated worker once the one before is ready, or is out of service."""
        outdated = [slot for slot in self._all_slots() if slot.outdated]
        for slot in outdated:
            if slot.state is WorkerState.STARTING:  # with a model that is live no more
                slot.renew()
        if self._renewing is not None and self._renewing.state in COMING:
            return
        self._renewing = next((s for s in outdated if s.state is WorkerState.IDLE), None)
        if self._renewing is not None:
            self._renewing.renew()

    def _give_up(self, slot: WorkerSlot) -> None:
        """Lose a slot's process, whatever it is at; its back-off says when the next one starts."""
        try:
            slot.lose(End.CRASHED, "the pool itself failed")
        except Exception:
            logger.exception("pool_failed", extra={"fields": {"slot": slot.name}})

    def _sleep(self) -> None:
        processes = [slot.process for slot in self._all_slots()]
        self._waker.wait(TICK_S, *(p.fileno() for p in processes if p is not None))

    def _assign(self, now: float) -> None:
        """Give waiting jobs to idle workers, oldest first; end those that have no hope."""
        slots = self._all_slots()
        out_of_service = all(slot.state is WorkerState.BROKEN for slot in slots)
        idle = deque(slot for slot in slots if slot.state is WorkerState.IDLE)
        while self._inbox:  # only this thread takes out, so what is first stays first
            selection = self._inbox[0]
            if now > selection.selected_mono + selection.deadline_s:
                self._end(failure(selection, "expired", "no worker before its deadline"))
            elif out_of_service:
                self._end(failure(selection, "no_worker", "all workers are out of service"))
            elif not idle:
                return
            elif not idle.popleft().give(selection):
                continue
            with self._lock:
                self._inbox.popleft()
                self._idle = len(idle)

    def _end(self, result: Result) -> None:
        with self._lock:
            self._ended.append(result)
            self._open -= 1
            self._news.wake()

    def _report(self) -> None:
        slots = self._all_slots()
        states = Counter(slot.state for slot in slots if slot.wanted or slot.life.alive)
        serving = self._stand_ins if self._standby.wanted and self._stand_ins else self._slots
        with self._lock:
            self._idle = states[WorkerState.IDLE]
        broken = sum(slot.state is WorkerState.BROKEN for slot in slots)
        self._status = PoolStatus(
            workers=len(serving),
            ready=sum(slot.state in READY for slot in serving),
            busy=states[WorkerState.BUSY],
            restarts=sum(slot.restarts for slot in slots),
            breaker_open=0 < len(slots) == broken,
            reason="; ".join(f"{s.name}: {s.trouble}" for s in slots if s.trouble),
        )
        for state in WorkerState:
            self._telemetry.gauge("workers", states[state], state=state.value)
        self._telemetry.gauge("breaker_open", float(self._status.breaker_open))

    def _shut_down(self) -> None:
        for slot in self._all_slots():
            slot.close("shutdown")
        while self._inbox:
            self._end(failure(self._inbox.popleft(), "shutdown"))
        restarts = sum(slot.restarts for slot in self._all_slots())
        self._status = PoolStatus(
            len(self._slots), 0, 0, restarts, breaker_open=False, reason="stopped"
        )
        for state in WorkerState:
            self._telemetry.gauge("workers", 0, state=state.value)
        if self._link is not None:
            self._link.close(LEAVE_S)


def _gpu_count() -> int:
    # Imported late: a pool that names its devices, or has none, needs no torch in the parent.
    import torch

    return torch.cuda.device_count()

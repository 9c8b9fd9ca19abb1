"""A worker that is a child process of this computer."""

from __future__ import annotations

from dataclasses import replace

from agent.ablation.pool.messages import ImageHeader, Order, WorkerArgs
from agent.ablation.pool.placement import Placement
from agent.ablation.pool.shared_image import SharedImage
from agent.ablation.pool.slot import WorkerContext
from agent.records import Selection
from agent.supervision.child import Child, ChildSpec, spawn
from agent.supervision.survivors import Survivors

REAP_S = 0.5


class WorkerProcess:
    """A child process and the shared memory in which its pictures lie.

    Belongs to the thread that made it: the kernel kills the child when that thread ends. The
    constructor raises ``OSError`` or ``ChildGone`` when no process can be had.
    """

    def __init__(self, placement: Placement, context: WorkerContext) -> None:
        # New memory for each process: one that could not be killed shares nothing with the next.
        self._image = SharedImage(f"picture-{placement.name}")
        try:
            self._child: Child = spawn(
                ChildSpec(
                    name=f"worker-{placement.name}",
                    target=context.spec.target,
                    args=worker_args(placement, context),
                    fds={"image": self._image.fd, "live": context.live.fd},
                    env=placement.env,
                    priority=context.settings.priority.value,
                )
            )
        except BaseException:
            self._image.close()
            raise

    @property
    def pid(self) -> int:
        return self._child.pid

    def fileno(self) -> int:
        return self._child.fileno()

    def receive(self) -> list[object]:
        return self._child.receive()

    def give(self, selection: Selection) -> None:
        """Hand a job over. ``SharedImageError``: the picture; ``ChildGone``, ``ChildBusy``."""
        frame = selection.frame
        self._child.send(order_of(selection, self._image.write(frame.image, frame.aperture)))

    def end(self, survivors: Survivors) -> str:
        """Kill and reap; returns how the process ended, in a few words."""
        how = survivors.end(self._child, REAP_S)
        self._image.close()
        return how


def worker_args(placement: Placement, context: WorkerContext) -> WorkerArgs:
    """What the worker of ``placement`` is started with."""
    settings = context.settings
    spec = replace(context.spec, device=placement.device)
    return WorkerArgs(spec, settings.heartbeat_s, settings.threads)


def order_of(selection: Selection, image: ImageHeader) -> Order:
    """The job for a worker, its picture lying in shared memory as ``image`` says."""
    frame = selection.frame
    return Order(
        job_id=selection.job_id,
        lane=frame.lane,
        frame_id=frame.frame_id,
        captured_utc_ms=frame.captured_utc_ms,
        captured_mono=frame.captured_mono,
        sampling_class=selection.sampling_class,
        rung=selection.rung,
        deadline_mono=selection.selected_mono + selection.deadline_s,
        compute_s=selection.compute_s,
        image=image,
    )

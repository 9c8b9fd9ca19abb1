"""One worker's process as the pool sees it: started, given jobs, listened to, killed."""

from __future__ import annotations

from dataclasses import replace

from agent import config
from agent.ablation.pool.messages import Order, WorkerArgs, WorkerSpec
from agent.ablation.pool.placement import Slot
from agent.ablation.pool.shared_image import PictureSlot
from agent.records import Selection
from agent.supervision.child import Child, ChildSpec, spawn
from agent.supervision.live_priority import LivePriority

REAP_S = 0.5


class WorkerProcess:
    """A child and the memory through which it is handed pictures.

    Belongs to the thread that made it: the kernel kills the child when that thread ends. The
    constructor raises ``OSError`` or ``ChildGone`` when no process can be had.
    """

    def __init__(
        self, slot: Slot, spec: WorkerSpec, settings: config.Workers, live: LivePriority
    ) -> None:
        # New memory for each process: one that could not be killed shares nothing with the next.
        self._picture = PictureSlot(f"picture-{slot.name}")
        args = WorkerArgs(replace(spec, device=slot.device), settings.heartbeat_s, settings.threads)
        try:
            self._child: Child = spawn(
                ChildSpec(
                    name=f"worker-{slot.name}",
                    target=spec.target,
                    args=args,
                    fds={"picture": self._picture.fd, "live": live.fd},
                    env=slot.env,
                    priority=settings.priority.value,
                )
            )
        except BaseException:
            self._picture.close()
            raise
        self.pid = self._child.pid

    def fileno(self) -> int:
        """Readable when a message came or the process is gone."""
        return self._child.fileno()

    def receive(self) -> list[object]:
        """The messages that are there; ``ChildGone`` after the last one."""
        return self._child.receive()

    def give(self, selection: Selection) -> None:
        """Hand a job over. ``HandoverError``: the picture; ``ChildGone``, ``ChildBusy``."""
        frame = selection.frame
        header = self._picture.write(frame.image, frame.aperture)
        self._child.send(
            Order(
                job_id=selection.job_id,
                lane=frame.lane,
                frame_id=frame.frame_id,
                captured_utc_ms=frame.captured_utc_ms,
                captured_mono=frame.captured_mono,
                sampling_class=selection.sampling_class,
                rung=selection.rung,
                deadline_mono=selection.selected_mono + selection.deadline_s,
                compute_s=selection.compute_s,
                picture=header,
            )
        )

    def end(self) -> str:
        """Kill and reap; returns how the process ended, in a few words."""
        self._child.kill(REAP_S)
        self._picture.close()
        return self._child.describe_exit()

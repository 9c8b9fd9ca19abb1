"""The agent's end of the process that tries a staged model."""

from __future__ import annotations

from agent.ablation.pool.shared_image import SharedImage
from agent.pipeline.model_swap.messages import Audit, Look, TrialArgs
from agent.pipeline.model_swap.tally import Answer
from agent.records import Frame, SegmentedFrame
from agent.supervision.child import ChildSpec, spawn
from agent.supervision.live_priority import LivePriority

TARGET = "agent.pipeline.model_swap.trial:main"
END_S = 0.5


class TrialProcess:
    """A child process and the memory in which its pictures lie; for the thread that made it.

    ``OSError`` or ``ChildGone`` where none can be had; ``ChildGone``, ``ChildBusy`` and
    ``SharedImageError`` of what it is sent.
    """

    def __init__(self, args: TrialArgs, live: LivePriority) -> None:
        self._image = SharedImage("trial-picture")
        try:
            self._child = spawn(
                ChildSpec(
                    name="trial",
                    target=TARGET,
                    args=args,
                    fds={"image": self._image.fd, "live": live.fd},
                    priority="idle",
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

    def audit(self, frame: Frame) -> None:
        """Hand a fruit over for the audit."""
        self._child.send(Audit(frame.lane, self._image.write(frame.image, frame.aperture)))

    def look(self, frame: Frame, seen: SegmentedFrame, explain: bool) -> None:
        """Hand a picture over with what the live model made of it."""
        height, width = seen.mask.shape
        self._child.send(
            Look(
                lane=frame.lane,
                variety=frame.machine.variety,
                image=self._image.write(frame.image, frame.aperture),
                mask=seen.mask.tobytes(),
                size=(height, width),
                live=Answer(seen.reading.read, seen.reading.angle_deg),
                explain=explain,
            )
        )

    def receive(self) -> list[object]:
        """What it has said, without waiting; ``ChildGone`` after the last of it."""
        return self._child.receive()

    def rss_bytes(self) -> int:
        return self._child.rss_bytes()

    def end(self) -> str:
        """Kill it; returns how it ended, in a few words."""
        self._child.kill(END_S)
        how = self._child.describe_exit()
        self._image.close()
        return how

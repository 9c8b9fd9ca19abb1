"""The parent's end of a camera that is triggered by software, with each fruit of the machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping

from agent.capture.pairing.seen import SeenIds
from agent.capture.source import SourceError
from agent.capture.sources.genicam.options import options_of
from agent.config import Camera
from agent.records import MachineInfo, Origin


class TriggerLine:
    """An eventfd that the machine's word of each new fruit raises, and the capture child waits for.

    Any other camera has none: ``fds`` is empty then.
    """

    def __init__(self, camera: Camera) -> None:
        flags = os.EFD_CLOEXEC | os.EFD_NONBLOCK
        self._fd = os.eventfd(0, flags) if _fires(camera) else -1
        self._seen = SeenIds()
        self._closing = threading.Lock()  # the supervisor closes, whoever hears the machine fires

    @property
    def fds(self) -> Mapping[str, int]:
        """What the child is given, by name."""
        return {"trigger": self._fd} if self._fd >= 0 else {}

    def heard(self, info: MachineInfo) -> None:
        """Fire where this names a fruit that has not been named before."""
        if self._fd < 0 or info.fruit_id is None:
            return
        if info.origin is not Origin.MACHINE:
            self._seen.stored(info)
        elif not self._seen.take(info).double:
            with self._closing:
                if self._fd >= 0:
                    os.eventfd_write(self._fd, 1)

    def close(self) -> None:
        """Release the descriptor."""
        with self._closing:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)


def _fires(camera: Camera) -> bool:
    if not camera.source.lower().startswith("genicam:") or camera.fps is not None:
        return False
    try:
        return options_of(camera)[1].trigger == "software"
    except SourceError:
        return False  # its child says what is wrong

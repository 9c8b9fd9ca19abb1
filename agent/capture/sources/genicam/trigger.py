"""Software triggers: fired at a steady beat or with each fruit, and which of them were lost."""

from __future__ import annotations

import os
import select
from contextlib import suppress
from typing import Protocol

from agent.capture.sources.genicam.backend import Device, NodeError
from agent.capture.sources.genicam.frame_ids import SoftwareTriggers

PATIENCE_PERIODS = 5
PATIENCE_S = 1.0
LOOK_S = 0.02
"""While a picture is awaited the next fruit is noticed within this time."""


class Pacing(Protocol):
    """Says when a trigger is due, and fires it."""

    def turn(self, now: float, longest_s: float) -> float:
        """Fire if it is time; return for how many seconds a picture may be waited for."""


class SoftwareTrigger:
    """Fires, and knows of which triggers no picture came in time."""

    def __init__(self, device: Device, patience_s: float = PATIENCE_S) -> None:
        self._device = device
        self._book = SoftwareTriggers(max(PATIENCE_S, patience_s))
        self._missed = 0

    @property
    def waiting(self) -> bool:
        """Whether a picture is still to come."""
        return self._book.waiting

    def fire(self, now: float) -> None:
        try:
            self._device.execute("TriggerSoftware")
        except NodeError:  # the camera is not ready for it
            self._missed += 1
        else:
            self._book.fired(now)

    def miss(self, count: int) -> None:
        """So many were due and were not fired."""
        self._missed += count

    def pictures(self, count: int) -> None:
        """So many pictures were taken since the last time, whether they arrived or not."""
        self._book.pictures(count)

    def lost(self, now: float) -> int:
        """Triggers without a picture since the last time."""
        missed, self._missed = self._missed, 0
        return missed + self._book.lost(now)


class Beat:
    """Every 1/fps s from the first time on; after a delay of more than a period it begins anew, so
    that no burst of triggers falls on a camera that is still exposing."""

    def __init__(self, trigger: SoftwareTrigger, fps: float) -> None:
        self._trigger = trigger
        self._period_s = 1 / fps
        self._due: float | None = None

    def turn(self, now: float, longest_s: float) -> float:
        if self._due is None or now >= self._due:
            late = self._due is None or now - self._due > self._period_s
            self._due = (now if late or self._due is None else self._due) + self._period_s
            self._trigger.fire(now)
        return min(longest_s, max(0.0, self._due - now))


class MachineBeat:
    """With each fruit that the machine names: ``fd`` is raised for it, an eventfd.

    Of several that were named while nobody looked only the newest is still before the camera. What
    was raised before the camera was open has passed.
    """

    def __init__(self, trigger: SoftwareTrigger, fd: int) -> None:
        self._trigger = trigger
        self._fd = fd
        self._raised(0.0)

    def turn(self, now: float, longest_s: float) -> float:
        fruit = self._raised(0.0 if self._trigger.waiting else longest_s)
        if fruit:
            self._trigger.miss(fruit - 1)
            self._trigger.fire(now)
        return LOOK_S if self._trigger.waiting else 0.0

    def _raised(self, wait_s: float) -> int:
        """How many fruit were named since the last time."""
        if not select.select([self._fd], [], [], wait_s)[0]:
            return 0
        with suppress(BlockingIOError):  # a process that is being killed may have taken it
            return os.eventfd_read(self._fd)
        return 0

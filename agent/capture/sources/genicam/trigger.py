"""Software triggers: fired at a steady beat, and which of them no picture came of."""

from __future__ import annotations

from agent.capture.sources.genicam.backend import Device, NodeError
from agent.capture.sources.genicam.frame_ids import SoftwareTriggers

DEFAULT_FPS = 280 / 60
PATIENCE_PERIODS = 5
PATIENCE_S = 1.0


class SoftwareTrigger:
    """Fires every 1/fps s from the first time on; after a delay of more than a period it begins
    anew, so that no burst of triggers falls on a camera that is still exposing."""

    def __init__(self, device: Device, fps: float) -> None:
        self._device = device
        self._period_s = 1 / fps
        self._due: float | None = None
        self._book = SoftwareTriggers(max(PATIENCE_S, PATIENCE_PERIODS * self._period_s))
        self._refused = 0

    def fire_when_due(self, now: float) -> float:
        """Fire if it is time; return the seconds until the next one is due."""
        if self._due is None or now >= self._due:
            late = self._due is None or now - self._due > self._period_s
            self._due = (now if late or self._due is None else self._due) + self._period_s
            try:
                self._device.execute("TriggerSoftware")
            except NodeError:  # the camera is not ready for it: that is a trigger lost
                self._refused += 1
            else:
                self._book.fired(now)
        return max(0.0, self._due - now)

    def pictures(self, count: int) -> None:
        """So many pictures were taken since the last time, whether they arrived or not."""
        self._book.pictures(count)

    def lost(self, now: float) -> int:
        """Triggers without a picture since the last time."""
        refused, self._refused = self._refused, 0
        return refused + self._book.lost(now)

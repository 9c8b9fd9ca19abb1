"""The camera's clock on this computer's: latched together, again and again. Pure."""

from __future__ import annotations

STEP_S = 0.05
"""Two latches further apart than this and what both may be off are a clock that was set."""
DRIFT = 2e-4
"""More than a camera's quartz is ever off."""
OLDEST_S = 60.0
"""A stamp of a longer time ago, or of the future, is none of this clock."""


class CameraClock:
    """Fed with latches: the camera's time in ns, and the monotonic seconds around the command.

    Within a burst of latches the quickest is the best; a later burst takes its place, so that drift
    is followed.
    """

    def __init__(self) -> None:
        self._offset_s: float | None = None  # monotonic seconds less those of the camera
        self._doubt_s = 0.0
        self._at_mono = 0.0
        self.steps = 0
        """How often the camera's clock was found to have been set."""

    @property
    def known(self) -> bool:
        return self._offset_s is not None

    def latched(self, latches: list[tuple[float, int, float]]) -> None:
        """Take a burst of (monotonic before, camera's ns, monotonic after)."""
        if not latches:
            return
        before, stamp_ns, after = min(latches, key=lambda one: one[2] - one[0])
        offset_s, doubt_s = (before + after) / 2 - stamp_ns / 1e9, (after - before) / 2
        if self._offset_s is not None:
            drift_s = DRIFT * (after - self._at_mono)
            if abs(offset_s - self._offset_s) > STEP_S + doubt_s + self._doubt_s + drift_s:
                self.steps += 1
        self._offset_s, self._doubt_s, self._at_mono = offset_s, doubt_s, after

    def captured_mono(self, stamp_ns: int, arrived_mono: float) -> float | None:
        """When a picture was taken; None where its stamp cannot be of this clock."""
        if self._offset_s is None:
            return None
        age_s = arrived_mono - (stamp_ns / 1e9 + self._offset_s)
        if not -STEP_S - self._doubt_s <= age_s <= OLDEST_S:
            return None
        return arrived_mono - max(0.0, age_s)

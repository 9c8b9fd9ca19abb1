"""Is the machine running? The newest report counts, from the PLC or from the frames themselves."""

from __future__ import annotations

from agent.records import STANDING, MachineInfo, MachineState

START_GRACE_S = 5.0
"""After a start the first pictures and readings may take this long before silence is a fault."""


class MachineWatch:
    """Keeps the newest state; a report that is older than the newest one is ignored.

    ``scheduled``: a change-over goes on by the clock, whatever the machine reports.
    """

    def __init__(self) -> None:
        self.scheduled = False
        self.state = MachineState.UNKNOWN
        self._stamp_ms = 0
        self._stood_mono: float | None = None

    def update(self, info: MachineInfo, stamp_ms: int) -> None:
        """``stamp_ms`` is for a report without a time of its own."""
        stamp = info.received_utc_ms or stamp_ms
        if info.state is not MachineState.UNKNOWN and stamp >= self._stamp_ms:
            self.state, self._stamp_ms = info.state, stamp

    @property
    def standing(self) -> bool:
        return self.scheduled or self.state in STANDING

    def running(self, now: float) -> bool:
        """True unless the machine stands, or stood a moment ago. Unknown counts as running."""
        if self.standing:
            self._stood_mono = now
        return self._stood_mono is None or now - self._stood_mono >= START_GRACE_S

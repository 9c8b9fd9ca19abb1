"""How long a camera may say nothing before that is a fault. Pure."""

from __future__ import annotations

from collections import deque
from statistics import median

from agent.records import STANDING, CaptureMode, MachineState

SHORTEST_S = 1.0
PERIODS = 10
INTERVALS = 32
PAUSES = 32
PAUSE_SHARE = 1.5
"""A pause may last this many times the longest one seen before it is a fault."""
LONGEST_PAUSE_S = 4 * 3600.0
"""Nothing longer is learnt: a camera that was dead over night is no pattern."""


class Rhythm:
    """Learns the interval between pictures and the pauses of the machine."""

    def __init__(self) -> None:
        self.declared_s = 0.0
        self._last: float | None = None
        self._intervals: deque[float] = deque(maxlen=INTERVALS)
        self._pauses: deque[float] = deque(maxlen=PAUSES)

    def declare(self, fps: float) -> None:
        """Take the rate that the source reports; 0: unknown."""
        self.declared_s = 1.0 / fps if fps > 0 else 0.0

    def pictures(self, count: int, newest_mono: float) -> None:
        """Take ``count`` pictures of which the newest was captured at ``newest_mono``."""
        if self._last is not None and newest_mono > self._last:
            interval = (newest_mono - self._last) / count
            if self._intervals and interval > self.shortest_silence_s:
                self._pauses.append(min(interval, LONGEST_PAUSE_S))
            # A pause too: the median forgives a few, and follows a machine that became slow.
            self._intervals.append(interval)
        self._last = newest_mono

    def new_session(self) -> None:
        """The time without a camera is no interval and no pause."""
        self._last = None

    @property
    def period_s(self) -> float:
        """Declared or learnt interval, whichever is longer: a slow machine is not a silent one."""
        learnt = median(self._intervals) if self._intervals else 0.0
        return max(self.declared_s, learnt)

    @property
    def shortest_silence_s(self) -> float:
        """max(1 s, 10 periods): silence that is a fault while the machine runs."""
        return max(SHORTEST_S, PERIODS * self.period_s)

    @property
    def longest_pause_s(self) -> float:
        """Longest pause that ended by itself; 0 when there was none."""
        return max(self._pauses, default=0.0)


def silence_limit_s(
    rhythm: Rhythm, mode: CaptureMode, machine: MachineState, idle_after_s: float
) -> float | None:
    """Return the silence in seconds that is a fault now; None: none is.

    A free-running camera always delivers. A triggered one delivers while the machine runs; where
    nobody says whether it does, its silence is a fault when it is longer than ``idle_after_s`` and
    clearly longer than every pause so far.
    """
    if mode is CaptureMode.FREE_RUN or machine is MachineState.RUNNING:
        return rhythm.shortest_silence_s
    if machine in STANDING:
        return None
    return max(rhythm.shortest_silence_s, idle_after_s, PAUSE_SHARE * rhythm.longest_pause_s)

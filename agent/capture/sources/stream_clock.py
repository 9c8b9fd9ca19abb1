"""A stream's own time stamps -> when its pictures were taken, on this machine's clock. Pure.

A stamp says how far apart two pictures were taken, not when. Every picture arrives some time after
it was taken; the one that took the least time on its way is the best estimate of the distance
between the two clocks. So the age of a picture is how much later it came than the quickest one
would have: a queue that drains after a stall shows as age, a delay that never changes does not.
"""

from __future__ import annotations

DRIFT = 1e-3
"""The estimate may rise this fast: clocks of cameras are off by less than 0.02 %, and what a slow
network adds must not be taken for drift."""
REORDERED = 8
"""So many pictures in a row may lie before one that came earlier, as B-pictures do; more mean that
the clock was set back."""
JUMP_S = 10.0
"""A stamp that is off by so much more than any stall lasts is none of this clock: some recorders
put a picture hours away between its neighbours."""
JUMPED = 3
"""So many in a row are a new clock."""
QUEUE_SHARE = 0.2
"""Pictures out of a queue come quicker than they were taken: each lowers the estimate by most of
the time between two. A network's jitter lowers it by less than this share."""
JITTER_S = 0.01
ON_PACE = 3
QUIET_S = 0.25
"""A queue would have gone on within this time."""
SLIP_PICTURES = 5
SLIP_S = 2.0
IDLE_S = 0.02
IDLE_SHARE = 0.5
"""A queue has always something to give. A picture before which nothing came for so long, and for so
much of the time since the one before, stood in none."""
SLIPS = 2


class StreamClock:
    """Fed with every picture's stamp and arrival, in the order of arrival.

    ``stall_s``: the longest silence of a network after which it is still the same stream.

    ``settled``: false until the pictures are known to come at their own pace. Right after a connect
    they may come out of a queue, and until it is empty nobody knows how old the first of them was.
    A clock that was set (a restarted encoder) begins anew. A stream whose pictures keep coming
    later than ``max_age_s`` by its stamps, and out of no queue, has a clock that was set or is
    none; the second time its stamps are no longer believed (``trusted``), and the arrival counts.
    """

    def __init__(self, max_age_s: float, stall_s: float) -> None:
        self._max_age_s = max_age_s
        self._jump_s = JUMP_S + stall_s
        self._jumped = 0
        self._offset_s: float | None = None  # smallest (arrival - stamp)
        self._stamp_s = 0.0  # the newest stamp
        self._arrived_mono = 0.0
        self._behind = 0
        self._on_pace = 0
        self._late = 0  # pictures in a row that are too late and stood in no queue
        self._late_mono = 0.0
        self._slips = 0
        self.settled = False

    @property
    def trusted(self) -> bool:
        """Whether the stamps are those of a clock."""
        return self._slips < SLIPS

    def arrive(self, stamp_s: float | None, arrived_mono: float, idle_s: float = 0.0) -> None:
        """Take one picture's stamp (None: it has none), the moment at which it came, and how long
        nothing had come before it."""
        if stamp_s is None or not self.trusted:
            self.settled = True
            return
        offset_s = arrived_mono - stamp_s
        if self._jumps(offset_s):
            self._jumped += 1
            if self._jumped < JUMPED:
                return
            self._offset_s = None
        self._jumped = 0
        self._behind = self._behind + 1 if stamp_s < self._stamp_s else 0
        if self._offset_s is None or self._behind > REORDERED:
            self._begin(stamp_s, offset_s)
        else:
            self._go_on(stamp_s, offset_s, arrived_mono, idle_s)
        self._arrived_mono = arrived_mono

    def quiet(self) -> None:
        """No packet came for ``QUIET_S``: no queue stands before the newest picture."""
        self.settled = self.settled or self._offset_s is not None

    def captured_mono(self, stamp_s: float | None, arrived_mono: float) -> float:
        """Return when a picture with this stamp was taken; its arrival where that is unknown."""
        if stamp_s is None or self._offset_s is None or not self.trusted:
            return arrived_mono
        if self._jumps(arrived_mono - stamp_s):
            return arrived_mono
        return min(arrived_mono, stamp_s + self._offset_s)

    def _jumps(self, offset_s: float) -> bool:
        return self._offset_s is not None and abs(offset_s - self._offset_s) > self._jump_s

    def _begin(self, stamp_s: float, offset_s: float) -> None:
        self._stamp_s, self._offset_s = stamp_s, offset_s
        self._on_pace = self._behind = 0
        self._late = 0
        self.settled = False

    def _go_on(self, stamp_s: float, offset_s: float, arrived_mono: float, idle_s: float) -> None:
        assert self._offset_s is not None
        limit_s = max(JITTER_S, QUEUE_SHARE * (stamp_s - self._stamp_s))
        drains = self._offset_s - offset_s > limit_s
        self._on_pace = 0 if drains else self._on_pace + 1
        self.settled = self.settled or self._on_pace >= ON_PACE
        risen_s = self._offset_s + DRIFT * (arrived_mono - self._arrived_mono)
        self._offset_s = min(risen_s, offset_s)
        self._stamp_s = max(self._stamp_s, stamp_s)
        self._look_for_slip(offset_s, arrived_mono, idle_s)

    def _look_for_slip(self, offset_s: float, arrived_mono: float, idle_s: float) -> None:
        assert self._offset_s is not None
        waited_s = arrived_mono - self._arrived_mono
        late = offset_s - self._offset_s > self._max_age_s
        if not late or idle_s < max(IDLE_S, IDLE_SHARE * waited_s):
            self._late = 0
            return
        if self._late == 0:
            self._late_mono = arrived_mono
        self._late += 1
        if self._late >= SLIP_PICTURES and arrived_mono - self._late_mono >= SLIP_S:
            self._slips += 1
            self._offset_s = offset_s
            self._late = 0

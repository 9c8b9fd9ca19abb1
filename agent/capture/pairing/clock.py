"""The machine's clock on ours: when was it, here, that the machine stamped a message? Pure.

A message arrives some time after its stamp, never before. So of ``arrival - stamp`` over many
messages the smallest is the difference of the two clocks, and what a message has more is how long
it was under way. The difference follows a drift of ``DRIFT`` and no more, so that a network that is
slow for minutes is not taken for a clock that goes wrong.

It is known within a tolerance once the messages prove that none faster is to be expected: if
delays went on evenly below the fastest for that tolerance T, the chance that of ``m`` messages
within a span ``L`` above it none came there would be ``(L / (L + T)) ** m``, at most ``CHANCE``.
Of a prompt network three to six messages prove it, of one whose delays spread over half a period
about twenty.

A clock that steps is found out, and learnt anew:

- forward: two messages in a row would have come ``STEP_S`` faster than the fastest ever;
- back: messages in a row whose stamps rise by themselves and yet lie before one that was there
  already, all equally long under way (messages held up by the network come in a bunch instead);
- either: the owner sees stamps in a row point at what belongs to other messages (``restart``).

A single stamp that is wrong, as clocks give them around a second or a correction, costs itself.
"""

from __future__ import annotations

import itertools
import math
from collections import deque

DRIFT = 0.0005
CHANCE = 1e-6
RESOLUTION_S = 0.001
"""Of stamps."""
APART_S = 0.05
"""Messages closer together than this count once: a bunch agrees with itself whatever held it up."""
STEP_S = 0.1
BEHIND = 3
STEADY_S = 0.05
KEPT = 256
GENERATIONS = 8
UNUSABLE = 0
"""Generation of a message whose stamp says nothing."""


class MachineClock:
    """``generation`` rises by one at each step; a moment is asked for with that of its message."""

    def __init__(self) -> None:
        self.generation = 0
        self._floors: dict[int, float] = {}
        self._floor_mono = 0.0
        self._raws: deque[tuple[float, float]] = deque(maxlen=KEPT)  # (arrival, arrival - stamp)
        self._last_s = 0.0  # the highest stamp
        self._ahead = 0  # messages in a row that came faster than can be
        self._behind: list[tuple[float, float]] = []  # (stamp, arrival - stamp)

    def heard(self, arrived_mono: float, stamp_ms: int) -> int:
        """Take the stamp of a message; return the generation that it belongs to.

        A new one where it shows that the clock has stepped, ``UNUSABLE`` for a stamp that is wrong.
        """
        stamp_s = stamp_ms / 1000
        raw = arrived_mono - stamp_s
        floor = self._floors.get(self.generation)
        if floor is None:
            return self.restart(arrived_mono, stamp_ms)
        if raw < floor - STEP_S and self.known(STEP_S):
            self._ahead += 1
            return self.restart(arrived_mono, stamp_ms) if self._ahead > 1 else UNUSABLE
        self._ahead = 0
        if self._stepped_back(stamp_s, raw, floor):
            return self.restart(arrived_mono, stamp_ms)
        elapsed_s = max(0.0, arrived_mono - self._floor_mono)
        self._floor_mono = max(self._floor_mono, arrived_mono)
        floor = self._floors[self.generation] = min(raw, floor + DRIFT * elapsed_s)
        self._last_s = max(self._last_s, stamp_s)
        self._keep(arrived_mono, raw)
        return self.generation

    def known(self, tolerance_s: float) -> bool:
        """Whether the difference of the clocks is sure to be right within so many seconds."""
        raws = sorted(raw for _, raw in self._raws)
        return any(
            count * math.log1p(tolerance_s / max(raw - raws[0], RESOLUTION_S)) >= -math.log(CHANCE)
            for count, raw in enumerate(raws, 1)
        )

    def restart(self, arrived_mono: float, stamp_ms: int) -> int:
        """Forget what was learnt, begin with this message and return its generation."""
        self.generation += 1
        self._floor_mono, self._last_s = arrived_mono, stamp_ms / 1000
        raw = arrived_mono - self._last_s
        self._floors[self.generation] = raw
        self._floors.pop(self.generation - GENERATIONS, None)
        self._raws.clear()
        self._raws.append((arrived_mono, raw))
        self._behind.clear()
        self._ahead = 0
        return self.generation

    def moment(self, stamp_ms: int, generation: int) -> float | None:
        """When it was on our clock (s) that a message of this generation was stamped.

        None where it is too long ago to say.
        """
        floor = self._floors.get(generation)
        return None if floor is None else stamp_ms / 1000 + floor

    def _keep(self, arrived_mono: float, raw: float) -> None:
        if self._raws and arrived_mono - self._raws[-1][0] < APART_S:
            self._raws[-1] = (self._raws[-1][0], min(raw, self._raws[-1][1]))
        else:
            self._raws.append((arrived_mono, raw))

    def _stepped_back(self, stamp_s: float, raw: float, floor: float) -> bool:
        if stamp_s >= self._last_s or raw - floor < STEP_S:
            if stamp_s > self._last_s:
                self._behind.clear()
            return False
        behind = [*self._behind, (stamp_s, raw)][-BEHIND:]
        self._behind = behind
        raws = [kept for _, kept in behind]
        rising = all(a < b for (a, _), (b, _) in itertools.pairwise(behind))
        return len(behind) == BEHIND and rising and max(raws) - min(raws) <= STEADY_S

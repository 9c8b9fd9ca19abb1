"""What a folder of recordings holds, and what has to go for a newcomer. Pure: sizes and times.

Every record is booked under one of its reasons: the one of which least is held for its share. At
the cap the oldest record goes of the reason that holds most for its share. So a reason that holds
no more than its share loses nothing to another one, and the rarest is kept longest; a share that is
not used is open to all.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.dataset.record import Reason


@dataclass(frozen=True, slots=True)
class Quotas:
    """``limit_bytes`` of all together, ``age_s`` since capture, ``shares`` of the bytes by reason;
    a reason without one has none."""

    limit_bytes: int
    age_s: float
    shares: Mapping[Reason, float]


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """One record, in the order of capture."""

    captured_utc_ms: int
    folder: Path
    size_bytes: int = field(compare=False)
    reason: Reason = field(compare=False)


class Holdings:
    """The records by the reason under which they are booked."""

    def __init__(self, quotas: Quotas) -> None:
        self.quotas = quotas
        self._held: dict[Reason, list[Held]] = {reason: [] for reason in Reason}  # heaps
        self._bytes = dict.fromkeys(Reason, 0)

    @property
    def size_bytes(self) -> int:
        """Bytes of all records."""
        return sum(self._bytes.values())

    def counts(self) -> dict[Reason, int]:
        """Records by reason."""
        return {reason: len(held) for reason, held in self._held.items()}

    def bytes_by_reason(self) -> dict[Reason, int]:
        """Bytes by reason."""
        return dict(self._bytes)

    def oldest_utc_ms(self) -> int | None:
        """When the oldest picture was taken; None where there is none."""
        return min((held[0].captured_utc_ms for held in self._held.values() if held), default=None)

    def booked_under(self, reasons: tuple[Reason, ...]) -> Reason:
        """The one of these of which least is held for its share, the first of several."""
        return min(reasons, key=lambda reason: (self._fullness(reason), self._bytes[reason]))

    def add(self, one: Held) -> None:
        """A record is there."""
        heapq.heappush(self._held[one.reason], one)
        self._bytes[one.reason] += one.size_bytes

    def too_old(self, now_utc_ms: int) -> list[Held]:
        """Take out what is older than it may be."""
        before = now_utc_ms - 1000.0 * self.quotas.age_s
        gone: list[Held] = []
        for reason, held in self._held.items():
            while held and held[0].captured_utc_ms < before:
                gone.append(self._pop(reason))
        return gone

    def over(self) -> list[Held]:
        """Take out what is above a cap that has been lowered."""
        gone: list[Held] = []
        while self.size_bytes > self.quotas.limit_bytes and any(self._held.values()):
            gone.append(self._pop(self._fullest()))
        return gone

    def make_room(self, size_bytes: int, reason: Reason) -> list[Held] | None:
        """Take out what has to go for a newcomer of ``reason``; None, and nothing is taken out,
        where there is no room for it: it is too large, or its reason has no share left and nothing
        of its own to give."""
        gone: list[Held] = []
        self._bytes[reason] += size_bytes  # as if it were there
        try:
            while self.size_bytes > self.quotas.limit_bytes:
                fullest = self._fullest(also=reason)
                if not self._held[fullest]:
                    for one in gone:
                        self.add(one)
                    return None
                gone.append(self._pop(fullest))
        finally:
            self._bytes[reason] -= size_bytes
        return gone

    def _fullest(self, also: Reason | None = None) -> Reason:
        there = [r for r in Reason if self._held[r] or r is also]
        return max(there, key=lambda reason: (self._fullness(reason), self._bytes[reason]))

    def _fullness(self, reason: Reason) -> float:
        share = self.quotas.shares.get(reason, 0.0)
        if share <= 0.0:
            return math.inf
        return self._bytes[reason] / (share * self.quotas.limit_bytes)

    def _pop(self, reason: Reason) -> Held:
        one = heapq.heappop(self._held[reason])
        self._bytes[reason] -= one.size_bytes
        return one

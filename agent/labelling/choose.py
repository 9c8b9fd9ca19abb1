"""Which records are exported: spread over lots and reasons, the same for the same seed. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.dataset import Record


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record with what it is counted under."""

    record: Record
    lot: str
    reason: str


def candidates(records: Iterable[Record]) -> list[Candidate]:
    """Each record under the rarest of its reasons, and under its lot, or its camera and day where
    no lot is known."""
    known = list(records)
    counts = Counter(reason for record in known for reason in record.reasons)
    made = []
    for record in known:
        rarest = min(record.reasons, key=lambda one: (counts[one], one), default="")
        day = f"{record.camera} {record.captured_at:%Y-%m-%d}"
        made.append(Candidate(record, record.lot or day, str(rarest)))
    return made


class Spread:
    """Yields candidates: of the lot of which least was taken, the reason of which least was taken.

    What is yielded counts once it is told with ``taken``. Within a lot and a reason the order
    is by a hash of seed and id: more records move none to another place.
    """

    def __init__(self, found: Iterable[Candidate], seed: int) -> None:
        self._cells: dict[str, dict[str, list[Candidate]]] = defaultdict(lambda: defaultdict(list))
        for one in found:
            self._cells[one.lot][one.reason].append(one)
        for reasons in self._cells.values():
            for cell in reasons.values():
                cell.sort(key=lambda one: _rank(seed, one.record.id), reverse=True)
        self._lots: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Candidate]:
        while self._cells:
            lot = min(self._cells, key=lambda one: (self._lots[one], one))
            reasons = self._cells[lot]
            reason = min(reasons, key=lambda one: (self._reasons[one], one))
            chosen = reasons[reason].pop()
            if not reasons[reason]:
                del reasons[reason]
            if not reasons:
                del self._cells[lot]
            yield chosen

    def taken(self, one: Candidate) -> None:
        """Count it."""
        self._lots[one.lot] += 1
        self._reasons[one.reason] += 1


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode()).digest()

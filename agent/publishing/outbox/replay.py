"""When which older row of the backlog goes out: paced, at most a few in flight, alarms first.

An alarm's event of the outage, that nobody has been given yet, must not wait for what only says
again how things are: up to ``LATE_MAX`` of them go out before the snapshot of a connection. What
the broker has acknowledged once and all else of an outage come after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from agent.publishing.outbox.backlog import Backlog
from agent.publishing.outbox.outbox import REFUSED_RETRY_S
from agent.storage.rows import Kind, Row
from agent.token_bucket import TokenBucket

UNHEARD_RETRY_S = REFUSED_RETRY_S
"""How long nothing of a kind is replayed after the broker refused a message of it, or had nobody to
give an alarm's event to."""

IN_FLIGHT_MAX = 5
BURST = 2.0
LATE_MAX = 50


class Replay:
    """For one thread at a time, which never waits for the disk: what it takes long to read comes
    later. ``passed`` says of a row's id that it is under way or gone;
    ``in_flight`` is the number of rows that were given out here and not answered."""

    def __init__(
        self, backlog: Backlog, passed: Callable[[int], bool], per_s: float, now: float
    ) -> None:
        self._backlog = backlog
        self._passed = passed
        self._pace = TokenBucket(per_s, BURST, now)
        self._acked_before = -math.inf
        self._from = dict.fromkeys(Kind, -math.inf)  # nothing of a kind is given out before
        self._late_left = 0

    def set_pace(self, per_s: float, now: float) -> None:
        """Give out at most so many a second from now on."""
        if per_s != self._pace.rate_per_s:
            self._pace = TokenBucket(per_s, BURST, now)

    def start(self, acked_before: float) -> None:
        """A connection stands. What the broker acknowledged by ``acked_before`` comes again."""
        self._acked_before = acked_before
        self._from = dict.fromkeys(Kind, -math.inf)
        self._late_left = LATE_MAX
        self._backlog.ask_ahead(Kind.ALARM, -math.inf)

    def stop(self) -> None:
        """Nothing more goes out before the snapshot."""
        self._late_left = 0

    def all_sent_again(self) -> None:
        """What the broker acknowledged before has been sent again already."""
        self._acked_before = -math.inf

    def refused(self, row_id: int, kind: Kind, now: float) -> None:
        """A row goes on waiting; its kind rests for a while."""
        self._backlog.read_again(kind, row_id)
        self._from[kind] = now + UNHEARD_RETRY_S

    def take_late(self, now: float, in_flight: int) -> Row | None:
        """Take an alarm's event that goes before the snapshot."""
        if not self._late_left or not self._may(now, in_flight) or now < self._from[Kind.ALARM]:
            return None
        row = self._backlog.next_old(Kind.ALARM, -math.inf, self._passed)
        if row is None:
            if not self._backlog.reading(Kind.ALARM):
                self.end_late()
            return None
        self._late_left -= 1
        if not self._late_left:
            self.end_late()
        return self._spent(row, now)

    def end_late(self) -> None:
        """The snapshot has gone out, or no more may go before it: now all from the first on, those
        that the broker acknowledged before too."""
        self._late_left = 0
        self._backlog.reread(Kind.ALARM)

    def take(self, now: float, in_flight: int) -> Row | None:
        """Take the next row after the snapshot."""
        if not self._may(now, in_flight):
            return None
        for kind in Kind:
            if now < self._from[kind]:
                continue
            row = self._backlog.next_old(kind, self._acked_before, self._passed)
            if row is not None:
                return self._spent(row, now)
            if self._backlog.reading(kind):
                return None  # the less important ones wait for it
        return None

    def due_in(self, now: float, in_flight: int) -> float:
        """Return in how many seconds ``take`` may give something; infinity: not by itself."""
        waits = []
        for kind in Kind:
            held_s = self._from[kind] - now
            if held_s <= 0 and self._backlog.reading(kind):
                break  # what is read now comes first, and wakes us
            if self._backlog.has_old(kind):
                waits.append(max(0.0, held_s))
        if not waits or in_flight >= IN_FLIGHT_MAX:
            return math.inf
        return max(min(waits), self._pace.wait_s(1.0, now))

    def _may(self, now: float, in_flight: int) -> bool:
        return in_flight < IN_FLIGHT_MAX and self._pace.wait_s(1.0, now) <= 0

    def _spent(self, row: Row, now: float) -> Row:
        self._pace.spend(1.0, now)
        return row

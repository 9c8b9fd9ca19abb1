"""Who was refused, in the log: what a plant engineer needs to find the panel with the old token."""

from __future__ import annotations

import logging

from agent.telemetry import Clock, log_event
from agent.token_bucket import TokenBucket

logger = logging.getLogger(__name__)

LINES_PER_S, LINES = 0.1, 5.0
PATH_MAX = 80
QUIET = frozenset({404})
"""Pictures that are not there yet are asked for once a second."""


class RefusalLog:
    """At most ``LINES`` lines at once and one in ten seconds; the next one says how many it was."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bucket = TokenBucket(LINES_PER_S, LINES, clock())
        self._left_out = 0

    def tell(self, peer: str, status: int, reason: str, path: str = "") -> None:
        """Log one refusal. ``path`` is what the client wrote, and so may hold anything."""
        if status in QUIET:
            return
        if not self._bucket.take(self._clock()):
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out, 0
        log_event(
            logger,
            logging.WARNING,
            "http_refused",
            peer=peer,
            status=status,
            reason=reason,
            path=ascii(path[:PATH_MAX]),
            not_logged=left_out,
        )

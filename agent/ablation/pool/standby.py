"""When workers of this computer stand in for those of the cluster. Pure: fed with ``now``."""

from __future__ import annotations


class Standby:
    """Local workers are wanted once no worker of the cluster was ready for ``after_s`` seconds, and
    no more as soon as one is."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._away_mono: float | None = None
        self.wanted = False

    def update(self, ready: int, now: float) -> bool:
        """``ready`` workers of the cluster take jobs, or are at one; returns whether ``wanted``
        has changed."""
        if ready:
            self._away_mono = None
        elif self._away_mono is None:
            self._away_mono = now
        before = self.wanted
        self.wanted = self._away_mono is not None and now - self._away_mono >= self._after_s
        return self.wanted != before

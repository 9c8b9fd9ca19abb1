"""Which pictures the shadow gets: every n-th, within its share of the time. Pure."""

from __future__ import annotations


class ShadowPace:
    """``every``: one picture of a lane in so many; ``share``: of the time, for its process."""

    def __init__(self, every: int, share: float) -> None:
        self._every = every
        self._share = share
        self._seen: dict[str, int] = {}
        self._free_mono = 0.0

    def wants(self, lane: str, now: float) -> bool:
        """Whether this picture of ``lane`` is one; each is asked about once. One that comes before
        the budget allows it is passed over, and the next of that lane is asked for."""
        seen = self._seen.get(lane, 0) + 1
        due = seen >= self._every
        wanted = due and now >= self._free_mono
        self._seen[lane] = 0 if wanted else seen
        return wanted

    def spent(self, seconds: float, now: float) -> None:
        """One picture took so long, up to ``now``."""
        self._free_mono = now + seconds * (1.0 / self._share - 1.0)

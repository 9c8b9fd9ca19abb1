"""How long ago each loop of the parent moved: the ground of ``/livez``."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from agent.telemetry import BY_NAME, Clock

METRIC = BY_NAME["loop_age_seconds"]


class LoopAges(Collector):
    """Last heartbeat per loop, exported as an age that is computed at the scrape.

    A gauge that the loop itself sets would stand still with the loop and look young for ever.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._moved: dict[str, float] = {}

    def beat(self, loop: str) -> None:
        """Register the loop, or say that it has moved."""
        self._moved[loop] = self._clock()

    def forget(self, loop: str) -> None:
        """The loop has ended, and nobody waits for it."""
        self._moved.pop(loop, None)

    def ages_s(self) -> dict[str, float]:
        """Return seconds since each loop last moved, by name."""
        now = self._clock()
        return {loop: max(0.0, now - at) for loop, at in sorted(self._moved.copy().items())}

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the ages as the catalogue's gauge."""
        family = GaugeMetricFamily(f"pitwatch_{METRIC.name}", METRIC.help, labels=METRIC.labels)
        for loop, age_s in self.ages_s().items():
            family.add_metric([loop], age_s)
        return [family]

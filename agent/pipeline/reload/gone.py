"""Lanes and cameras that are gone: their metrics end once their books are closed."""

from __future__ import annotations

from collections.abc import Callable, Collection

from agent.observability.prometheus import PrometheusTelemetry


class Gone:
    """``open_lanes``: those of which something is still under way. For one thread at a time."""

    def __init__(
        self, telemetry: PrometheusTelemetry, open_lanes: Callable[[], Collection[str]]
    ) -> None:
        self._telemetry = telemetry
        self._open_lanes = open_lanes
        self._names: frozenset[str] = frozenset()

    def put(self, names: Collection[str], there: Collection[str]) -> None:
        """End the metrics of these, and of none that is there (again)."""
        self._names = (self._names | frozenset(names)) - frozenset(there)

    def tick(self) -> None:
        """End what nothing is added to any more."""
        if not self._names:
            return
        closed = self._names - frozenset(self._open_lanes())
        self._names -= closed
        for name in closed:
            self._telemetry.forget("camera", name)

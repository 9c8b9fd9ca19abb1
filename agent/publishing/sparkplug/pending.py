"""Values that wait for the next batch: of a tag the newest, of a tag of events every one. Pure."""

from __future__ import annotations

from agent.publishing.sparkplug.tags import Sample

EVENTS_MAX = 2000
"""A batch goes out several times a second; more waits only while the broker does not read."""


class Pending:
    """Per device, in the order in which the values came."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], Sample] = {}
        self._events: list[Sample] = []

    def put(self, sample: Sample, every: bool) -> int:
        """Add a value; return how many others it replaced or displaced."""
        if not every:
            replaced = self._newest.pop(sample.key, None)
            self._newest[sample.key] = sample
            return int(replaced is not None)
        self._events.append(sample)
        if len(self._events) > EVENTS_MAX:
            del self._events[0]
            return 1
        return 0

    def take(self, device: str) -> list[Sample]:
        """Take out what waits for one device."""
        taken = [s for s in (*self._newest.values(), *self._events) if s.device == device]
        self._newest = {k: s for k, s in self._newest.items() if s.device != device}
        self._events = [s for s in self._events if s.device != device]
        return taken

    def clear(self) -> list[Sample]:
        """Take everything out, in the order of time."""
        taken = sorted((*self._newest.values(), *self._events), key=lambda s: s.timestamp_ms)
        self._newest, self._events = {}, []
        return taken

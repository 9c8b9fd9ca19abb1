"""How other threads hand values to the node: bounded, and nobody waits."""

from __future__ import annotations

import threading
from collections import deque

from agent.publishing.sparkplug.tags import Sample
from agent.telemetry import Telemetry

INBOX_MAX = 10_000


class Inbox:
    """Samples in order, and the newest state of each device."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._samples: deque[Sample] = deque()
        self._devices: dict[str, bool] = {}
        self._lock = threading.Lock()

    def put(self, sample: Sample) -> None:
        """Add a value; beyond the cap the oldest goes, counted."""
        with self._lock:
            self._samples.append(sample)
            if len(self._samples) <= INBOX_MAX:
                return
            self._samples.popleft()
        self._telemetry.count("sparkplug_samples", outcome="no_room")

    def device(self, name: str, alive: bool) -> None:
        with self._lock:
            self._devices[name] = alive

    def samples(self) -> list[Sample]:
        """Take everything out."""
        with self._lock:
            taken = list(self._samples)
            self._samples.clear()
            return taken

    def devices(self) -> list[tuple[str, bool]]:
        """Take out the states of devices."""
        with self._lock:
            taken = list(self._devices.items())
            self._devices.clear()
            return taken

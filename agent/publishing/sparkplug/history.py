"""Values that could not be sent when measured: bounded, per device, oldest first. Pure."""

from __future__ import annotations

from collections import deque

from agent.publishing.sparkplug.tags import Sample


class History:
    """At most ``cap`` samples over all devices; the device that has most loses its oldest."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._queues: dict[str, deque[Sample]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, sample: Sample) -> int:
        """Keep a sample; return how many were lost for it."""
        self._queues.setdefault(sample.device, deque()).append(sample)
        self._size += 1
        lost = 0
        while self._size > self._cap:
            max(self._queues.values(), key=len).popleft()
            self._size -= 1
            lost += 1
        return lost

    def take(self, device: str, at_most: int) -> list[Sample]:
        """Take the oldest samples of one device out."""
        queue = self._queues.get(device)
        taken = [queue.popleft() for _ in range(min(at_most, len(queue)))] if queue else []
        self._size -= len(taken)
        return taken

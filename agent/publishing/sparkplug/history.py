"""Values that could not be sent when measured: bounded, per device, oldest first. Pure."""

from __future__ import annotations

from collections import defaultdict, deque

from agent.publishing.sparkplug.tags import Sample


class History:
    """At most ``cap`` samples over all devices; the device that has most loses its oldest."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._queues: dict[str, deque[Sample]] = defaultdict(deque)

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def put(self, sample: Sample) -> int:
        """Keep a sample; return how many were lost for it."""
        self._queues[sample.device].append(sample)
        if len(self) <= self._cap:
            return 0
        max(self._queues.values(), key=len).popleft()
        return 1

    def take(self, device: str, at_most: int) -> list[Sample]:
        """Take the oldest samples of one device out."""
        queue = self._queues[device]
        return [queue.popleft() for _ in range(min(at_most, len(queue)))]

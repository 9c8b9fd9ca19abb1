"""When a metric is worth sending: beyond its deadband, and at least once an interval while it is
still being measured. Pure: the time is an argument.

A value that is no longer measured is not repeated: its retained message expires, because silence
must not look normal.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

from agent.records import Quality


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured value of one metric."""

    value: float
    quality: Quality
    timestamp_ms: int


@dataclass(slots=True)
class _Track:
    sent: Sample
    sent_at: float
    held: Sample | None = None


@dataclass(slots=True)
class Deadband:
    """Decides over the samples of any number of metrics, named by (lane, metric).

    ``relative`` is the change, as a share of the value last sent, below which a sample is held;
    from 0.0 any change is beyond. A change of quality always is.
    """

    relative: float
    interval_s: float
    _tracks: dict[tuple[str, str], _Track] = field(default_factory=dict)

    def offer(self, key: tuple[str, str], sample: Sample, now: float) -> bool:
        """Return whether to send this sample now; a held one may come back from ``due``."""
        track = self._tracks.get(key)
        if track is not None and not self._beyond(track, sample, now):
            track.held = sample
            return False
        self._tracks[key] = _Track(sample, now)
        return True

    def configure(self, relative: float, interval_s: float) -> None:
        """Decide by other numbers from now on."""
        self.relative, self.interval_s = relative, interval_s

    def forget(self, lane: str, metrics: Collection[str]) -> None:
        """Nothing that is held of these is sent any more."""
        for metric in metrics:
            self._tracks.pop((lane, metric), None)

    def due(self, now: float) -> list[tuple[tuple[str, str], Sample]]:
        """Return the held samples whose interval is over, newest of each, and count them sent."""
        result = []
        for key, track in self._tracks.items():
            if track.held is not None and now - track.sent_at >= self.interval_s:
                result.append((key, track.held))
                track.sent, track.sent_at, track.held = track.held, now, None
        return result

    def _beyond(self, track: _Track, sample: Sample, now: float) -> bool:
        if now - track.sent_at >= self.interval_s or sample.quality is not track.sent.quality:
            return True
        return beyond(sample.value, track.sent.value, self.relative)


def beyond(value: float, before: float, relative: float) -> bool:
    """Whether a number differs from one before by more than that share of it. NaN and infinities
    are no numbers, and alike."""
    if math.isfinite(value) and math.isfinite(before):
        return abs(value - before) > relative * abs(before)
    return math.isfinite(value) is not math.isfinite(before)

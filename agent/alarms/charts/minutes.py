"""Single values -> means over windows of time, the points of the charts. Pure: it is fed the time.

A window begins with its first sample and ends ``window_s`` later, or at the first sample after
that; a wall clock that steps has no say, since all times are monotonic. A signal with fewer defined
values than ``least`` gives no point in this window; its values are kept for the next one, at most
``KEPT_WINDOWS`` windows long, so that a slow line still gets its points, rarer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.alarms.signals.extract import concentration
from agent.alarms.signals.signals import BY_NAME, transformed

KEPT_WINDOWS = 5


@dataclass(frozen=True, slots=True)
class Point:
    """The mean of ``count`` values of one signal; ``mono`` is when the window ended."""

    signal: str
    mean: float
    count: int
    mono: float


@dataclass(slots=True)
class _Sum:
    since_mono: float
    total: float = 0.0
    count: int = 0


@dataclass(slots=True)
class WindowMeans:
    """Means of any number of signals that are sampled together."""

    window_s: float
    least: int
    _start_mono: float | None = None
    _sums: dict[str, _Sum] = field(default_factory=dict)
    undefined: int = 0
    """Values that were not finite: counted, never averaged."""
    dropped: int = 0
    """Values that never became a point: too few came in ``KEPT_WINDOWS`` windows, or a hold."""

    def add(self, values: Mapping[str, float], now: float) -> list[Point]:
        """Take one sample of each signal; the points of the window that this sample closes."""
        closed = self.tick(now)
        if self._start_mono is None:
            self._start_mono = now
        for name, value in values.items():
            if not math.isfinite(value):
                self.undefined += 1
                continue
            one = self._sums.setdefault(name, _Sum(now))
            one.total += value
            one.count += 1
        return closed

    def tick(self, now: float) -> list[Point]:
        """The points of the window, where it is over."""
        if self._start_mono is None or now < self._start_mono + self.window_s:
            return []
        end = self._start_mono + self.window_s
        self._start_mono = None
        points = []
        for name, one in list(self._sums.items()):
            if one.count >= self.least:
                points.append(Point(name, one.total / one.count, one.count, end))
                del self._sums[name]
            elif now - one.since_mono >= KEPT_WINDOWS * self.window_s:
                self.dropped += one.count
                del self._sums[name]
        return points

    def hold(self) -> None:
        """Forget the window that is open: what it holds is no ordinary production."""
        self.dropped += sum(one.count for one in self._sums.values())
        self._sums.clear()
        self._start_mono = None


LEAST_FRUIT = 20
LEAST_EXPLANATIONS = 5


class FruitMinutes:
    """Windows over fruit: the means of their signals, and how alike their angles are."""

    def __init__(self, window_s: float) -> None:
        self._means = WindowMeans(window_s, LEAST_FRUIT)
        self._angles_deg: list[float] = []

    def add(self, values: Mapping[str, float], angle_deg: float | None, now: float) -> list[Point]:
        """Take one fruit, with its angle where it has one."""
        closed = self.tick(now)
        self._means.add(values, now)
        if angle_deg is not None:
            self._angles_deg.append(angle_deg)
        return closed

    def tick(self, now: float) -> list[Point]:
        """The points of the window, where it is over."""
        points = self._means.tick(now)
        if not points:
            return []
        angles, self._angles_deg = self._angles_deg, []
        if len(angles) >= LEAST_FRUIT:
            alike = transformed(BY_NAME["angle_concentration"], concentration(angles))
            # One value a window, however many fruit made it.
            points.append(Point("angle_concentration", alike, 1, points[0].mono))
        return points

    def hold(self) -> None:
        """Forget the window that is open."""
        self._means.hold()
        self._angles_deg.clear()


def explanation_minutes(window_s: float) -> WindowMeans:
    """Windows over explanations."""
    return WindowMeans(window_s, LEAST_EXPLANATIONS)


def on_chart_scale(values: Mapping[str, float]) -> dict[str, float]:
    """Values of single fruit or explanations, transformed for averaging."""
    return {name: transformed(BY_NAME[name], value) for name, value in values.items()}

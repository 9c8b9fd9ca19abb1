"""All charts of one lane against one reference. Pure: it is fed the time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from agent.alarms.catalogue import Cause
from agent.alarms.charts.charts import Chart, SideCharts
from agent.alarms.charts.minutes import (
    FruitMinutes,
    Point,
    explanation_minutes,
    on_chart_scale,
)
from agent.alarms.charts.newest import NewestPictures
from agent.alarms.charts.reference import Reference, SignalReference
from agent.alarms.condition import Detail
from agent.alarms.signals.signals import BY_NAME, Per, natural
from agent.alarms.text.language import signal_detail


@dataclass(frozen=True, slots=True)
class Judgement:
    """The most advanced side of one cause.

    ``used``: share of its limit, 1 alarms. ``value`` and ``usual`` on the signal's own scale, of
    the newest window; ``count``: how many fruit or explanations made it; ``points``: windows so
    far.
    """

    signal: str
    sign: int
    used: float
    beyond: bool
    value: float
    usual: tuple[float, float]
    count: int
    points: int

    @property
    def detail(self) -> Detail:
        """As ``margin of the suture 2.1, usually 4.8 to 6.3``."""
        return signal_detail(self.signal, self.value, self.usual)


@dataclass(frozen=True, slots=True)
class ChartValue:
    """One chart for whoever draws it; ``value`` and ``limit`` in scores."""

    signal: str
    side: str
    chart: Chart
    value: float
    limit: float


@dataclass(slots=True)
class _Charted:
    """One signal: its reference, its charts by sign, and its newest point."""

    reference: SignalReference
    sides: dict[int, SideCharts]
    newest: Point | None = None


class ChartBank:
    """Charts of one lane and one variety; ``hold`` while the line does not run as usual.

    ``newest``: the newest pictures, between the charts' points.
    """

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.profile = reference.profile_array()
        self._fruit = FruitMinutes(reference.window_s)
        self._explanations = explanation_minutes(reference.window_s)
        self.newest = NewestPictures(reference)
        self._charted = {
            one.name: _Charted(one, {side.sign: SideCharts(side.limits()) for side in one.sides})
            for one in reference.signals
        }

    def on_fruit(self, values: Mapping[str, float], angle_deg: float | None, now: float) -> None:
        """Take one fruit's signals, on their own scales."""
        scaled = on_chart_scale(values)
        self.newest.on_fruit(scaled)
        self.take(self._fruit.add(scaled, angle_deg, now))

    def on_explanation(self, values: Mapping[str, float], now: float) -> None:
        """Take one explanation's signals, on their own scales."""
        self.take(self._explanations.add(on_chart_scale(values), now))

    def take(self, points: Iterable[Point]) -> None:
        """Take closed windows, however they came about: single values, or a replay's."""
        for point in points:
            one = self._charted.get(point.signal)
            if one is None:
                continue
            one.newest = point
            score = one.reference.score(point.mean, point.count)
            for sign, side in one.sides.items():
                side.update(sign * score)

    def tick(self, now: float) -> None:
        """Close windows whose time is over."""
        self.take(self._fruit.tick(now))
        self.take(self._explanations.tick(now))

    def signal(self, name: str) -> SignalReference | None:
        """What the reference says of one signal; None where it does not have it."""
        one = self._charted.get(name)
        return one.reference if one is not None else None

    def hold(self) -> None:
        """Forget the open windows; the charts stay where they are."""
        self._fruit.hold()
        self._explanations.hold()
        self.newest.forget()

    def reset(self) -> None:
        """Start all charts anew."""
        self.hold()
        for one in self._charted.values():
            one.newest = None
            for side in one.sides.values():
                side.reset()

    def judged(self, cause: str, per: Per | None = None) -> Judgement | None:
        """The most advanced side of this cause, one beyond its limit before any other; None where
        none is charted or none has had a point since it was started anew."""
        found = [
            self._judgement(one, sign, side)
            for one in self._charted.values()
            for sign, side in one.sides.items()
            if BY_NAME[one.reference.name].cause == cause
            and (per is None or BY_NAME[one.reference.name].per is per)
            and one.newest is not None
        ]
        return max(found, key=lambda each: (each.beyond, each.used), default=None)

    def beyond(self) -> set[Cause]:
        """The causes of which any chart is beyond its limit."""
        return {
            BY_NAME[name].cause
            for name, one in self._charted.items()
            if any(side.beyond for side in one.sides.values())
        }

    def moving(self) -> bool:
        """Whether any chart has used half of its limit."""
        return any(side.moving for one in self._charted.values() for side in one.sides.values())

    def means(self) -> dict[str, float]:
        """Newest window mean of every charted signal that has one, on its own scale."""
        return {
            name: natural(BY_NAME[name], one.newest.mean)
            for name, one in self._charted.items()
            if one.newest is not None
        }

    def chart_values(self) -> Iterator[ChartValue]:
        """Every chart that has had a point."""
        for name, one in self._charted.items():
            for sign, side in one.sides.items():
                if not side.points:
                    continue
                for chart, (value, limit) in side.values().items():
                    shown = 0.0 if math.isnan(value) else value
                    yield ChartValue(name, "high" if sign > 0 else "low", chart, shown, limit)

    @staticmethod
    def _judgement(one: _Charted, sign: int, side: SideCharts) -> Judgement:
        newest = one.newest
        assert newest is not None, "only what has a newest point is judged"
        return Judgement(
            signal=one.reference.name,
            sign=sign,
            used=side.used(),
            beyond=side.beyond,
            value=natural(BY_NAME[one.reference.name], newest.mean),
            usual=one.reference.usual,
            count=newest.count,
            points=side.points,
        )

"""Charts and limits outside of alarms: gauges for Grafana, a log line when charts are held."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

from agent.alarms.catalogue import Cause
from agent.alarms.charts.charted import LaneCharts
from agent.alarms.level import Judged
from agent.records import Quality
from agent.telemetry import Telemetry, log_event

logger = logging.getLogger(__name__)

Series = tuple[str, tuple[tuple[str, str], ...]]
"""A gauge's name and labels."""
INTERVAL_S = 5.0
"""A chart moves once a window, which is a minute or so."""
LEVELS_S = 1.0
LEVEL_METRICS = {
    Cause.IMAGE_QUALITY: "alarm_value_ratio",
    Cause.NO_READ_RATE: "alarm_value_ratio",
    Cause.BACKGROUND_RELIANCE: "alarm_value_ratio",
    Cause.FOREGROUND_INSENSITIVE: "alarm_value_ratio",
    Cause.LATENCY_BUDGET: "alarm_value_seconds",
}


class ChartGauges:
    """Called on every tick of the alarm loop."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._due_mono = 0.0
        self._held: dict[str, str] = {}
        self._shown: set[Series] = set()

    def update(self, lanes: Mapping[str, LaneCharts], now: float) -> None:
        """Set the gauges of all lanes that have a reference, once in a while."""
        charted = {lane for lane, charts in lanes.items() if charts.configured}
        for lane in self._held.keys() - charted:
            del self._held[lane]
            self._telemetry.gauge("charts_held", math.nan, camera=lane)
        for lane, charts in lanes.items():
            if lane in charted:
                self._update_held(lane, charts.held)
        if now < self._due_mono:
            return
        self._due_mono = now + INTERVAL_S
        shown = dict[Series, float]()
        for lane, charts in lanes.items():
            for signal, mean in charts.means().items():
                shown["signal_mean", (("camera", lane), ("signal", signal))] = mean
            for one in charts.chart_values():
                labels = (
                    ("camera", lane),
                    ("signal", one.signal),
                    ("side", one.side),
                    ("chart", one.chart.value),
                )
                shown["chart_value", labels] = one.value
                shown["chart_limit", labels] = one.limit
        # Of a lane, a variety or a model without this reference nothing stands still for ever.
        gone = dict.fromkeys(self._shown - shown.keys(), math.nan)
        for (name, of), value in {**gone, **shown}.items():
            self._telemetry.gauge(name, value, **dict(of))
        self._shown = set(shown)

    def _update_held(self, lane: str, reason: str) -> None:
        if self._held.get(lane) == reason:
            return
        standing = reason == "the machine does not run"
        level = logging.WARNING if reason and not standing else logging.INFO
        event = "charts_held" if reason else "charts_at_work"
        log_event(logger, level, event, camera=lane, reason=reason)
        self._held[lane] = reason
        self._telemetry.gauge("charts_held", float(bool(reason)), camera=lane)


class LevelGauges:
    """What alarms compare with fixed limits, each over its own window; called on every tick."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._due_mono = 0.0

    def update(self, lanes: Mapping[str, Mapping[Cause, Judged]], now: float) -> None:
        """Set the gauges once a second. What no alarm would go by, for there are too few samples or
        old ones, is not known."""
        if now < self._due_mono:
            return
        self._due_mono = now + LEVELS_S
        for lane, levels in lanes.items():
            for cause, name in LEVEL_METRICS.items():
                judged = levels.get(cause)
                known = judged is not None and judged.quality is Quality.GOOD
                value = judged.level.value if judged is not None and known else math.nan
                self._telemetry.gauge(name, value, alarm=cause.value, camera=lane)

"""The charts outside of alarms: gauges for Grafana, a log line when they are held."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from agent.alarms.charts.charted import LaneCharts
from agent.telemetry import Telemetry, log_event

logger = logging.getLogger(__name__)

INTERVAL_S = 5.0
"""A chart moves once a window, which is a minute or so."""


class ChartGauges:
    """Called on every tick of the alarm loop."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._due_mono = 0.0
        self._held: dict[str, str] = {}

    def update(self, lanes: Mapping[str, LaneCharts], now: float) -> None:
        """Set the gauges of all lanes that have a reference, once in a while."""
        for lane, charts in lanes.items():
            if charts.configured:
                self._update_held(lane, charts.held)
        if now < self._due_mono:
            return
        self._due_mono = now + INTERVAL_S
        for lane, charts in lanes.items():
            for signal, mean in charts.means().items():
                self._telemetry.gauge("signal_mean", mean, camera=lane, signal=signal)
            for one in charts.chart_values():
                labels = {
                    "camera": lane,
                    "signal": one.signal,
                    "side": one.side,
                    "chart": one.chart.value,
                }
                self._telemetry.gauge("chart_value", one.value, **labels)
                self._telemetry.gauge("chart_limit", one.limit, **labels)

    def _update_held(self, lane: str, reason: str) -> None:
        if self._held.get(lane) == reason:
            return
        standing = reason == "the machine does not run"
        level = logging.WARNING if reason and not standing else logging.INFO
        event = "charts_held" if reason else "charts_at_work"
        log_event(logger, level, event, camera=lane, reason=reason)
        self._held[lane] = reason
        self._telemetry.gauge("charts_held", float(bool(reason)), camera=lane)

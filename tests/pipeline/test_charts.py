"""The charts in the wiring: references at the start, gauges, and the wish for more explanations."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path

import pytest

from agent import config
from agent.alarms.catalogue import Cause
from agent.alarms.charts.charted import LaneCharts
from agent.alarms.charts.reference import ReferenceFileError, save_reference
from agent.alarms.level import Judged, Level
from agent.models.loading import load_model
from agent.pipeline.chart_gauges import LEVEL_METRICS, ChartGauges, LevelGauges
from agent.pipeline.factories import load_references
from agent.records import MachineState, Quality
from tests.alarms.charts.test_charted import GOLDEN, Line
from tests.alarms.references import reference, signal


class Gauges:
    """Keeps the newest value of every series."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, ...], float] = {}

    def gauge(self, name: str, value: float, /, **labels: str) -> None:
        from agent.telemetry import Kind, check

        check(name, Kind.GAUGE, labels)
        self.seen[(name, *labels.values())] = value


def with_reference(path: Path, variety: str = "golden") -> config.Config:
    return config.Config(alarms=config.Alarms(reference={variety: path}))


def test_a_reference_of_another_model_is_refused_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "golden.json"
    save_reference(reference([signal("brightness", 120.0, 2.0)]), path)
    model = load_model(config.Model(), "cpu")
    with pytest.raises(ReferenceFileError, match="model 000000000000, not"):
        load_references(with_reference(path), model)


def test_the_reference_of_this_model_serves_its_variety_and_no_other(tmp_path: Path) -> None:
    model = load_model(config.Model(), "cpu")
    path = tmp_path / "golden.json"
    made = reference([signal("brightness", 120.0, 2.0)], model_sha256=model.sha256)
    save_reference(made, path)
    assert load_references(with_reference(path), model) == {"golden": made}
    with pytest.raises(ReferenceFileError, match="variety golden, not amber"):
        load_references(with_reference(path, "amber"), model)


def test_without_a_reference_there_is_nothing_to_load() -> None:
    assert load_references(config.Config(), load_model(config.Model(), "cpu")) == {}


def test_a_lane_shows_its_means_charts_and_whether_they_are_held(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "agent")
    line, gauges = Line(GOLDEN), Gauges()
    shown = ChartGauges(gauges)  # type: ignore[arg-type]
    line.run(5)
    shown.update(line.watch.charts(), 10.0)
    assert gauges.seen["signal_mean", "cam1", "brightness"] == pytest.approx(120, abs=6)
    assert gauges.seen["chart_limit", "cam1", "brightness", "low", "cusum"] == 13.0
    assert gauges.seen["chart_value", "cam1", "brightness", "low", "ewma"] < 1.15
    assert gauges.seen["charts_held", "cam1"] == 0.0
    line.variety = "verdant"
    line.machine(MachineState.RUNNING)
    shown.update(line.watch.charts(), 11.0)
    shown.update(line.watch.charts(), 12.0)
    assert gauges.seen["charts_held", "cam1"] == 1.0
    held = [record for record in caplog.records if record.message == "charts_held"]
    assert [record.levelno for record in held] == [logging.WARNING]


def test_of_a_model_without_references_no_chart_stands_still_for_ever() -> None:
    line, gauges = Line(GOLDEN), Gauges()
    shown = ChartGauges(gauges)  # type: ignore[arg-type]
    line.run(5)
    shown.update(line.watch.charts(), 10.0)
    known = {name for name, value in gauges.seen.items() if math.isfinite(value)}
    assert ("signal_mean", "cam1", "brightness") in known
    line.watch.charts()["cam1"].replace({}, line.now)
    shown.update(line.watch.charts(), 20.0)
    assert {name[0] for name in known} == {
        "signal_mean", "chart_value", "chart_limit", "charts_held"
    }  # fmt: skip
    assert [name for name in known if not math.isnan(gauges.seen[name])] == []


def test_a_lane_without_a_reference_shows_nothing() -> None:
    gauges = Gauges()
    ChartGauges(gauges).update({"cam1": LaneCharts({})}, time.monotonic())  # type: ignore[arg-type]
    assert gauges.seen == {}


def test_what_an_alarm_compares_is_shown_only_where_it_would_go_by_it() -> None:
    gauges, level = Gauges(), Level(0.24, 0.2, 0.05, 280, 280)
    levels = {
        Cause.NO_READ_RATE: Judged(level, Quality.GOOD),
        Cause.IMAGE_QUALITY: Judged(level, Quality.GOOD),
        Cause.LATENCY_BUDGET: Judged(level, Quality.UNCERTAIN),
    }
    LevelGauges(gauges).update({"cam1": levels}, 10.0)  # type: ignore[arg-type]
    assert gauges.seen.pop(("alarm_value_ratio", "no_read_rate", "cam1")) == 0.24
    assert gauges.seen.pop(("alarm_value_ratio", "image_quality", "cam1")) == 0.24
    assert set(gauges.seen) == {
        ("alarm_value_seconds", "latency_budget", "cam1"),
        ("alarm_value_ratio", "background_reliance", "cam1"),
        ("alarm_value_ratio", "foreground_insensitive", "cam1"),
    }
    assert all(math.isnan(value) for value in gauges.seen.values())


def test_every_alarm_that_has_a_fixed_limit_of_fruit_shows_what_it_compares() -> None:
    line = Line(GOLDEN)
    line.run(5)
    assert set(line.watch.levels()["cam1"]) <= set(LEVEL_METRICS)


def test_a_chart_that_moves_makes_the_loop_ask_for_explanations() -> None:
    from agent.alarms.lifecycle.manager import AlarmManager
    from agent.pipeline.alarm_loop import AlarmLoop, AlarmLoopContext
    from agent.telemetry import NullTelemetry

    line, asked = Line(GOLDEN), []
    context = AlarmLoopContext(
        watch=line.watch,
        manager=AlarmManager(config.Alarms(), "agent1", "s1"),
        publish=lambda _alarms: None,
        chores=lambda: None,
        utc_ms=lambda: 1_700_000_000_000,
        follow_up=asked.append,
    )
    loop = AlarmLoop(context, NullTelemetry(), lambda: line.now)
    line.run(8)
    loop._tick()
    assert asked == []
    usual = loop.usual()["cam1"]
    assert usual.low < usual.mean < usual.high, "and what is usual beside what is now"
    line.run(4, margin=4.5)
    loop._tick()
    loop._tick()
    assert asked == ["cam1"]

"""A lamp that fails, from the simulated camera to the sentence that names it: no process, no clock.

The parts are those of the running agent: source, segmentation, fruit, watch, life cycle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from agent import config
from agent.alarms.lifecycle.lifecycle import Event
from agent.alarms.lifecycle.manager import AlarmManager
from agent.alarms.watch import Watch
from agent.capture.source import Picture
from agent.commissioning.line import VirtualClock
from agent.models.fusing import fused
from agent.models.loaded import LoadedModel
from agent.models.loading import load_model
from agent.records import (
    CaptureMode,
    Frame,
    MachineInfo,
    MachineState,
    NoReadReason,
    SegmentedFrame,
)
from agent.segmentation.fruit import FruitReader
from agent.segmentation.reading import LaneGeometry
from agent.segmentation.segmenter import Segmenter
from agent.simulator.parameters import parse_url
from agent.simulator.source import SimClock, SimSource

SMALL = config.Model(preprocessing=config.Preprocessing(width_px=64, height_px=64))
WINDOW = 50
LIT_S = 12.0


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return fused(load_model(SMALL, "cpu"))


@dataclass(frozen=True)
class Told:
    """An alarm that was raised: when, and what it says."""

    cause: str
    at_s: float
    message: str


def pictures(camera: config.Camera, seconds: float) -> Iterator[Picture]:
    clock = VirtualClock(0.0)
    parameters = parse_url(camera.source, camera.sim)
    source = SimSource(camera, parameters, SimClock(clock.mono, clock.utc_ms, clock.sleep))
    source.open()
    try:
        while clock.now < seconds:
            picture = source.read()
            if picture is not None and clock.now < seconds:
                yield picture
    finally:
        source.close()


def watched(
    model: LoadedModel, url: str, seconds: float, *, mode: CaptureMode = CaptureMode.TRIGGERED
) -> tuple[list[Told], list[SegmentedFrame]]:
    camera = config.Camera(name="cam1", source=url, mode=mode, fps=10.0)
    lanes = {"cam1": LaneGeometry(mode=mode)}
    segmenter = Segmenter(model, config.Segmentation(), lanes, lambda: 0.0)
    reader = FruitReader(lanes)
    settings = config.Alarms(limits=config.AlarmLimits(fruit_window=WINDOW, no_read_rate=0.9))
    watch, manager = Watch(settings, ["cam1"]), AlarmManager(settings, "agent1", "s1")
    told: list[Told] = []
    seen: list[SegmentedFrame] = []
    running = MachineInfo(state=MachineState.RUNNING)
    for index, picture in enumerate(pictures(camera, seconds)):
        now = picture.captured_mono
        frame = Frame(
            "cam1", f"f{index}", index, 1000, now, picture.image, picture.aperture, running
        )
        (one,) = segmenter.segment([frame])
        seen.append(one)
        watch.on_picture(one)
        for reading in reader.feed(one, now):
            watch.on_fruit(reading)
        records = [r for c in watch.tick(now) for r in manager.update(c, now, round(now * 1000))]
        records += manager.tick(now, round(now * 1000))
        told += [
            Told(r.alarm_id.removesuffix("-cam1"), now, r.message)
            for r in records
            if r.transition == Event.RAISE.value
        ]
    return told, seen


SIM = "sim:?rate=280&seed=5&variety=blush&size=64&empty=0.1"


@pytest.mark.parametrize("left", [0.2, 0.1, 0.05, 0.02, 0.0])
def test_a_lamp_that_fails_is_named_and_nothing_else(model: LoadedModel, left: float) -> None:
    told, seen = watched(model, f"{SIM}&fault=lamp_off@{LIT_S}*{1 - left:g}", LIT_S + 10)
    assert [one.cause for one in told] == ["image_quality"]
    assert "turned dark" in told[0].message
    assert "check the lamp" in told[0].message
    # A fifth of the window, at 280 a minute, and the on-delay. At a fifth of the light some fruit
    # are still seen.
    fifth_s = 0.2 * WINDOW * 60 / 280
    assert LIT_S < told[0].at_s < LIT_S + fifth_s * (2.5 if left == 0.2 else 1.0) + 3.0 + 2.0
    dark = [one for one in seen if one.captured_mono > LIT_S + 1]
    empty = sum(one.reading.reason is NoReadReason.EMPTY for one in dark)
    assert empty <= 0.25 * len(dark), "fruit are not passed off as empty cups"


@pytest.mark.parametrize("left", [1.0, 0.5])
def test_light_that_fruit_are_read_by_is_not_called_dark(model: LoadedModel, left: float) -> None:
    told, seen = watched(model, f"{SIM}&fault=lamp_off@{LIT_S}*{1 - left:g}", LIT_S + 10)
    assert told == []
    fruit = [one for one in seen if one.reading.reason is not NoReadReason.EMPTY]
    assert len(fruit) > 0.8 * len(seen)
    assert sum(one.coverage >= 0.5 for one in fruit) > 0.9 * len(fruit)


def test_a_feed_that_runs_empty_is_no_lamp_that_fails(model: LoadedModel) -> None:
    told, seen = watched(model, "sim:?rate=280&seed=5&size=64&empty=1", 20)
    assert told == []
    assert len(seen) > WINDOW


def test_a_free_running_camera_without_light_makes_no_readings_and_says_why(
    model: LoadedModel,
) -> None:
    url = f"{SIM}&ids=0&fault=lamp_off@{LIT_S}*0.95"
    told, _ = watched(model, url, LIT_S + 12, mode=CaptureMode.FREE_RUN)
    assert [one.cause for one in told] == ["image_quality"]
    assert told[0].at_s > LIT_S
    assert "check the lamp" in told[0].message

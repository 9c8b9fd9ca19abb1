"""A lamp that fails, from the simulated camera to the sentence that names it: no process, no clock.

The parts are those of the running agent: source, segmentation, fruit, watch, life cycle.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

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


def pictures(camera: config.Camera, from_s: float, to_s: float) -> Iterator[Picture]:
    """Of a machine that has run since 0, from one moment to another."""
    clock = VirtualClock(from_s)
    parameters = replace(parse_url(camera.source, camera.sim), anchor_mono=0.0)
    source = SimSource(camera, parameters, SimClock(clock.mono, clock.utc_ms, clock.sleep))
    source.open()
    try:
        while clock.now < to_s:
            picture = source.read()
            if picture is not None and clock.now < to_s:
                yield picture
    finally:
        source.close()


class Line:
    """What the agent is between the camera and SCADA, of one lane."""

    def __init__(self, mode: CaptureMode = CaptureMode.TRIGGERED) -> None:
        # So small a network reads few fruit: that is not what is tried here.
        limits = config.AlarmLimits(fruit_window=WINDOW, no_read_rate=0.9)
        settings = config.Alarms(limits=limits)
        self.lanes = {"cam1": LaneGeometry(mode=mode)}
        self.mode = mode
        self.reader = FruitReader(self.lanes)
        self.watch = Watch(settings, ["cam1"])
        self.manager = AlarmManager(settings, "agent1", "s1")
        self.told: list[Told] = []
        self.seen: list[SegmentedFrame] = []

    def run(self, model: LoadedModel, url: str, from_s: float, to_s: float) -> None:
        """Let what this camera shows pass."""
        camera = config.Camera(name="cam1", source=url, mode=self.mode, fps=10.0)
        segmenter = Segmenter(model, config.Segmentation(), self.lanes, lambda: 0.0)
        running = MachineInfo(state=MachineState.RUNNING)
        for index, picture in enumerate(pictures(camera, from_s, to_s)):
            now = picture.captured_mono
            frame = Frame(
                "cam1", f"f{index}", index, 1000, now, picture.image, picture.aperture, running
            )
            (one,) = segmenter.segment([frame])
            self.take(one, now)

    def take(self, one: SegmentedFrame, now: float) -> None:
        self.seen.append(one)
        self.watch.on_picture(one)
        for reading in self.reader.feed(one, now):
            self.watch.on_fruit(reading)
        stamp_ms = round(now * 1000)
        records = [r for c in self.watch.tick(now) for r in self.manager.update(c, now, stamp_ms)]
        self.told += [
            Told(r.alarm_id.removesuffix("-cam1"), now, r.message)
            for r in [*records, *self.manager.tick(now, stamp_ms)]
            if r.transition == Event.RAISE.value
        ]


SIM = "sim:?rate=280&seed=5&variety=blush&size=64&empty=0.1"


@pytest.fixture(scope="module")
def lit(model: LoadedModel) -> Line:
    """A line that has run with its light; to be copied."""
    line = Line()
    line.run(model, SIM, 0.0, LIT_S)
    assert line.told == []
    return line


def dimmed(lit: Line, model: LoadedModel, left: float) -> Line:
    """The same, and ten seconds more with so much of its light left."""
    line = copy.deepcopy(lit)
    line.seen.clear()
    line.run(model, f"{SIM}&fault=lamp_off@{LIT_S}*{1 - left:g}", LIT_S, LIT_S + 10)
    return line


@pytest.mark.long
@pytest.mark.parametrize("left", [0.2, 0.1, 0.05, 0.02, 0.0])
def test_a_lamp_that_fails_is_named_and_nothing_else(
    lit: Line, model: LoadedModel, left: float
) -> None:
    line = dimmed(lit, model, left)
    assert [one.cause for one in line.told] == ["image_quality"]
    assert "turned dark" in line.told[0].message
    assert "check the lamp" in line.told[0].message
    # A fifth of the window, at 280 a minute, and the on-delay. At a fifth of the light some fruit
    # are still seen.
    fifth_s = 0.2 * WINDOW * 60 / 280
    after_s = line.told[0].at_s - LIT_S
    assert 0 < after_s < fifth_s * (2.5 if left == 0.2 else 1.0) + 3.0 + 2.0
    empty = sum(one.reading.reason is NoReadReason.EMPTY for one in line.seen)
    assert empty <= 0.25 * len(line.seen), "fruit are not passed off as empty cups"


@pytest.mark.long
@pytest.mark.parametrize("left", [1.0, 0.5])
def test_light_that_fruit_are_read_by_is_not_called_dark(
    lit: Line, model: LoadedModel, left: float
) -> None:
    line = dimmed(lit, model, left)
    assert line.told == []
    fruit = [one for one in line.seen if one.reading.reason is not NoReadReason.EMPTY]
    assert len(fruit) > 0.8 * len(line.seen)
    assert sum(one.coverage >= 0.5 for one in fruit) > 0.9 * len(fruit)


def test_a_feed_that_runs_empty_is_no_lamp_that_fails(model: LoadedModel, lit: Line) -> None:
    line = copy.deepcopy(lit)
    line.run(model, "sim:?rate=280&seed=5&size=64&empty=1", LIT_S, LIT_S + 15)
    assert line.told == []


@pytest.mark.long
def test_a_free_running_camera_without_light_makes_no_readings_and_says_why(
    model: LoadedModel,
) -> None:
    line = Line(CaptureMode.FREE_RUN)
    line.run(model, f"{SIM}&ids=0&fault=lamp_off@{LIT_S}*0.95", 0.0, LIT_S + 12)
    assert [one.cause for one in line.told] == ["image_quality"]
    assert line.told[0].at_s > LIT_S
    assert "check the lamp" in line.told[0].message

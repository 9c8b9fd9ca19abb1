"""A lamp that fails is told from a line that is empty: on what the simulator's camera shows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

from agent import config
from agent.alarms.catalogue import BY_CAUSE, Cause, Situation
from agent.alarms.condition import Condition
from agent.alarms.light import LightWatch, Sight
from agent.alarms.text.english import ENGLISH
from agent.alarms.text.italian import ITALIAN
from agent.alarms.watch import Watch
from agent.records import (
    CameraState,
    FruitReading,
    MachineInfo,
    MachineState,
    NoReadReason,
    Reading,
    SegmentedFrame,
)
from agent.segmentation.light import Light, measure_light
from agent.segmentation.reading import LaneGeometry, Measurement, read
from agent.simulator.fault_pictures import spoil
from agent.simulator.render import Look, Renderer
from tests.alarms.support import explanation, fruit, status, utc_ms

RUNNING, STOPPED, UNKNOWN = MachineState.RUNNING, MachineState.STOPPED, MachineState.UNKNOWN
PERIOD_S = 60.0 / 280.0
VARIETIES = ("golden", "crimson", "verdant")
NOTHING = Measurement(0.0, None, None, None)
DESCENT = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.0)


@dataclass(frozen=True)
class Sights:
    """What one cup shows at each share of the light."""

    fruit: bool
    by_level: dict[float, Light]


@cache
def sights() -> dict[str, list[Sights]]:
    renderer = Renderer(64)
    drawn = {
        variety: [renderer.fruit(seed, Look(variety)) for seed in range(20)]
        for variety in VARIETIES
    }
    drawn["cup"] = [renderer.empty_cup(seed) for seed in range(60)]
    return {
        name: [
            Sights(name != "cup", {level: seen_at(one, level) for level in DESCENT}) for one in all_
        ]
        for name, all_ in drawn.items()
    }


def seen_at(render, level: float) -> Light:
    image = spoil(render.image, "lamp_off", 1.0 - level, 0, 0, render.image)
    image[~render.aperture] = 0
    return measure_light(image, render.aperture, config.Segmentation().empty_brightness)


def brighter(light: Light, factor: float) -> Light:
    """Of a lot, or of cups with juice on them."""
    if factor == 1.0:
        return light
    return replace(light, brightness=light.brightness * factor, warmth=light.warmth * factor)


BLANK = fruit(0.0).segmentation


def picture(light: Light, mono: float, machine: MachineInfo, *, grey: bool) -> SegmentedFrame:
    """As the segmenter answers; a fruit that has light is read."""
    return replace(answered(light, grey), captured_mono=mono, machine=machine)


@cache
def answered(light: Light, grey: bool) -> SegmentedFrame:
    if grey:
        light = replace(light, warmth=0.0, chroma=0.0)
    settings = config.Segmentation()
    answer = read(NOTHING, light, LaneGeometry(), settings, None)
    if answer.reason is NoReadReason.NO_SUTURE:
        answer = Reading(True, 10.0, NoReadReason.NONE, 0.9, *(math.nan,) * 4)
    return replace(
        BLANK,
        reading=answer,
        brightness=light.brightness,
        coverage=light.coverage,
        warmth=light.warmth,
    )


class Lane:
    """One lane whose cups pass under a lamp that the test dims."""

    def __init__(
        self, *, grey: bool = False, machine: MachineState = RUNNING, seed: int = 0, **limits
    ):
        self.limits = config.AlarmLimits(**limits)
        self.watch = Watch(config.Alarms(limits=self.limits), ("cam1",))
        self.now = 100.0
        self.grey, self.machine = grey, machine
        self.variety = "golden"
        self.period_s = PERIOD_S
        self.lot = (1.0, 1.0)  # how bright its fruit and the cups are
        self.rng = np.random.default_rng(seed)
        self.watch.on_camera(status(CameraState.LIVE, self.now))

    def run(self, seconds: float, *, lamp: float = 1.0, empty: float = 0.05) -> Iterator[Condition]:
        """Cups pass; the condition of ``image_quality`` after every fifth."""
        end, shown = self.now + seconds, 0
        while self.now < end:
            name = "cup" if self.rng.random() < empty else self.variety
            light = sights()[name][int(self.rng.integers(20))].by_level[lamp]
            self.show(brighter(light, self.lot[name == "cup"]))
            shown += 1
            if shown % 5 == 0:
                yield self.judged()

    def show(self, light: Light) -> None:
        self.now += self.period_s
        machine = MachineInfo(state=self.machine, variety=self.variety)
        seen = picture(light, self.now, machine, grey=self.grey)
        self.watch.on_picture(seen)
        self.watch.on_fruit(FruitReading(seen))

    def judged(self) -> Condition:
        by_id = {one.alarm_id: one for one in self.watch.tick(self.now)}
        return by_id["image_quality-cam1"]

    def rings(self, seconds: float, **passing: float) -> bool:
        return [one for one in self.run(seconds, **passing) if one.beyond] != []

    def rings_after_s(self, seconds: float, **passing: float) -> float:
        began = self.now
        for one in self.run(seconds, **passing):
            if one.beyond:
                return self.now - began
        return math.inf


def sentence(condition: Condition, language=ENGLISH) -> str:
    return language.sentence(BY_CAUSE[Cause.IMAGE_QUALITY], condition)


# --- a lamp that fails ---------------------------------------------------------------------------


@pytest.mark.parametrize("variety", VARIETIES)
@pytest.mark.parametrize("lamp", [0.1, 0.05, 0.02, 0.0])
def test_a_lamp_that_fails_is_named_within_a_fifth_of_the_window(lamp: float, variety: str) -> None:
    lane = Lane()
    lane.variety = variety
    assert not lane.rings(120)
    after_s = lane.rings_after_s(30, lamp=lamp)
    fifth_s = lane.limits.image_quality * lane.limits.fruit_window * PERIOD_S
    assert after_s == pytest.approx(fifth_s, abs=2.0)
    assert "dark" in sentence(lane.judged())
    assert "check the lamp" in sentence(lane.judged())
    assert "controllare la lampada" in sentence(lane.judged(), ITALIAN)


def test_the_sentence_says_how_dark_and_how_bright_it_was() -> None:
    lane = Lane()
    lane.rings(120)
    lane.rings(60, lamp=0.05)
    detail = lane.judged().detail
    assert detail.values["level"] < 12
    assert detail.values["usual"] > 120
    assert detail.values["share"] == pytest.approx(lane.judged().value)


def test_half_of_the_light_is_no_darkness() -> None:
    """Fruit are read on; the charts see it where there is a reference."""
    lane = Lane()
    assert not lane.rings(120)
    assert not lane.rings(120, lamp=0.5)


def test_a_lamp_that_fades_in_steps_rings_by_the_time_that_fruit_are_lost() -> None:
    lane = Lane()
    rung = [lane.rings(120, lamp=lamp) for lamp in DESCENT]
    assert rung[:2] == [False, False]
    assert all(rung[3:])


def test_a_lamp_that_flickers_out_is_named() -> None:
    lane = Lane()
    lane.rings(120)
    rung = False
    for _ in range(40):
        rung |= lane.rings(2, lamp=1.0) or lane.rings(2, lamp=0.0)
    assert rung
    assert "dark" in sentence(lane.judged())


def test_a_lamp_that_comes_back_ends_it_with_fruit_and_without() -> None:
    for empty in (0.05, 1.0):
        lane = Lane(fruit_window=100)
        lane.rings(120)
        assert lane.rings(60, lamp=0.05)
        list(lane.run(60, empty=empty))
        assert lane.judged().beyond is False
        list(lane.run(60))
        assert lane.judged().back


def test_the_lamp_is_off_from_the_start() -> None:
    for lamp in (0.05, 0.0):
        lane = Lane()
        assert lane.rings_after_s(60, lamp=lamp) < 15
        assert "no picture shows any light" in sentence(lane.judged())


def test_a_free_running_camera_in_the_dark_is_one_alarm_and_not_two() -> None:
    """Its fruit make no readings, so there is nothing to judge by either."""
    lane = Lane()
    assert not lane.rings(120)
    for _ in range(400):
        lane.now += PERIOD_S
        light = sights()["golden"][0].by_level[0.05]
        machine = MachineInfo(state=RUNNING, variety="golden")
        lane.watch.on_picture(picture(light, lane.now, machine, grey=False))
    silent = f"{Cause.AGENT_NO_DATA}-cam1"
    told, alone = (
        {one.alarm_id: one for one in lane.watch.tick(lane.now, unavailable=out)}
        for out in ((), (f"{Cause.IMAGE_QUALITY}-cam1",))
    )
    assert lane.judged().beyond
    assert told[silent].beyond
    assert told[silent].suppressed_by == Situation.IMAGE_QUALITY.value
    assert alone[silent].suppressed_by == "", "not where nobody is told of the pictures"


# --- a line that is empty ------------------------------------------------------------------------


@pytest.mark.parametrize("machine", [RUNNING, UNKNOWN])
def test_an_empty_line_never_rings(machine: MachineState) -> None:
    """Nor is a cup that is black among them an unread fruit, or a fruit unexplained."""
    lane = Lane(machine=machine)
    assert not lane.rings(300)
    lane.period_s = 1.0
    lane.watch.on_explanation(explanation(lane.now))
    assert not lane.rings(3600, empty=1.0)
    assert not [one.alarm_id for one in lane.watch.tick(lane.now) if one.beyond]


def test_an_empty_line_rings_when_its_lamp_fails_there() -> None:
    """Empty cups are darker then than they ever are."""
    lane = Lane()
    assert not lane.rings(600)
    assert not lane.rings(600, empty=1.0)
    assert lane.rings(60, lamp=0.02, empty=1.0)


def test_an_agent_that_starts_before_an_empty_line_does_not_ring() -> None:
    assert not Lane().rings(1800, empty=1.0)


def test_a_standing_machine_may_switch_its_light_off() -> None:
    lane = Lane()
    assert not lane.rings(120)
    lane.machine = STOPPED
    lane.watch.on_machine(MachineInfo(state=STOPPED, received_utc_ms=utc_ms(lane.now)))
    assert not lane.rings(1200, lamp=0.0)
    lane.machine = RUNNING
    lane.watch.on_machine(MachineInfo(state=RUNNING, received_utc_ms=utc_ms(lane.now)))
    assert not lane.rings(5, lamp=0.0)  # it comes on a little later than the belt
    assert not lane.rings(300)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_no_shift_rings_by_itself(seed: int) -> None:
    """Two hours and a half: varieties, lots, gaps in the feed, a break on empty cups."""
    lane = Lane(seed=seed)
    lane.period_s = 1.0
    rung = []
    for block in range(8):
        lane.variety = VARIETIES[block % 3]
        lane.lot = (float(lane.rng.uniform(0.8, 1.2)), float(lane.rng.uniform(0.8, 1.2)))
        rung.append(lane.rings(780, empty=float(lane.rng.uniform(0.0, 0.3))))
        rung.append(lane.rings(1800 if block == 3 else 120, empty=1.0))
    assert not any(rung)


# --- cameras that see no colour ------------------------------------------------------------------


def narrow_cups(level: float) -> list[Light]:
    """Cups of one material, as on a real line, at this mean grey level."""
    rng = np.random.default_rng(3)
    return [
        Light(float(grey), 0.0, 0.0, 0.0, 0.0, warmth=0.0, evenness=0.4)
        for grey in rng.normal(level, 0.1 * level, 40)
    ]


def mixed(lane: Lane, cups: list[Light], count: int, lamp: float, empty: float) -> bool:
    rung = False
    for index in range(count):
        if lane.rng.random() < empty:
            lane.show(cups[int(lane.rng.integers(len(cups)))])
        else:
            lane.show(sights()["golden"][int(lane.rng.integers(20))].by_level[lamp])
        if index % 5 == 0:
            rung |= bool(lane.judged().beyond)
    return rung


def test_a_grey_camera_knows_its_cups_by_their_level() -> None:
    lane = Lane(grey=True)
    usual, dimmed = narrow_cups(10.0), narrow_cups(1.0)
    assert not mixed(lane, usual, 800, 1.0, 0.1)
    assert not mixed(lane, usual, 2000, 1.0, 1.0)
    assert mixed(lane, dimmed, 200, 0.1, 1.0)
    other = Lane(grey=True)
    mixed(other, narrow_cups(3.0), 800, 1.0, 0.1)
    assert mixed(other, narrow_cups(0.5), 200, 0.05, 0.1), "fruit brighter than cups ever are"


def test_a_grey_camera_that_starts_in_the_dark_says_so_after_a_bounded_time() -> None:
    lane = Lane(grey=True)
    assert 300 <= lane.rings_after_s(400, lamp=0.05) < 310
    assert "no picture shows any light" in sentence(lane.judged())
    assert lane.judged().value > lane.judged().limit == 300.0
    silent = Lane(grey=True, machine=UNKNOWN)
    assert not silent.rings(900, lamp=0.05)
    soon = Lane(grey=True, only_dark_s=60.0)
    assert 60 <= soon.rings_after_s(100, lamp=0.05) < 70


def test_a_camera_that_gives_up_colour_in_the_dark_is_noticed() -> None:
    """Many do by themselves; fruit then look as its empty cups did."""
    lane = Lane()
    assert not lane.rings(300)
    lane.grey = True
    assert lane.rings(30, lamp=0.1)
    assert "check the lamp" in sentence(lane.judged())


# --- what one picture says -----------------------------------------------------------------------


def dark(
    level: float, reason: NoReadReason = NoReadReason.EMPTY, warmth: float = 0.5
) -> SegmentedFrame:
    answer = Reading(False, -1.0, reason, 0.0, *(math.nan,) * 4)
    return replace(BLANK, reading=answer, brightness=level, coverage=0.0, warmth=warmth)


def test_cups_of_black_rubber_are_learnt_and_a_flickering_lamp_is_not() -> None:
    bright = replace(BLANK, brightness=150.0, warmth=150.0)
    black = dark(0.5, NoReadReason.IMAGE_QUALITY, warmth=0.1)
    rubber, flickers = (LightWatch(config.AlarmLimits()) for _ in range(2))
    assert rubber.judge(black) is Sight.DARK
    for index in range(800):
        rubber.on_picture(black if index % 10 == 0 else bright)
        flickers.on_picture(black if index % 2 == 0 else bright)
    assert rubber.judge(black) is Sight.CUP
    assert flickers.judge(black) is Sight.DARK
    assert flickers.state(False, 100.0).beyond
    assert not rubber.state(False, 100.0).beyond


def test_a_slow_fade_does_not_teach_what_an_empty_cup_is() -> None:
    watch = LightWatch(config.AlarmLimits())
    bright = replace(BLANK, brightness=150.0, warmth=150.0)
    for _ in range(60):
        watch.on_picture(dark(10.0))
        watch.on_picture(bright)
    for share in np.linspace(1.0, 0.2, 400):
        watch.on_picture(dark(10.0 * share))
        watch.on_picture(replace(bright, brightness=150.0 * share, warmth=150.0 * share))
    assert watch.judge(dark(2.0)) is Sight.DARK
    assert watch.judge(dark(10.0)) is Sight.CUP


def test_a_picture_that_was_none_says_nothing_of_the_light() -> None:
    watch = LightWatch(config.AlarmLimits())
    for _ in range(300):
        none = dark(0.0, NoReadReason.IMAGE_QUALITY)
        watch.on_picture(replace(none, margins=(math.nan,) * 3))
    assert not watch.enough
    for _ in range(300):
        watch.on_picture(dark(0.0, NoReadReason.IMAGE_QUALITY))
    assert watch.state(False, 100.0).beyond


def test_a_glaring_picture_is_not_a_dark_one() -> None:
    watch = LightWatch(config.AlarmLimits())
    glare = replace(dark(255.0, NoReadReason.IMAGE_QUALITY), coverage=1.0)
    assert watch.judge(glare) is Sight.LIT

"""The charts of a lane on a fake clock: faults, silence, change-over, another model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from agent import config
from agent.alarms.charts.charted import LaneCharts
from agent.alarms.charts.reference import CupReference, Reference
from agent.alarms.condition import Condition, Detail
from agent.alarms.text.language import Fact
from agent.alarms.watch import Watch
from agent.records import (
    CameraState,
    Explanation,
    FruitReading,
    MachineInfo,
    MachineState,
    NoReadReason,
    Quality,
    SamplingClass,
)
from tests.alarms.references import MODEL_SHA256, reference, signal
from tests.alarms.support import explanation, fruit, said, status, utc_ms

RUNNING, STOPPED = MachineState.RUNNING, MachineState.STOPPED
GOLDEN = reference(
    [
        signal("brightness", 120.0, 2.0, count=60),
        signal("focus", 3.0, 0.05, count=60),
        signal("chromaticity", 1.0, 0.02, count=60),
        signal("suture_margin", 5.0, 0.2, count=60),
        signal("profile_cosine", 0.95, 0.1, count=30),
        signal("reliance_input", 0.2, 0.15, count=30),
        signal("foreground_input", 0.8, 0.15, count=30),
    ],
    cups=CupReference(count=100, median=0.0, spread=0.05),
)


class Line:
    """A watch of one lane with references; sixty fruit, six empty cups and thirty explanations a
    minute."""

    def __init__(self, *references: Reference, variety: str | None = None) -> None:
        by_variety = {one.variety: one for one in references}
        self.watch = Watch(config.Alarms(), ("cam1",), by_variety)
        self.now, self.variety = 100.0, variety
        self.rng = np.random.default_rng(1)
        self.watch.on_camera(status(CameraState.LIVE, self.now))
        self.machine(RUNNING)

    def machine(self, state: MachineState) -> None:
        info = MachineInfo(state=state, variety=self.variety, received_utc_ms=utc_ms(self.now))
        self.watch.on_machine(info)
        self.state = state
        self.watch.tick(self.now)

    def run(
        self,
        minutes: float,
        *,
        brightness: float = 120.0,
        margin: float = 5.0,
        reliance: float = 0.2,
        turned: bool = False,
        colour: float = 1.0,
        cup_colour: float = 0.0,
        sha256: str = MODEL_SHA256,
    ) -> None:
        for second in range(round(minutes * 60)):
            self.watch.on_fruit(self._fruit(brightness, margin, colour))
            if second % 10 == 9:
                self.watch.on_fruit(self._cup(cup_colour))
            if second % 2 == 0:
                self.watch.on_explanation(self._explanation(reliance, turned, sha256))
            self.now += 1
            if second % 6 == 5:
                self.watch.tick(self.now)
        self.watch.tick(self.now)

    def _cup(self, colour: float) -> FruitReading:
        reading = fruit(self.now + 0.5, machine=self.state, empty=True)
        seen = replace(
            reading.segmentation,
            machine=replace(reading.segmentation.machine, variety=self.variety),
            brightness=15.0,
            warmth=15.0 * (colour + self.rng.normal(0, 0.02)),
        )
        return replace(reading, segmentation=seen)

    def _fruit(self, brightness: float, margin: float, colour: float = 1.0) -> FruitReading:
        reading = fruit(self.now, machine=self.state)
        seen = replace(
            reading.segmentation,
            machine=replace(reading.segmentation.machine, variety=self.variety),
            brightness=(shown := brightness + self.rng.normal(0, 10)),
            warmth=shown * (colour + self.rng.normal(0, 0.05)),
            focus=3.0 * math.exp(self.rng.normal(0, 0.1)),
            margins=(9.0, margin + self.rng.normal(0, 1), 4.0),
        )
        return replace(reading, segmentation=seen)

    def _explanation(self, reliance: float, turned: bool, sha256: str) -> Explanation:
        one = explanation(self.now, reliance + self.rng.normal(0, 0.03))
        deltas = np.array([0.0, 1.0, 2.0, 3.0] if turned else [3.0, 2.0, 1.0, 0.1])
        deltas += self.rng.normal(0, 0.2, 4)
        suture = replace(one.classes[0], deltas=deltas)
        return replace(one, classes=(suture,), model_sha256=sha256)

    @property
    def charts(self) -> LaneCharts:
        return self.watch.charts()["cam1"]

    def __getitem__(self, cause: str) -> Condition:
        return next(c for c in self.watch.tick(self.now) if c.cause == cause)

    def annunciated(self) -> set[str]:
        """What is raised and not suppressed."""
        now = self.watch.tick(self.now)
        return {c.cause for c in now if c.beyond and not c.suppressed_by}

    def active(self) -> Iterator[str]:
        return (c.cause for c in self.watch.tick(self.now) if c.beyond)


CHARTED = ("image_quality", "segmentation_degraded", "explanation_drift", "background_reliance")


def test_ordinary_production_alarms_nothing() -> None:
    line = Line(GOLDEN)
    line.run(30)
    assert list(line.active()) == []
    assert all(line[cause].back for cause in CHARTED)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ({"brightness": 100.0}, "image_quality"),
        ({"margin": 3.5}, "segmentation_degraded"),
        ({"turned": True}, "explanation_drift"),
        ({"reliance": 0.4}, "background_reliance"),
    ],
)
def test_a_fault_is_found_within_ten_minutes_by_its_own_cause(
    fault: dict[str, float], cause: str
) -> None:
    line = Line(GOLDEN)
    line.run(6)
    line.run(10, **fault)
    assert list(line.active()) == [cause]


def test_a_chart_says_what_was_measured_and_what_is_usual() -> None:
    line = Line(GOLDEN)
    line.run(10)
    line.run(6, margin=3.0)
    found = line["segmentation_degraded"]
    assert said(found).startswith("margin of the suture 2.9") or said(found).startswith(
        "margin of the suture 3"
    )
    assert "usually 4.53 to 5.47" in said(found)
    assert found.window == pytest.approx(60, abs=2)
    assert found.value > found.limit == 1.0


def test_what_is_usual_is_the_references_and_beside_it_stands_the_newest_minute() -> None:
    line = Line(GOLDEN)
    low, high = next(one.usual for one in GOLDEN.signals if one.name == "reliance_input")
    before = line.watch.usual()["cam1"]
    assert (before.held, before.low, before.high) == ("", low, high)
    assert math.isnan(before.mean)
    line.run(3, reliance=0.4)
    assert line.watch.usual()["cam1"].mean == pytest.approx(0.4, abs=0.03)
    line.machine(STOPPED)
    assert line.watch.usual()["cam1"].held == "the machine does not run"
    nobody = Line().watch.usual()["cam1"]
    assert nobody.held == "no reference is configured"
    assert math.isnan(nobody.low)
    other = Line(reference([signal("focus", 3.0, 0.05, count=60)])).watch.usual()["cam1"]
    assert other.held == "the reference does not have it"


def test_what_is_mended_clears() -> None:
    line = Line(GOLDEN)
    line.run(5)
    line.run(10, brightness=100.0)
    assert line["image_quality"].beyond
    line.run(9)
    assert line["image_quality"].beyond is False
    assert line["image_quality"].back


def test_bad_pictures_are_raised_once_with_everything_that_began_with_them() -> None:
    line = Line(GOLDEN)
    line.run(10)
    line.run(10, brightness=90.0, margin=3.0, turned=True, reliance=0.5)
    assert set(line.active()) == set(CHARTED)
    assert line.annunciated() == {"image_quality"}
    for _ in range(15):  # mended: each chart recovers when it has had its ordinary windows
        line.run(1)
        assert line.annunciated() <= {"image_quality"}
    assert line.annunciated() == set()


def test_pictures_that_were_bad_before_hide_no_model_that_looks_at_the_background() -> None:
    line = Line(GOLDEN)
    line.run(10)
    line.run(12, brightness=90.0)
    assert line.annunciated() == {"image_quality"}
    line.run(10, brightness=90.0, margin=3.0, turned=True, reliance=0.5)
    assert line.annunciated() == {"image_quality", "background_reliance"}


def test_a_stop_of_the_machine_forgets_nothing_of_what_was_raised() -> None:
    line = Line(GOLDEN)
    line.run(10)
    line.run(10, brightness=90.0, reliance=0.5)
    assert line.annunciated() == {"image_quality"}
    line.machine(STOPPED)
    for _ in range(20):
        line.now += 30
        assert line.annunciated() == set()
        assert line["image_quality"].beyond is None
        assert not line["image_quality"].back
    line.machine(RUNNING)
    for _ in range(3):
        line.run(1, brightness=90.0, reliance=0.5)
        assert line.annunciated() <= {"image_quality"}


def test_fruit_of_another_colour_are_no_fault_of_the_camera() -> None:
    line = Line(GOLDEN)
    line.run(10)
    line.run(4, colour=0.6, margin=3.0)
    assert line.annunciated() == {"segmentation_degraded"}
    found = line["segmentation_degraded"].detail
    assert isinstance(found, Detail)
    assert found.fact is Fact.OTHER_FRUIT
    for _ in range(15):  # the usual fruit are back
        line.run(1)
        assert line.annunciated() <= {"segmentation_degraded"}
    assert line.annunciated() == set()


def test_the_same_colour_cast_over_the_cups_is_the_cameras() -> None:
    line = Line(GOLDEN)
    line.run(10)
    line.run(4, colour=0.6, cup_colour=-0.5, margin=3.0)
    assert line.annunciated() == {"image_quality"}


def test_a_standing_machine_freezes_the_charts() -> None:
    line = Line(GOLDEN)
    line.run(10)
    line.run(3, brightness=114.0)
    before = {(c.signal, c.side, c.chart): c.value for c in line.charts.chart_values()}
    line.machine(STOPPED)
    line.run(5, brightness=20.0)
    after = {(c.signal, c.side, c.chart): c.value for c in line.charts.chart_values()}
    assert after == before
    assert line.charts.held == "the machine does not run"
    line.machine(RUNNING)
    line.run(5)
    assert line.charts.held == ""
    assert list(line.active()) == []


@pytest.mark.long
def test_each_variety_has_charts_of_its_own_and_the_change_is_no_fault() -> None:
    amber = reference([signal("brightness", 90.0, 2.0, count=60)], variety="amber")
    line = Line(GOLDEN, amber, variety="golden")
    line.run(15)
    line.machine(MachineState.CHANGE_OVER)
    line.run(2, brightness=60.0)
    line.variety = "amber"
    line.machine(RUNNING)
    line.run(15, brightness=90.0)
    assert list(line.active()) == []
    line.run(10, brightness=120.0)
    assert "image_quality" in line.active()


def test_a_variety_that_comes_back_is_judged_from_its_first_window_on() -> None:
    """It had points before, but none since its charts began anew: the loop failed on every tick."""
    amber = reference([signal("brightness", 90.0, 2.0, count=60)], variety="amber")
    line = Line(GOLDEN, amber, variety="golden")
    line.run(5)
    for variety, brightness in (("amber", 90.0), ("golden", 120.0)):
        line.machine(MachineState.CHANGE_OVER)
        line.run(1, brightness=brightness)
        line.variety = variety
        line.machine(RUNNING)
        line.run(0.5, brightness=brightness)
        assert line["segmentation_degraded"].beyond is None
        line.run(3, brightness=brightness)
    assert line["segmentation_degraded"].beyond is False
    line.run(10, brightness=90.0)
    assert "image_quality" in line.active()


def test_explanations_of_unsure_fruit_are_not_charted() -> None:
    """They differ from the others, and the more of them were explained, the more it looked like a
    model that had drifted."""
    line = Line(GOLDEN)
    line.run(10)
    for _ in range(600):
        line.watch.on_fruit(line._fruit(120.0, 5.0))
        unsure = line._explanation(0.5, turned=True, sha256=MODEL_SHA256)
        line.watch.on_explanation(replace(unsure, sampling_class=SamplingClass.UNCERTAIN))
        line.now += 1
    assert list(line.active()) == []
    line.run(5, turned=True)
    assert "explanation_drift" in line.active()


def test_an_unannounced_variety_is_a_fault() -> None:
    line = Line(GOLDEN, variety="golden")
    line.run(10)
    line.run(10, brightness=90.0)
    assert "image_quality" in line.active()


def test_a_variety_without_a_reference_holds_the_charts_and_says_so() -> None:
    line = Line(GOLDEN, variety="verdant")
    line.run(10, brightness=50.0)
    assert line.charts.held == "variety verdant has no reference"
    drift = line["explanation_drift"]
    assert drift.beyond is None
    assert drift.quality is Quality.UNCERTAIN
    assert list(line.active()) == []


def test_two_references_and_no_word_of_the_variety_hold_the_charts() -> None:
    amber = reference([signal("brightness", 90.0, 2.0)], variety="amber")
    line = Line(GOLDEN, amber)
    line.run(3)
    assert line.charts.held == "no variety is announced, and there are several"


def test_another_model_is_no_finding_of_a_chart() -> None:
    line = Line(GOLDEN)
    line.run(10)
    line.run(15, turned=True, margin=2.0, sha256="f" * 64)
    assert "another model" in line.charts.held
    assert line["explanation_drift"].beyond is None
    assert line["segmentation_degraded"].beyond is None
    line.run(5)
    assert line.charts.held == ""
    assert list(line.active()) == []


def test_a_wall_clock_that_steps_changes_nothing() -> None:
    line, stepped = Line(GOLDEN), Line(GOLDEN)
    line.run(6, brightness=116.0)
    real_fruit = stepped._fruit

    def jumping(brightness: float, margin: float, colour: float) -> FruitReading:
        reading = real_fruit(brightness, margin, colour)
        seen = reading.segmentation
        off_ms = 3_600_000 if int(stepped.now) % 120 < 60 else -3_600_000
        return replace(
            reading, segmentation=replace(seen, captured_utc_ms=seen.captured_utc_ms + off_ms)
        )

    stepped._fruit = jumping  # type: ignore[method-assign]
    stepped.run(6, brightness=116.0)
    assert [c.value for c in stepped.charts.chart_values()] == [
        c.value for c in line.charts.chart_values()
    ]


def test_a_model_that_answers_nan_leaves_the_charts_where_they_are() -> None:
    line = Line(GOLDEN)
    line.run(10)
    points = {(c.signal, c.side): c.value for c in line.charts.chart_values()}
    for _ in range(600):
        one = line._explanation(math.nan, False, MODEL_SHA256)
        empty = replace(
            one.classes[0], deltas=np.full(4, math.nan), input_sensitivity_foreground=math.nan
        )
        line.watch.on_explanation(replace(one, classes=(empty,)))
        line.now += 1
        line.watch.tick(line.now)
    after = {(c.signal, c.side): c.value for c in line.charts.chart_values()}
    names = ("profile_cosine", "reliance_input", "foreground_input")
    assert {k: v for k, v in after.items() if k[0] in names} == {
        k: v for k, v in points.items() if k[0] in names
    }


def test_a_chart_that_moves_asks_for_more_explanations_once_in_ten_minutes() -> None:
    line = Line(GOLDEN)
    line.run(10)
    assert line.watch.follow_ups(line.now) == []
    line.run(4, margin=4.5)
    assert line.watch.follow_ups(line.now) == ["cam1"]
    assert line.watch.follow_ups(line.now) == []
    line.run(11, margin=4.5)
    assert line.watch.follow_ups(line.now) == ["cam1"]


def test_without_a_reference_the_fixed_limits_are_all_there_is() -> None:
    line = Line()
    line.run(5, brightness=20.0, turned=True)
    assert list(line.active()) == []
    assert not line.charts.configured
    line.run(5, reliance=0.8)
    assert "background_reliance" in line.active()


def test_black_pictures_are_named_without_a_reference_within_a_minute() -> None:
    line = Line()
    line.run(5)
    black = NoReadReason.IMAGE_QUALITY
    for _ in range(60):  # sixty fruit, at 280 a minute thirteen seconds
        reading = fruit(line.now, read=False)
        seen = reading.segmentation
        bad = replace(seen, reading=replace(seen.reading, reason=black), brightness=0.0)
        line.watch.on_fruit(replace(reading, segmentation=bad))
        line.now += 0.214
        line.watch.tick(line.now)
    for _ in range(20):
        line.watch.on_fruit(replace(reading, segmentation=replace(bad, captured_mono=line.now)))
        line.now += 0.214
        line.watch.tick(line.now)
    assert line["image_quality"].beyond

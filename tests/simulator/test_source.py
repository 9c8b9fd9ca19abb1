from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from agent.capture.source import Picture, SourceError
from agent.config import Camera
from agent.records import CaptureMode
from agent.simulator.parameters import parse_url
from agent.simulator.source import AHEAD_S, SimClock, SimSource, open_source
from agent.simulator.truth_log import draw_number, read_number


class Hung(BaseException):
    """Raised by the fake sleep instead of sleeping for ever."""


@dataclass
class FakeTime:
    """A clock that only moves when somebody sleeps."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        if seconds > 600:
            raise Hung
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> SimClock:
        return SimClock(lambda: self.now, lambda: int(self.now * 1000), self.sleep)


def opened(query: str, time: FakeTime, **camera: object) -> SimSource:
    url = f"sim:?size=64&{query}"
    source = SimSource(Camera(name="cam1", source=url, **camera), parse_url(url), time.clock())
    source.open()
    return source


def pictures(source: SimSource, count: int) -> list[Picture]:
    found: list[Picture] = []
    while len(found) < count:
        picture = source.read()
        if picture is not None:
            found.append(picture)
    return found


def test_pictures_come_at_the_machines_rate_on_an_absolute_schedule() -> None:
    time = FakeTime()
    stamps = []
    source = opened("rate=280", time)
    for picture in pictures(source, 15):
        stamps.append(picture.captured_mono)
        time.now += 0.05  # the reader is busy for a while; the schedule does not move
    gaps = np.diff(stamps)
    assert gaps == pytest.approx(np.full(14, 60 / 280))
    assert stamps[0] == 1000.0


def test_the_next_picture_is_not_drawn_while_the_last_one_is_read() -> None:
    time = FakeTime()
    source = opened("rate=60", time)
    pictures(source, 1)
    time.slept.clear()
    pictures(source, 1)
    before_drawing, after_drawing = time.slept
    assert before_drawing == pytest.approx(1.0 - AHEAD_S)
    assert after_drawing == pytest.approx(AHEAD_S)


def test_what_yaml_says_reaches_the_machine() -> None:
    source = open_source(Camera(name="cam1", source="sim:", sim={"size": 64, "rate": 60}))
    info = source.open()
    source.close()
    assert (info.width_px, info.height_px, info.fps) == (64, 64, 1.0)
    with pytest.raises(SourceError, match="given twice"):
        open_source(Camera(name="cam1", source="sim:?seed=1", sim={"seed": 1}))


def test_a_reader_that_was_away_has_missed_the_fruit_and_goes_on_with_the_present() -> None:
    time = FakeTime()
    source = opened("rate=60", time)
    assert pictures(source, 1)[0].truth["fruit"] == 0
    time.now += 30
    picture = pictures(source, 1)[0]
    assert picture.truth["fruit"] == 28
    assert time.now - 1000 == 30


def test_lanes_lie_side_by_side_and_each_has_its_truth() -> None:
    time = FakeTime()
    source = opened("lanes=3&rate=240&empty=0", time)
    picture = pictures(source, 1)[0]
    assert picture.image.shape == (64, 192, 3)
    assert picture.aperture is not None
    assert picture.aperture.shape == (64, 192)
    assert len(picture.truth["lanes"]) == 3
    assert {lane["content"] for lane in picture.truth["lanes"]} == {"fruit"}
    second = pictures(source, 1)[0]
    assert second.captured_mono - picture.captured_mono == pytest.approx(3 * 60 / 240)


def test_truth_and_machine_words_go_into_json_without_nan() -> None:
    source = opened("empty=0.5&doubles=0.3&variety=pale&fault=dust", FakeTime())
    for picture in pictures(source, 10):
        json.dumps([picture.truth, picture.machine], allow_nan=False)
        assert picture.machine["variety"] == "pale"
        assert picture.machine["fruit_id"] == f"f{picture.truth['fruit']}"
        assert picture.truth["faults"][0]["name"] == "dust"


def test_a_machine_that_says_no_ids_says_none() -> None:
    assert "fruit_id" not in pictures(opened("ids=0", FakeTime()), 1)[0].machine


def test_two_cameras_of_one_url_see_the_same() -> None:
    one, two = (pictures(opened("seed=4", FakeTime()), 4) for _ in range(2))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(one, two, strict=True))


def test_a_free_running_camera_sees_each_fruit_several_times_as_it_passes() -> None:
    source = opened("rate=60&empty=0", FakeTime(), mode=CaptureMode.FREE_RUN, fps=10)
    seen = pictures(source, 30)
    fruit = [picture.truth["fruit"] for picture in seen]
    assert fruit == sorted(fruit)
    assert fruit.count(1) == 10
    offsets = [p.truth["offset_px"] for p in seen if p.truth["fruit"] == 1]
    assert offsets == sorted(offsets)
    assert 0 in offsets
    gaps = np.diff([picture.captured_mono for picture in seen])
    assert gaps == pytest.approx(np.full(29, 0.1))


def test_a_standing_belt_shows_the_same_fruit_in_pictures_that_still_differ() -> None:
    source = opened("rate=60&stops=3600&stop_s=30", FakeTime(), mode=CaptureMode.FREE_RUN, fps=10)
    first, second = pictures(source, 2)
    assert first.machine["state"] == second.machine["state"] == "stopped"
    assert first.truth["offset_px"] == second.truth["offset_px"] == 0
    difference = np.abs(first.image.astype(int) - second.image)
    assert 0 < difference.mean() < 4


def test_a_triggered_camera_waits_in_short_reads_while_the_belt_stands() -> None:
    time = FakeTime()
    source = opened("rate=60&stops=3600&stop_s=20&seed=1", time)
    halted = pictures(source, 1)[0]
    assert halted.machine["state"] == "stopped"
    before = time.now
    assert source.read() is None
    assert time.now - before == pytest.approx(1.0)


def test_a_frozen_camera_repeats_the_picture_from_before_the_onset() -> None:
    seen = pictures(opened("rate=60&fault=frozen@2.5+3", FakeTime()), 8)
    assert all(np.array_equal(seen[2].image, seen[k].image) for k in (3, 4, 5))
    assert not np.array_equal(seen[5].image, seen[6].image)


def test_black_pictures_are_black_for_as_long_as_the_fault_lasts() -> None:
    seen = pictures(opened("rate=60&empty=0&fault=black@2+2", FakeTime()), 6)
    assert [bool(p.image.any()) for p in seen] == [True, True, False, False, True, True]


def test_dropped_pictures_never_arrive_but_the_rest_keeps_its_time() -> None:
    time = FakeTime()
    seen = pictures(opened("rate=60&fault=drop@2+3", time), 4)
    assert [p.truth["fruit"] for p in seen] == [0, 1, 5, 6]
    assert seen[2].captured_mono == pytest.approx(1005)


def test_a_slow_camera_hands_its_pictures_over_late() -> None:
    seen = pictures(opened("rate=60&fault=slow@1+1*0.4", FakeTime()), 3)
    assert [p.captured_mono - 1000 for p in seen] == pytest.approx([0, 1.4, 2])


def test_a_hanging_read_never_returns() -> None:
    source = opened("rate=60&fault=hang@2", FakeTime())
    pictures(source, 2)
    with pytest.raises(Hung):
        source.read()


def test_a_lost_camera_fails_every_read() -> None:
    source = opened("rate=60&fault=lost@1", FakeTime())
    pictures(source, 1)
    for _ in range(2):
        with pytest.raises(SourceError, match="lost"):
            source.read()


def test_with_an_anchor_a_reopened_camera_finds_the_machine_where_it_is_by_then() -> None:
    time = FakeTime()
    pictures(opened("rate=60&anchor=1000", time), 2)
    time.now = 1020.5
    picture = pictures(opened("rate=60&anchor=1000", time), 1)[0]
    assert picture.truth["fruit"] == 21


def test_a_lost_camera_cannot_be_opened_again_until_it_is_back() -> None:
    time = FakeTime()
    time.now = 1005.0
    with pytest.raises(SourceError, match="lost"):
        opened("rate=60&anchor=1000&fault=lost@1+9", time)
    time.now = 1010.0
    assert pictures(opened("rate=60&anchor=1000&fault=lost@1+9", time), 1)


def test_an_unknown_variety_is_mixed_in_at_its_level() -> None:
    seen = pictures(opened("rate=600&empty=0&fault=unknown_variety@0*0.5", FakeTime()), 60)
    strange = sum(p.truth["variety"] == "unknown" for p in seen)
    assert 15 < strange < 45


def test_the_truth_log_tells_of_every_picture_and_of_the_faults_at_work(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    source = opened(f"rate=60&empty=0&log={path}&fault=drop@1+1&fault=lamp_fade@2*0.5", FakeTime())
    pictures(source, 3)
    source.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["picture"] for line in lines] == [0, 1, 2, 3]
    assert [line["delivered"] for line in lines] == [True, False, True, True]
    assert lines[1]["truth"]["faults"] == [{"name": "drop", "level": 1.0, "onset_s": 1.0}]
    assert lines[3]["truth"]["faults"] == [{"name": "lamp_fade", "level": 0.5, "onset_s": 2.0}]
    assert lines[3]["utc_ms"] - lines[0]["utc_ms"] == 3000
    assert "angle_deg" in lines[0]["truth"]


def test_each_picture_bears_its_number_of_the_truth_log_outside_of_the_round_view(
    tmp_path: Path,
) -> None:
    log = tmp_path / "truth.jsonl"
    source = opened(f"numbers=1&lanes=2&log={log}", FakeTime())
    shown = pictures(source, 3)
    source.close()
    noted = [json.loads(line)["picture"] for line in log.read_text().splitlines()]
    for lane in (0, 1):
        images = [picture.image[:, 64 * lane : 64 * (lane + 1)] for picture in shown]
        assert [read_number(image) for image in images] == noted
    plain = pictures(opened("lanes=2", FakeTime()), 3)
    for numbered, picture in zip(shown, plain, strict=True):
        inside = np.asarray(picture.aperture)
        assert np.array_equal(numbered.image[inside], picture.image[inside])


def test_half_of_two_numbered_pictures_has_no_number() -> None:
    upper, lower = np.zeros((2, 64, 64, 3), np.uint8)
    draw_number(upper, 0b1010101010101010)
    draw_number(lower, 0b0101010101010101 + 65536)
    assert read_number(lower) == 0b0101010101010101
    assert read_number(np.concatenate([upper[:, :32], lower[:, 32:]], axis=1)) is None
    assert read_number(np.zeros((64, 64, 3), np.uint8)) is None


def test_a_full_disk_ends_the_truth_log_and_not_the_camera() -> None:
    source = opened("rate=60&log=/dev/full", FakeTime())
    assert len(pictures(source, 3)) == 3
    source.close()


def test_a_bad_url_is_a_permanent_error_that_names_the_parameter() -> None:
    with pytest.raises(SourceError, match="rte") as caught:
        open_source(Camera(name="cam1", source="sim:?rte=1"))
    assert caught.value.permanent


def test_the_simulator_starts_without_torch() -> None:
    code = "import sys, agent.simulator.source; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0

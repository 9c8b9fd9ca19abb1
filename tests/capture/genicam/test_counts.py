"""Lost pictures, lost triggers, the camera's clock: pure."""

from __future__ import annotations

import pytest

from agent.capture.sources.genicam.camera_clock import CameraClock
from agent.capture.sources.genicam.frame_ids import (
    CountedTriggers,
    FrameIds,
    LostPictures,
    NumberedTriggers,
    SoftwareTriggers,
)


@pytest.mark.parametrize(
    ("ids", "missing"),
    [
        ([1, 2, 3], 0),
        ([5, 6], 0),  # the first says nothing
        ([1, 2, 6], 3),
        ([65534, 65535, 1, 2], 0),  # 16 bits of GigE Vision 1 leave 0 out
        ([65533, 65535, 3], 3),
        ([7, 7, 8], 0),
        ([500, 1, 2], 0),  # the camera began anew
    ],
)
def test_gaps_of_the_camera_s_count_are_missing_pictures(ids: list[int], missing: int) -> None:
    book = FrameIds()
    assert sum(book.arrived(one, 1, 65535) for one in ids) == missing


def test_a_producer_that_counts_beyond_sixteen_bits_is_understood_too() -> None:
    book = FrameIds()
    assert [book.arrived(one, 1, 65535) for one in (65534, 65535, 65536, 65538)] == [0, 0, 0, 1]
    wide = FrameIds()
    assert [wide.arrived(one, 0, 2**64 - 1) for one in (2**64 - 1, 0, 5)] == [0, 0, 4]


def test_a_picture_without_a_buffer_is_counted_once_whichever_count_tells_first() -> None:
    book = LostPictures()
    assert book.divide(missing=0, underruns=3) == {"underrun": 3}
    assert book.divide(missing=4, underruns=0) == {"transit": 1}
    assert book.divide(missing=2, underruns=2) == {"underrun": 2}
    assert book.divide(missing=1, underruns=0) == {"transit": 1}
    assert book.divide(missing=0, underruns=0) == {}


def test_a_trigger_without_a_picture_in_time_is_lost_once() -> None:
    book = SoftwareTriggers(patience_s=1.0)
    for at in (0.0, 0.2, 0.4):
        book.fired(at)
    book.pictures(1)
    assert book.lost(1.1) == 0, "the second is late by less than the patience"
    assert book.lost(1.3) == 1
    book.pictures(5)
    assert book.lost(9.0) == 0


@pytest.mark.parametrize(
    ("triggers", "pictures", "lost"),
    [
        # One picture is on its way at some looks: it is not lost.
        ([101, 106, 110, 116, 120, 126, 130], [0, 5, 10, 15, 20, 25, 30], 0),
        ([100, 106, 111, 116, 121, 126, 131, 136], [0, 5, 10, 15, 20, 25, 30, 35], 1),
        ([100, 110, 120, 130, 140, 150, 160, 170], [0, 5, 10, 15, 20, 25, 30, 35], 10),
        # Set to 0 in the run: what was before counts no more.
        ([100, 105, 0, 5, 10, 15, 20, 25, 30], [0, 5, 10, 15, 20, 25, 30, 35, 40], 0),
        # The machine rests.
        ([100, 103] + [103] * 8, [0, 1] + [1] * 8, 2),
    ],
    ids=["on its way", "one", "every second", "reset", "rests"],
)
def test_triggers_that_stay_ahead_of_the_pictures_are_lost(
    triggers: list[int], pictures: list[int], lost: int
) -> None:
    book = CountedTriggers()
    assert sum(map(book.look, triggers, pictures)) == lost


def test_numbers_of_triggers_in_the_pictures_tell_those_between_them() -> None:
    book = NumberedTriggers()
    told = [(7, 1), (8, 1), (11, 1), (13, 2), (None, 1), (16, 1), (2, 1), (3, 1)]
    assert [book.arrived(*one) for one in told] == [0, 0, 2, 0, 0, 1, 0, 0]


def test_the_quickest_latch_of_a_burst_tells_the_camera_s_time() -> None:
    clock = CameraClock()
    assert clock.captured_mono(0, 5.0) is None
    clock.latched([(100.0, 1_000_000_000, 100.2), (100.3, 1_205_000_000, 100.31)])
    assert clock.captured_mono(2_205_000_000, 101.4) == pytest.approx(101.305)


def test_a_stamp_of_the_future_or_of_long_ago_is_not_believed() -> None:
    clock = CameraClock()
    clock.latched([(100.0, 1_000_000_000, 100.0)])
    assert clock.captured_mono(3_000_000_000, 101.0) is None
    assert clock.captured_mono(1_000_000_000, 200.0) is None
    assert clock.captured_mono(2_010_000_000, 101.0) == 101.0, "an error of latching is no future"


def test_a_clock_that_was_set_is_told_and_drift_is_not() -> None:
    clock = CameraClock()
    clock.latched([(0.0, 0, 0.001)])
    clock.latched([(1000.0, 1000_050_000_000, 1000.001)])  # 50 ppm in 1000 s
    assert clock.steps == 0
    clock.latched([(1010.0, 5_000_000_000, 1010.001)])
    assert clock.steps == 1
    assert clock.captured_mono(6_000_000_000, 1011.1) == pytest.approx(1011.0, abs=0.001)
    clock.latched([])
    assert clock.steps == 1

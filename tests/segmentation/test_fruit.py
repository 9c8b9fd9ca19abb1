"""Every fruit gets exactly one reading, whatever the number of its pictures."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.records import CaptureMode, MachineInfo, NoReadReason, Reading, SegmentedFrame
from agent.segmentation.fruit import FruitReader
from agent.segmentation.reading import LaneGeometry
from tests.capture.support import Ledger

FREE = LaneGeometry(mode=CaptureMode.FREE_RUN)
MASK = np.zeros((2, 2), np.uint8)
NAN = math.nan


def picture(
    seq: int,
    coverage: float = 1.0,
    confidence: float = 0.8,
    reason: NoReadReason | None = None,
    machine: MachineInfo | None = None,
    camera: str = "lane1",
) -> SegmentedFrame:
    """A segmentation; without a reason it is read when at least half of the aperture is lit."""
    if reason is None:
        reason = NoReadReason.NONE if coverage >= 0.5 else NoReadReason.EMPTY
    read = reason is NoReadReason.NONE
    reading = Reading(read, 12.0 if read else -1.0, reason, confidence, NAN, NAN, NAN, NAN)
    return SegmentedFrame(
        lane=camera,
        frame_id=f"{camera}-{seq}",
        seq=seq,
        captured_utc_ms=seq,
        captured_mono=float(seq),
        classes=("background", "suture"),
        mask=MASK,
        margins=(1.0, 1.0),
        areas=(0.9, 0.1),
        reading=reading,
        machine=machine or MachineInfo(),
        done_mono=0.0,
        seconds=0.0,
        coverage=coverage,
    )


def run(reader: FruitReader, pictures, period_s: float = 0.05):
    """Feed pictures one period apart and flush; all readings in order."""
    out = []
    for index, one in enumerate(pictures):
        out += reader.feed(one, index * period_s)
    return out + reader.flush()


def coverages(reader: FruitReader, *values: float, period_s: float = 0.05):
    return run(reader, [picture(i, c) for i, c in enumerate(values)], period_s)


def named(seq: int, fruit_id: str | None, coverage: float = 1.0, **more) -> SegmentedFrame:
    return picture(seq, coverage, machine=MachineInfo(fruit_id=fruit_id), **more)


# --- triggered -----------------------------------------------------------------------------------


def test_triggered_every_picture_is_a_fruit_or_an_empty_cup():
    reader = FruitReader({"lane1": LaneGeometry()})
    got = coverages(reader, 1.0, 1.0, 0.1, 1.0)
    assert [one.segmentation.seq for one in got] == [0, 1, 2, 3]
    assert [one.empty for one in got] == [False, False, True, False]
    assert all(one.frames == 1 for one in got)


def test_triggered_a_bad_picture_is_a_fruit_without_a_reading():
    [got] = FruitReader({}).feed(picture(0, reason=NoReadReason.IMAGE_QUALITY), 0.0)
    assert not got.empty
    assert got.segmentation.reading.reason is NoReadReason.IMAGE_QUALITY


# --- free run, by presence -----------------------------------------------------------------------


def test_a_fruit_crossing_the_picture_is_answered_once_when_it_leaves():
    reader = FruitReader({"lane1": FREE})
    shown = [0.0, 0.2, 0.6, 1.0, 0.9]
    for i, coverage in enumerate(shown):
        assert reader.feed(picture(i, coverage), i * 0.05) == []
    [got] = reader.feed(picture(5, 0.5), 0.25)
    assert got.frames == 4
    assert reader.feed(picture(6, 0.1), 0.3) == []
    assert reader.flush() == []


def test_the_best_picture_is_the_surest_weighted_by_presence():
    pictures = [
        picture(0, 0.6, 0.9),
        picture(1, 0.9, 0.8),
        picture(2, 1.0, 0.7),
        picture(3, 0.4, 0.99),
    ]
    [got] = run(FruitReader({"lane1": FREE}), pictures)
    assert got.segmentation.seq == 1  # 0.72 against 0.54, 0.70 and an empty one


def test_a_reading_beats_any_no_read():
    pictures = [
        picture(0, 0.55, 0.51),
        picture(1, 1.0, 0.9, NoReadReason.AMBIGUOUS),
        picture(2, 0.2),
    ]
    [got] = run(FruitReader({"lane1": FREE}), pictures)
    assert got.segmentation.seq == 0


def test_a_fruit_that_cannot_be_read_gives_one_no_read_of_its_fullest_picture():
    no = NoReadReason.NO_SUTURE
    pictures = [picture(i, c, 0.0, no) for i, c in enumerate((0.6, 1.0, 0.8))]
    [got] = run(FruitReader({"lane1": FREE}), [*pictures, picture(3, 0.0)])
    assert got.segmentation.seq == 1
    assert not got.empty


def test_fruit_that_touch_are_told_apart_by_the_dip_between_them():
    got = coverages(FruitReader({"lane1": FREE}), 0.2, 0.9, 0.6, 0.95, 0.6, 0.9, 0.6)
    assert [one.segmentation.seq for one in got] == [1, 3, 5]


def test_flicker_smaller_than_the_prominence_makes_no_second_fruit():
    got = coverages(FruitReader({"lane1": FREE}), 0.1, 0.8, 0.95, 0.8, 0.9, 0.75, 0.9, 0.1)
    assert len(got) == 1
    assert got[0].frames == 7


def test_what_never_fills_half_the_aperture_is_no_fruit():
    assert coverages(FruitReader({"lane1": FREE}), 0.0, 0.4, 0.1, 0.45, 0.0) == []


def test_a_fruit_in_view_at_the_end_is_answered_by_the_flush():
    reader = FruitReader({"lane1": FREE, "lane2": FREE})
    reader.feed(picture(0, 1.0), 0.0)
    reader.feed(picture(0, 1.0, camera="lane2"), 0.0)
    assert {one.segmentation.lane for one in reader.flush()} == {"lane1", "lane2"}
    assert reader.flush() == []


def test_a_stopped_belt_gives_one_reading_for_the_fruit_standing_in_view():
    reader = FruitReader({"lane1": FREE}, max_fruit_s=1.0)
    got = coverages(reader, *([0.1] + [0.9] * 100), period_s=0.05)
    assert len(got) == 1
    assert got[0].frames == 20
    # It starts again: the fruit leaves, the next one comes.
    assert len(coverages(reader, 0.9, 0.5, 0.1, 0.6, 1.0, 0.5)) == 1


def test_a_fruit_standing_while_no_picture_comes_is_answered_by_the_tick():
    reader = FruitReader({"lane1": FREE}, max_fruit_s=1.0)
    reader.feed(picture(0, 0.9), 0.0)
    assert reader.tick(0.9) == []
    assert len(reader.tick(1.0)) == 1
    assert reader.tick(5.0) == []


def test_a_bad_picture_neither_ends_nor_begins_a_fruit():
    bad = NoReadReason.IMAGE_QUALITY
    pictures = [
        picture(0, 0.0, reason=bad),
        picture(1, 0.1),
        picture(2, 0.9),
        picture(3, 0.0, reason=bad),
        picture(4, 0.9),
        picture(5, 0.1),
    ]
    [got] = run(FruitReader({"lane1": FREE}), pictures)
    assert got.segmentation.seq == 2
    assert got.frames == 4


@st.composite
def belts(draw):
    """Fruit on a belt: per picture the fruit it belongs to (None between them) and the presence."""
    count = draw(st.integers(1, 8))
    peaks = [draw(st.floats(0.6, 1.0)) for _ in range(count)]
    floor = [0.0, *(min(a, b) for a, b in itertools.pairwise(peaks)), 0.0]
    valleys = [
        draw(st.floats(0.0, max(high - 0.35, 0.0))) if 0 < i < count else 0.1
        for i, high in enumerate(floor)
    ]
    pictures: list[tuple[int | None, float]] = [(None, valleys[0])]
    for i, peak in enumerate(peaks):
        steps = draw(st.integers(0, 4))
        rise = [valleys[i] + (peak - valleys[i]) * (k + 1) / (steps + 1) for k in range(steps)]
        pictures += [(i, value) for value in rise]
        pictures += [(i, peak)] * draw(st.integers(1, 3))
        steps = draw(st.integers(0, 4))
        down = valleys[i + 1]
        pictures += [(i, peak + (down - peak) * (k + 1) / (steps + 1)) for k in range(steps)]
        pictures += [(None, down)] * draw(st.integers(1, 3))
    noise = st.floats(-0.04, 0.04)
    return [(fruit, min(max(p + draw(noise), 0.0), 1.0)) for fruit, p in pictures]


@settings(max_examples=300, deadline=None)
@given(belts())
def test_every_fruit_on_a_belt_gets_exactly_one_reading(belt):
    pictures = [picture(i, presence) for i, (_, presence) in enumerate(belt)]
    got = run(FruitReader({"lane1": FREE}, max_fruit_s=1e9), pictures)
    fruit = [belt[one.segmentation.seq][0] for one in got]
    assert fruit == sorted({one for one, _ in belt if one is not None})


# --- free run, by the machine's word -------------------------------------------------------------


def test_the_machines_id_delimits_fruit_and_empty_cups():
    pictures = [named(0, "a"), named(1, "a", 0.7), named(2, "b", 0.1), named(3, "c"), named(4, "c")]
    got = run(FruitReader({"lane1": FREE}), pictures)
    assert [one.segmentation.machine.fruit_id for one in got] == ["a", "b", "c"]
    assert [one.empty for one in got] == [False, True, False]
    assert [one.frames for one in got] == [2, 1, 2]


def test_an_encoder_count_delimits_where_there_is_no_id():
    pictures = [picture(i, machine=MachineInfo(encoder=i // 2)) for i in range(6)]
    got = run(FruitReader({"lane1": FREE}), pictures)
    assert [one.segmentation.machine.encoder for one in got] == [0, 1, 2]


def test_a_dip_within_one_id_makes_no_second_fruit():
    pictures = [named(i, "a", c) for i, c in enumerate((1.0, 0.1, 1.0, 0.1))]
    assert len(run(FruitReader({"lane1": FREE}), pictures)) == 1


def test_late_pictures_of_an_answered_id_are_counted_and_not_answered():
    ledger = Ledger()
    reader = FruitReader({"lane1": FREE}, max_fruit_s=0.2, telemetry=ledger)
    got = run(reader, [named(i, "stuck") for i in range(20)])
    assert len(got) == 1
    assert ledger.counts == {("pictures_late", "lane1"): 16}


def test_the_first_name_belongs_to_the_fruit_already_in_view():
    reader = FruitReader({"lane1": FREE})
    got = run(reader, [picture(0, 0.9, 0.9), named(1, "a", 1.0, confidence=0.2), named(2, "b")])
    assert [one.segmentation.machine.fruit_id for one in got] == ["a", "b"]
    assert got[0].segmentation.seq == 0  # the better picture came before the name


def test_a_fruit_answered_while_it_stood_is_not_answered_again_under_its_name():
    ledger = Ledger()
    reader = FruitReader({"lane1": FREE}, max_fruit_s=0.1, telemetry=ledger)
    got = run(
        reader, [picture(0), picture(1), picture(2), picture(3), named(4, "a"), named(5, "a")]
    )
    assert len(got) == 1
    assert ledger.counts == {("pictures_late", "lane1"): 2}


def test_when_the_names_stop_the_fruit_in_view_is_not_answered_twice():
    pictures = [named(0, "a"), picture(1, 1.0), picture(2, 0.5), picture(3, 0.2), picture(4, 0.9)]
    got = run(FruitReader({"lane1": FREE}), pictures)
    assert [one.segmentation.seq for one in got] == [0, 4]


def test_when_the_names_stop_at_an_empty_cup_the_next_fruit_is_seen():
    pictures = [named(0, "a", 0.05), picture(1, 0.05), picture(2, 0.9), picture(3, 0.1)]
    got = run(FruitReader({"lane1": FREE}), pictures)
    assert [one.empty for one in got] == [True, False]


def test_a_cup_seen_only_in_bad_pictures_is_a_no_read_and_one_seen_empty_is_empty():
    bad = NoReadReason.IMAGE_QUALITY
    [blind] = run(FruitReader({"lane1": FREE}), [named(0, "a", 0.0, reason=bad)])
    assert not blind.empty
    pictures = [named(0, "a", 0.0, reason=bad), named(1, "a", 0.1)]
    [empty] = run(FruitReader({"lane1": FREE}), pictures)
    assert empty.empty


KEYS = st.one_of(
    st.none(),
    st.integers(0, 5).map(lambda i: MachineInfo(fruit_id=f"f{i}")),
    st.integers(0, 5).map(lambda i: MachineInfo(encoder=i)),
)
REASONS = st.sampled_from([None, None, NoReadReason.NO_SUTURE, NoReadReason.IMAGE_QUALITY])


@pytest.mark.long
@settings(max_examples=400, deadline=None)
@given(
    shown=st.lists(st.tuples(st.floats(0, 1), KEYS, REASONS, st.sampled_from([0.05, 3.0]))),
    lanes=st.integers(1, 3),
)
def test_no_id_is_ever_answered_twice_and_no_picture_counted_twice(shown, lanes):
    reader = FruitReader({f"lane{i}": FREE for i in range(lanes)})
    got, now = [], 0.0
    for seq, (coverage, machine, reason, wait) in enumerate(shown):
        now += wait
        camera = f"lane{seq % lanes}"
        got += reader.feed(picture(seq, coverage, 0.5, reason, machine, camera), now)
        if wait > 1:
            got += reader.tick(now)
    got += reader.flush()
    answered = Counter(
        (
            one.segmentation.lane,
            one.segmentation.machine.fruit_id,
            one.segmentation.machine.encoder,
        )
        for one in got
        if one.segmentation.machine != MachineInfo()
    )
    assert all(count == 1 for count in answered.values())
    assert all(count == 1 for count in Counter(one.segmentation.seq for one in got).values())
    assert sum(one.frames for one in got) <= len(shown)
    assert all(one.frames >= 1 for one in got)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.floats(0, 1)), min_size=1, max_size=12))
def test_every_id_is_answered_exactly_once_in_order(cups):
    ids = [f"f{i}" for i, (count, _) in enumerate(cups) for _ in range(count)]
    coverage = [c for count, c in cups for _ in range(count)]
    pictures = [named(i, *pair) for i, pair in enumerate(zip(ids, coverage, strict=True))]
    got = run(FruitReader({"lane1": FREE}, max_fruit_s=1e9), pictures)
    assert [one.segmentation.machine.fruit_id for one in got] == [f"f{i}" for i in range(len(cups))]
    assert [one.frames for one in got] == [count for count, _ in cups]
    assert sum(one.frames for one in got) == len(pictures)


def test_a_thousand_ids_leave_a_bounded_memory():
    reader = FruitReader({"lane1": FREE})
    got = run(reader, [named(i, f"f{i}") for i in range(1000)])
    assert len(got) == 1000
    assert len(reader._lanes["lane1"].answered) == 64


@pytest.mark.parametrize("reason", [None, NoReadReason.LOW_CONFIDENCE])
def test_lanes_do_not_disturb_each_other(reason):
    reader = FruitReader({"lane1": FREE, "lane2": LaneGeometry()})
    assert reader.feed(picture(0, 0.9), 0.0) == []
    assert len(reader.feed(picture(0, 0.9, reason=reason, camera="lane2"), 0.0)) == 1
    assert len(reader.feed(picture(1, 0.1), 0.1)) == 1

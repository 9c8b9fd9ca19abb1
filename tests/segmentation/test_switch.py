"""Another network takes over between two fruit, and no picture is lost or weighed against one of
the other network."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import config
from agent.records import CaptureMode, Frame, FruitReading, MachineInfo, SegmentedFrame
from agent.segmentation.fruit import FruitReader
from agent.segmentation.reading import LaneGeometry
from agent.segmentation.segmenter import Segmenter
from agent.segmentation.switch import PATIENCE_S, SegmenterSwitch
from tests.segmentation.drawn import bar, colour_model, painted

OLD, NEW = "a" * 64, "b" * 64


class Clock:
    def __init__(self) -> None:
        self.now = 10.0

    def __call__(self) -> float:
        return self.now


FRUIT = painted(bar(64, 64, 30.0, 5.0), np.zeros((64, 64), bool), size=(64, 64))
NOTHING = FRUIT.copy()
NOTHING[8:] = 0  # the edge of a fruit that has left


def segmenter(sha256: str, clock: Clock) -> Segmenter:
    model = dataclasses.replace(colour_model(), sha256=sha256)
    return Segmenter(model, config.Segmentation(), {}, clock)


def picture(
    seq: int, lane: str = "cam1", fruit_id: str | None = None, image: np.ndarray = FRUIT
) -> Frame:
    machine = MachineInfo(fruit_id=fruit_id)
    return Frame(lane, f"{lane}-{seq}", seq, 0, 10.0, image, None, machine)


class Line:
    """Switch and fruit reader as the live loop drives them, a picture at a time while pending."""

    def __init__(self, lanes: dict[str, CaptureMode]) -> None:
        self.clock = Clock()
        self.old, self.new = segmenter(OLD, self.clock), segmenter(NEW, self.clock)
        geometry = {name: LaneGeometry(mode=mode) for name, mode in lanes.items()}
        self.fruit = FruitReader(geometry)
        self.switch = SegmenterSwitch(self.old, self.fruit.continues, self.clock)
        self.readings: list[FruitReading] = []

    def pass_by(self, *frames: Frame) -> list[SegmentedFrame]:
        seen: list[SegmentedFrame] = []
        batches = [[one] for one in frames] if self.switch.pending else [list(frames)]
        for batch in batches:
            segmented = self.switch.segment(batch)
            for one in segmented:
                self.readings += self.fruit.feed(one, self.clock())
            seen += segmented
        return seen


def models(seen: list[SegmentedFrame]) -> list[str]:
    return [one.model_sha256[0] for one in seen]


def test_a_triggered_lane_goes_over_with_its_next_picture() -> None:
    line = Line({"cam1": CaptureMode.TRIGGERED})
    assert models(line.pass_by(picture(1))) == ["a"]
    line.switch.switch(line.new)
    assert line.switch.pending
    assert models(line.pass_by(picture(2), picture(3))) == ["b", "b"]
    assert not line.switch.pending
    assert line.switch.current is line.new


def test_a_fruit_in_view_is_read_to_its_end_by_the_network_that_began_it() -> None:
    line = Line({"cam1": CaptureMode.FREE_RUN})
    assert models(line.pass_by(picture(1, image=NOTHING), picture(2), picture(3))) == ["a"] * 3
    line.switch.switch(line.new)
    after = line.pass_by(picture(4), picture(5, image=NOTHING), picture(6), picture(7))
    assert models(after) == ["a", "a", "b", "b"]
    assert [one.segmentation.model_sha256[0] for one in line.readings] == ["a"]


def test_where_fruit_follow_without_a_gap_the_next_name_begins_with_the_new_network() -> None:
    line = Line({"cam1": CaptureMode.FREE_RUN})
    line.pass_by(picture(1, fruit_id="7"), picture(2, fruit_id="7"))
    line.switch.switch(line.new)
    after = line.pass_by(
        picture(3, fruit_id="7"), picture(4, fruit_id="8"), picture(5, fruit_id="8")
    )
    assert models(after) == ["a", "b", "b"]


def test_each_lane_goes_over_by_itself_and_pictures_keep_their_order() -> None:
    line = Line({"cam1": CaptureMode.FREE_RUN, "cam2": CaptureMode.TRIGGERED})
    line.pass_by(picture(1, image=NOTHING), picture(2), picture(1, "cam2"))
    line.switch.switch(line.new)
    batch = [picture(3), picture(2, "cam2"), picture(4), picture(3, "cam2")]
    seen = line.switch.segment(batch)
    assert [one.frame_id for one in seen] == [one.frame_id for one in batch]
    assert models(seen) == ["a", "b", "a", "b"]
    assert line.switch.pending


def test_a_fruit_that_never_leaves_holds_the_new_network_up_only_for_a_while() -> None:
    line = Line({"cam1": CaptureMode.FREE_RUN})
    line.pass_by(picture(1, image=NOTHING), picture(2))
    line.switch.switch(line.new)
    line.clock.now += PATIENCE_S - 0.1
    assert models(line.switch.segment([picture(3)])) == ["a"]
    line.clock.now += 0.1
    assert models(line.switch.segment([picture(4)])) == ["b"]


def test_a_switch_that_is_taken_back_at_once_changes_nothing() -> None:
    line = Line({"cam1": CaptureMode.TRIGGERED})
    line.pass_by(picture(1))
    line.switch.switch(line.new)
    line.switch.switch(line.old)
    assert not line.switch.pending
    assert models(line.pass_by(picture(2))) == ["a"]


steps = st.lists(
    st.one_of(
        st.just("switch"),
        st.tuples(
            st.sampled_from(["cam1", "cam2"]), st.booleans(), st.sampled_from([None, "1", "2"])
        ),
    ),
    max_size=40,
)


@settings(max_examples=40)
@given(steps)
def test_every_picture_is_answered_once_and_no_fruit_is_of_two_networks(
    done: list[str | tuple[str, bool, str | None]],
) -> None:
    line = Line({"cam1": CaptureMode.FREE_RUN, "cam2": CaptureMode.TRIGGERED})
    of_fruit: set[str] = set()
    given_frames, seen = 0, 0
    for step in done:
        if isinstance(step, str):
            now = line.switch.current
            line.switch.switch(line.new if now is line.old else line.old)
            continue
        lane, fruit, name = step
        image = FRUIT if fruit else NOTHING
        frame = picture(given_frames, lane, name, image)
        given_frames += 1
        if not line.fruit.continues(lane, frame.machine):
            of_fruit = set() if lane == "cam1" else of_fruit
        (segmented,) = line.pass_by(frame)
        seen += 1
        if lane == "cam1":
            of_fruit.add(segmented.model_sha256)
            if line.fruit.continues("cam1", frame.machine):
                assert len(of_fruit) == 1
    assert seen == given_frames

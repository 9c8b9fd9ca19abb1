"""Which picture belongs to a fruit, and how many are kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agent.observability.fruit_frames import (
    CANDIDATES_S,
    FRUIT,
    FRUIT_BYTES,
    AnnotatedFrame,
    FruitFrames,
)
from agent.observability.newest import Newest
from agent.records import Rung, SamplingClass, Selection
from tests.observability.samples import explanation, frame, fruit, overlay, segmentation


def seen(seq: int, mono: float, side: int = 8) -> AnnotatedFrame:
    shown = frame(seq=seq, mono=mono, side=side)
    return AnnotatedFrame(shown, segmentation(shown))


def test_a_reading_that_comes_late_finds_its_own_picture() -> None:
    frames = FruitFrames()
    shown = [seen(seq, 1000.0 + 0.1 * seq) for seq in range(20)]
    for one in shown:
        frames.add(one)
    frames.choose(shown[7].frame.frame_id)
    assert frames.get(shown[7].frame.frame_id) is shown[7]
    assert frames.get(shown[8].frame.frame_id) is None, "a picture of no fruit"


def test_a_picture_waits_for_its_reading_as_long_as_a_reading_may_take() -> None:
    frames = FruitFrames()
    old, young = seen(1, 1000.0), seen(2, 1000.1)
    for one in (old, young, seen(3, 1000.05 + CANDIDATES_S)):
        frames.add(one)
    for one in (old, young):
        frames.choose(one.frame.frame_id)
    assert frames.get(old.frame.frame_id) is None
    assert frames.get(young.frame.frame_id) is young


def test_the_newest_fruit_are_kept_and_of_large_pictures_fewer() -> None:
    for side, kept in ((8, FRUIT), (2000, FRUIT_BYTES // (2000 * 2000 * 3)), (3000, 1)):
        frames = FruitFrames()
        image = np.zeros((side, side, 3), np.uint8)
        ids = []
        for seq in range(FRUIT + 3):
            one = seen(seq, 1000.0 + seq)
            frames.add(replace(one, frame=replace(one.frame, image=image)))
            ids.append(one.frame.frame_id)
            frames.choose(ids[-1])
        assert [each for each in ids if frames.get(each)] == ids[-kept:]


def test_the_frame_of_a_heat_map_is_kept_for_as_long_as_the_map() -> None:
    newest = Newest(["cam1"])
    first, second = frame(seq=1), frame(seq=2)
    for shown, name in ((first, "suture"), (first, "stem"), (second, "suture")):
        selection = Selection(
            "job-1", shown, segmentation(shown), SamplingClass.PERIODIC, Rung.EXACT, 1000.0, 4.0
        )
        newest.on_explanation(explanation(shown, (overlay(name),)), selection)
    for shown in (first, second):  # the map of the stem is still that of the first
        found = newest.frame_of("cam1", shown.frame_id)
        assert found is not None
        assert found.frame is shown
    newest.on_fruit(fruit(second))  # whose picture never came to be segmented
    assert newest.frame_of("cam1", "cam1-7f-000099") is None
    assert newest.frame_of("cam9", first.frame_id) is None

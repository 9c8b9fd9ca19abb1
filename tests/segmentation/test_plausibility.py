"""What the segmenter makes of the statistics of fruit that a model's card holds."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from agent import config
from agent.models.card import FruitGroup, FruitStatistics, packed
from agent.models.loaded import LoadedModel
from agent.models.plausibility import Watched
from agent.records import CaptureMode, MachineInfo, NoReadReason
from agent.segmentation.reading import LaneGeometry
from agent.segmentation.segmenter import Segmenter
from agent.training.plausibility import rows_of
from agent.training.samples import Sample
from tests.segmentation.drawn import bar, colour_model, disc, frame, painted, round_aperture

SHA256 = "c" * 64
INSIDE = round_aperture(192, 192)


def fruit(angle: float = 30.0, red: int = 90) -> np.ndarray:
    """``red`` of the skin, whose green is 90: what the colour network sees of it."""
    skin = np.array([90, 90, red], np.uint8)
    stem = disc(192, 192, 96, 96, 10)
    picture = painted(bar(192, 192, angle, 12), stem, size=(192, 192), skin=skin)
    picture[~INSIDE] = 0
    return picture


def knowing_model(limit: float = 2.0) -> LoadedModel:
    """The colour network with statistics of fruit whose red is 80 to 100."""
    model = dataclasses.replace(colour_model(), sha256=SHA256)
    nothing = np.zeros((192, 192), np.uint8)
    pictures = [fruit(6.0 * i, 80 + i) for i in range(21)]
    rows = rows_of(
        model,
        Watched(model.module, ("conv",)),
        (Sample(picture, INSIDE, nothing) for picture in pictures),
    )
    group = FruitGroup(
        name="still",
        fruit=len(rows),
        width=rows.shape[1],
        centre=packed(rows.mean(0), "<f4"),
        scale=packed(rows.std(0) + 0.05, "<f4"),
        variances=(1.0,),
        axes=packed(np.eye(1, rows.shape[1]), "<f2"),
        rest=1.0,
        limit=limit,
    )
    found = FruitStatistics(weights_sha256=SHA256, layers=("conv",), groups=(group,))
    return dataclasses.replace(model, card=model.card.model_copy(update={"plausibility": found}))


def segmenter(model: LoadedModel, least=None, **settings) -> Segmenter:
    return Segmenter(model, config.Segmentation(**settings), {}, lambda: 0.0, least)


def test_fruit_like_those_of_the_card_are_read_and_others_are_implausible():
    known, other = segmenter(knowing_model()).segment(
        [frame(fruit(), INSIDE), frame(fruit(red=140), INSIDE)]
    )
    assert known.reading.read
    assert known.reading.plausibility > 0.9
    assert (other.reading.read, other.reading.reason) == (False, NoReadReason.IMPLAUSIBLE)
    assert other.reading.plausibility < 0.1
    assert other.reading.confidence == 0.0
    assert other.reading.confidence_raw > 0.5


def test_a_free_running_lane_is_judged_by_what_such_a_camera_sees_as_well():
    model = knowing_model(limit=1e-6)
    found = model.card.plausibility
    moved = found.groups[0].model_copy(update={"limit": 2.0, "free_run": True})
    both = found.model_copy(update={"groups": (*found.groups, moved)})
    model = dataclasses.replace(model, card=model.card.model_copy(update={"plausibility": both}))
    lanes = {"belt": LaneGeometry(mode=CaptureMode.FREE_RUN)}
    judge = Segmenter(model, config.Segmentation(), lanes, lambda: 0.0)
    triggered, belt = judge.segment([frame(fruit(), INSIDE), frame(fruit(), INSIDE, "belt")])
    assert triggered.reading.reason is NoReadReason.IMPLAUSIBLE
    assert belt.reading.read


def test_masks_margins_and_raw_confidence_are_those_of_a_model_without_statistics():
    frames = [frame(fruit(angle, red), INSIDE) for angle, red in ((30.0, 90), (100.0, 140))]
    knowing = segmenter(knowing_model(), batch_max=1).segment(frames)
    plain = segmenter(colour_model(), batch_max=1).segment(frames)
    for one, other in zip(knowing, plain, strict=True):
        assert np.array_equal(one.mask, other.mask)
        assert one.margins == other.margins
        assert one.reading.confidence_raw == other.reading.confidence_raw
        assert math.isnan(other.reading.plausibility)
        assert other.reading.read


def test_a_black_picture_and_an_empty_cup_keep_their_own_reasons():
    black = np.zeros((192, 192, 3), np.uint8)
    cup = np.full((192, 192, 3), 20, np.uint8)
    reasons = [
        one.reading.reason
        for one in segmenter(knowing_model()).segment([frame(black, INSIDE), frame(cup, INSIDE)])
    ]
    assert reasons == [NoReadReason.IMAGE_QUALITY, NoReadReason.EMPTY]


def test_a_picture_that_is_none_costs_itself_and_has_no_plausibility():
    bad = frame(np.zeros((4, 4, 2), np.uint8))
    refused, known = segmenter(knowing_model()).segment([bad, frame(fruit(), INSIDE)])
    assert refused.reading.reason is NoReadReason.IMAGE_QUALITY
    assert math.isnan(refused.reading.plausibility)
    assert known.reading.read


def of_variety(variety: str | None):
    return frame(fruit(red=108), INSIDE, machine=MachineInfo(variety=variety))


def test_the_lines_own_reference_asks_for_more_of_its_variety_and_never_for_less():
    model = knowing_model()
    (seen,) = segmenter(model).segment([of_variety(None)])
    told = seen.reading.plausibility
    assert 0.5 < told < 0.999
    more = {"golden": min(told + 0.01, 1.0), "amber": 0.1}
    reads = [
        one.reading.read
        for one in segmenter(model, more).segment(
            [of_variety("golden"), of_variety("amber"), of_variety("blush"), of_variety(None)]
        )
    ]
    assert reads == [False, True, True, True]
    # The only reference there is serves a machine that announces nothing too, as charts do.
    alone = segmenter(model, {"golden": more["golden"]})
    assert not alone.segment([of_variety(None)])[0].reading.read
    strict = segmenter(model, {"amber": 0.1}, min_plausibility=min(told + 0.01, 1.0))
    assert not strict.segment([of_variety("amber")])[0].reading.read


@pytest.mark.parametrize("least", [-0.1, 1.1, math.nan])
def test_a_least_plausibility_outside_of_0_to_1_is_refused(least):
    with pytest.raises(ValueError, match="min_plausibility"):
        config.Segmentation(min_plausibility=least)

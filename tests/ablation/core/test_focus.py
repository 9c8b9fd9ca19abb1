"""What an explanation is about: components, boxes and masks, and what is no region."""

import numpy as np
import pytest
import torch

from agent import config
from agent.ablation.core import focus
from agent.ablation.core.errors import AblationError
from agent.ablation.engine import Engine, Tuning
from agent.config import Score
from tests.ablation.networks import OneByOne, loaded, picture, seeded


@pytest.fixture(scope="module")
def engine():
    torch.set_num_threads(1)
    model = loaded(seeded(OneByOne(), 14), "relu")
    return Engine(model, config.Ablation(classes=("suture", "stem")), tuning=Tuning(batch=4))


def two_parts():
    mask = np.zeros((8, 8), np.bool_)
    mask[0, 0:2] = mask[4:7, 4:7] = True
    return mask


def test_components_are_counted_from_the_largest():
    mask = two_parts()
    first, second, third = (focus.component(n).pixels(1, mask, (8, 8)) for n in (1, 2, 3))
    assert first.sum() == 9
    assert first[5, 5]
    assert second.sum() == 2
    assert second[0, 1]
    assert not third.any()


def test_diagonal_neighbours_are_one_component():
    mask = np.eye(5, dtype=np.bool_)
    assert focus.component(1).pixels(1, mask, (5, 5)).sum() == 5


def test_a_box_is_in_pixels_of_the_picture_and_brought_to_the_grid():
    found = focus.box(8, 0, 8, 16).pixels(1, np.zeros((8, 8), np.bool_), (16, 16))
    expected = np.zeros((8, 8), np.bool_)
    expected[:, 4:] = True
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("corner", [(-1, 0, 4, 4), (14, 0, 4, 4), (0, 13, 4, 4), (99, 99, 1, 1)])
def test_a_box_outside_the_picture_is_refused_with_its_size(corner):
    with pytest.raises(AblationError, match="does not lie in the picture, which is 16 x 16"):
        focus.box(*corner).pixels(1, np.zeros((8, 8), np.bool_), (16, 16))


def test_a_mask_of_another_size_is_refused_with_both_sizes():
    given = focus.given(np.ones((4, 6), np.bool_))
    with pytest.raises(AblationError, match="is 6 x 4 pixels, the picture 16 x 16"):
        given.pixels(1, np.zeros((8, 8), np.bool_), (16, 16))


def test_a_mask_that_holds_no_truth_values_is_refused():
    with pytest.raises(AblationError, match=r"must be .* bool, found .* uint8"):
        focus.given(np.ones((4, 4), np.uint8))


@pytest.mark.parametrize(
    ("words", "source"),
    [
        ("predicted", "predicted"),
        ("component", "component:1"),
        ("component:3", "component:3"),
        ("box:1,2,3,4", "box:1,2,3,4"),
        ("box: 1, 2, 3, 4", "box:1,2,3,4"),
    ],
)
def test_a_region_can_be_said_in_words(words, source):
    found = focus.parse_focus(words)
    assert isinstance(found, focus.Focus)
    assert found.source == source


def test_a_mask_in_words_is_a_file_still_to_be_read():
    assert focus.parse_focus("mask:C:/a.png") == "C:/a.png"


@pytest.mark.parametrize(
    "words",
    ["", "whole", "predicted:1", "component:", "component:x", "component:-1", "box", "box:1,2,3",
     "box:1,2,3,4,5", "box:a,b,c,d", "box:1.5,2,3,4", "mask", "mask:"],
)  # fmt: skip
def test_words_that_are_no_region_are_answered_with_the_forms(words):
    with pytest.raises(AblationError, match=r"no region .*component\[:N\], box:X,Y,WIDTH,HEIGHT"):
        focus.parse_focus(words)


@pytest.mark.parametrize("words", ["component:0", "box:1,2,0,4", "box:1,2,3,-4"])
def test_numbers_that_make_no_region_are_refused(words):
    with pytest.raises(AblationError, match=r"counted from 1|must be at least 1"):
        focus.parse_focus(words)


def test_a_box_is_explained_whatever_is_predicted_there(engine):
    chosen = np.zeros((16, 16), np.uint8)
    chosen[4:8, 2:10] = 1
    image = picture(16)
    boxed = engine.explain(image, region=focus.box(2, 4, 8, 4), classes=("suture",))
    masked = engine.explain(image, region=focus.given(chosen == 1), classes=("suture",))
    drawn = engine.explain(image, region=chosen, classes=("suture",))
    assert boxed.region_source == "box:2,4,8,4"
    assert masked.region_source == "mask"
    assert drawn.region_source == "true"
    for other in (masked, drawn):
        np.testing.assert_array_equal(boxed.classes[0].deltas, other.classes[0].deltas)


def test_a_component_that_is_not_there_is_not_explainable(engine):
    found = engine.explain(picture(16), region=focus.component(500)).classes
    assert not any(one.explainable for one in found)
    assert found[0].reason == (
        "not explainable: the prediction of suture has no connected part number 500"
    )


def test_a_box_that_the_aperture_hides_is_not_explainable(engine):
    aperture = np.zeros((16, 16), np.bool_)
    aperture[8:] = True
    (found,) = engine.explain(
        picture(16), aperture, region=focus.box(0, 0, 4, 4), classes=("suture",)
    ).classes
    assert found.reason == "not explainable: no pixel of box:0,0,4,4 lies inside the aperture"


def test_several_scores_come_from_one_pass_and_are_those_of_passes_of_their_own(engine):
    image = picture(16)
    together = engine.explain(image, scores=tuple(Score))
    assert together.score == "margin"
    assert [one.score for one in together.classes] == ["margin"] * 2
    for kind in Score:
        alone = engine.explain(image, scores=(kind,))
        for name in ("suture", "stem"):
            one, other = together.of(name, kind), alone.of(name)
            scale = np.abs(other.deltas).max()
            np.testing.assert_allclose(one.deltas, other.deltas, atol=1e-5 * scale)
            assert one.y == pytest.approx(other.y, rel=1e-6)
            assert len(one.occlusions) == len(other.occlusions)


def test_a_score_that_was_not_asked_for_is_no_key(engine):
    with pytest.raises(KeyError, match="suture by dice_drop"):
        engine.explain(picture(16)).of("suture", "dice_drop")

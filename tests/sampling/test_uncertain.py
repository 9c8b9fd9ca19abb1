from __future__ import annotations

import math

import pytest

from agent import config
from agent.records import NoReadReason
from agent.sampling.uncertain import is_uncertain, nothing_to_explain
from agent.sampling.values import SkipReason
from tests.sampling.candidates import segmentation

SETTINGS = config.Sampling(uncertain_margin=1.0, uncertain_confidence=0.6)


def test_a_sure_reading_is_not_uncertain() -> None:
    assert not is_uncertain(segmentation(confidence=0.6, margin=1.0), SETTINGS)


@pytest.mark.parametrize(
    "what",
    [
        {"confidence": 0.59},
        {"margin": 0.99},
        {"margin": math.nan},
        {"reason": NoReadReason.NO_SUTURE},
        {"reason": NoReadReason.AMBIGUOUS},
        {"reason": NoReadReason.LOW_CONFIDENCE},
    ],
)
def test_a_weak_or_missing_reading_is_uncertain(what: dict[str, object]) -> None:
    assert is_uncertain(segmentation(**what), SETTINGS)  # type: ignore[arg-type]


def test_a_model_without_a_suture_is_judged_by_its_first_foreground_class() -> None:
    classes = ("background", "fruit")
    assert is_uncertain(segmentation(classes=classes, margin=0.5), SETTINGS)
    assert not is_uncertain(segmentation(classes=classes, margin=1.5), SETTINGS)


def test_empty_cups_and_unusable_pictures_have_nothing_to_explain() -> None:
    empty = segmentation(reason=NoReadReason.EMPTY)
    black = segmentation(reason=NoReadReason.IMAGE_QUALITY)
    assert nothing_to_explain(empty) is SkipReason.EMPTY
    assert nothing_to_explain(black) is SkipReason.IMAGE_QUALITY
    assert nothing_to_explain(segmentation(reason=NoReadReason.NO_SUTURE)) is None

"""What the live path's own numbers say about a frame's worth for an explanation."""

from __future__ import annotations

import math

from agent import config
from agent.records import SUTURE, NoReadReason, SegmentedFrame
from agent.sampling.values import SkipReason

_NOTHING_TO_EXPLAIN = {
    NoReadReason.EMPTY: SkipReason.EMPTY,
    NoReadReason.IMAGE_QUALITY: SkipReason.IMAGE_QUALITY,
}


def nothing_to_explain(segmentation: SegmentedFrame) -> SkipReason | None:
    """Why this frame can have no explanation (an empty cup, an unusable picture), or None."""
    return _NOTHING_TO_EXPLAIN.get(segmentation.reading.reason)


def is_uncertain(segmentation: SegmentedFrame, settings: config.Sampling) -> bool:
    """Whether the model was unsure: no angle, a low confidence, or a low or undefined margin.

    The margin is the suture's, or the first foreground class's of a model that knows no suture.
    """
    reading = segmentation.reading
    if not reading.read or reading.confidence < settings.uncertain_confidence:
        return True
    margin = _suture_margin(segmentation)
    return math.isnan(margin) or margin < settings.uncertain_margin


def _suture_margin(segmentation: SegmentedFrame) -> float:
    classes, margins = segmentation.classes, segmentation.margins
    index = classes.index(SUTURE) if SUTURE in classes else 1
    return margins[index] if index < len(margins) else math.nan

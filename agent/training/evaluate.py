"""A model judged through the very path that reads fruit on the line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_jsonable_python

from agent import config
from agent.models.loaded import LoadedModel
from agent.records import STEM, SUTURE, Frame
from agent.segmentation.band import straight_band
from agent.segmentation.line import angle_error_deg
from agent.segmentation.segmenter import Analysis, Segmenter
from agent.training.cases import Case
from agent.training.metrics import (
    calibration_error,
    dice,
    iou,
    mean_dice,
    mean_of,
    quantile_of,
    share_of,
)
from agent.training.trainer import fit_mask

ANGLE_TOLERANCE_DEG = 5.0
"""A reading within this of the truth is right; its probability is what the confidence means."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the model made of one case. NaN where there is nothing to compare.

    ``suture_dice`` is that of the network's own mask, ``band_dice`` that of the straight band which
    the fitted line says (nothing where none could be fitted). ``line_error_deg`` is that of the
    fitted line whether it was reported or not; ``angle_error_deg`` only of a reading. Pixels are
    the picture's own.
    """

    name: str
    empty: bool
    readable: bool
    contrast: float
    suture_dice: float
    band_dice: float
    stem_dice: float
    mean_dice: float
    mean_iou: float
    read: bool
    reason: str
    confidence: float
    angle_error_deg: float
    line_error_deg: float
    stem_error_px: float
    features: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All outcomes, and the numbers over them."""

    outcomes: tuple[Outcome, ...]

    def summary(self) -> dict[str, float]:
        """Every number of the table, by name."""
        fruit = [o for o in self.outcomes if not o.empty]
        cups = [o for o in self.outcomes if o.empty]
        readable = [o for o in fruit if o.readable]
        lines = [o for o in fruit if not math.isnan(o.line_error_deg)]
        read = [o for o in fruit if o.read]
        right = [o.line_error_deg <= ANGLE_TOLERANCE_DEG for o in lines]
        return {
            "fruit": float(len(fruit)),
            "readable_share": share_of([o.readable for o in fruit]),
            "suture_dice": mean_of(o.suture_dice for o in fruit),
            "suture_dice_readable": mean_of(o.suture_dice for o in readable),
            "band_dice": mean_of(o.band_dice for o in fruit),
            "band_dice_readable": mean_of(o.band_dice for o in readable),
            "stem_dice": mean_of(o.stem_dice for o in fruit),
            "mean_dice": mean_of(o.mean_dice for o in self.outcomes),
            "mean_iou": mean_of(o.mean_iou for o in fruit),
            "angle_error_median_deg": quantile_of((o.angle_error_deg for o in fruit), 0.5),
            "angle_error_p95_deg": quantile_of((o.angle_error_deg for o in fruit), 0.95),
            "angle_right_of_read": share_of(
                [o.angle_error_deg <= ANGLE_TOLERANCE_DEG for o in read]
            ),
            "line_error_p95_readable_deg": quantile_of((o.line_error_deg for o in readable), 0.95),
            "no_read": share_of([not o.read for o in fruit]),
            "no_read_readable": share_of([not o.read for o in readable]),
            "empty_cups": float(len(cups)),
            "read_on_empty": share_of([o.read for o in cups]),
            "stem_error_median_px": quantile_of((o.stem_error_px for o in fruit), 0.5),
            "stem_error_p95_px": quantile_of((o.stem_error_px for o in fruit), 0.95),
            "confidence_error": calibration_error([o.confidence for o in lines], right),
        }

    def as_json(self) -> dict[str, object]:
        """Summary and outcomes with NaN as null."""
        found = {"summary": self.summary(), "cases": self.outcomes}
        return dict(to_jsonable_python(found, inf_nan_mode="null"))


def badness(o: Outcome) -> tuple[float, ...]:
    """For sorting: empty cups that were read, then readable fruit before others, then no read, the
    largest angle error, the lowest Dice."""
    error = 90.0 if math.isnan(o.angle_error_deg) else o.angle_error_deg
    return (
        float(o.empty and o.read),
        float(o.readable),
        error,
        -float(np.nan_to_num(o.suture_dice)),
    )


def evaluate(
    model: LoadedModel,
    cases: Iterable[Case],
    settings: config.Segmentation | None = None,
    on_case: Callable[[Case, Analysis, Outcome], None] | None = None,
) -> Evaluation:
    """Judge ``model``; ``on_case`` sees each case as it is done (progress, pictures)."""
    settings = settings or config.Segmentation()
    segmenter = Segmenter(model, settings, {}, clock=lambda: 0.0)
    outcomes = []
    coming = iter(cases)
    while batch := list(islice(coming, settings.batch_max)):
        frames = [_frame(case, number) for number, case in enumerate(batch)]
        for case, analysis in zip(batch, segmenter.analyse(frames), strict=True):
            outcome = judge(case, analysis, model)
            outcomes.append(outcome)
            if on_case is not None:
                on_case(case, analysis, outcome)
    return Evaluation(tuple(outcomes))


def judge(case: Case, analysis: Analysis, model: LoadedModel) -> Outcome:
    """Compare one analysis with its case. The masks are compared on the network's grid."""
    seen, measured = analysis.segmentation, analysis.measurement
    wanted = fit_mask(case.sample, seen.mask.shape[0])
    classes = len(model.classes)
    overlaps = {
        name: (seen.mask == index, wanted == index) for index, name in enumerate(model.classes)
    }
    line = None if measured is None else measured.line
    known = not math.isnan(case.angle_deg)
    error = angle_error_deg(line.angle_deg, case.angle_deg) if line and known else math.nan
    reading = seen.reading
    features = () if measured is None or measured.features is None else measured.features
    stem = overlaps.get(STEM)
    return Outcome(
        name=case.name,
        empty=case.empty,
        readable=case.readable,
        contrast=case.contrast,
        suture_dice=dice(*overlaps[SUTURE]),
        band_dice=dice(_band(case, analysis, model), overlaps[SUTURE][1]),
        stem_dice=math.nan if stem is None else dice(*stem),
        mean_dice=mean_dice(seen.mask, wanted, classes),
        mean_iou=mean_of(iou(p, w) for p, w in overlaps.values()),
        read=reading.read,
        reason=reading.reason.value,
        confidence=reading.confidence_raw,
        angle_error_deg=error if reading.read else math.nan,
        line_error_deg=error,
        stem_error_px=math.hypot(
            reading.stem_x_px - case.stem_x_px, reading.stem_y_px - case.stem_y_px
        ),
        features=features,
    )


def _band(case: Case, analysis: Analysis, model: LoadedModel) -> NDArray[np.bool_]:
    """The straight band of the fitted line on the network's grid; nothing where there is none."""
    mask, measured = analysis.segmentation.mask, analysis.measurement
    suture = mask == model.classes.index(SUTURE)
    if measured is None or measured.line is None:
        return np.zeros_like(suture)
    rows, columns = mask.shape
    height, width = case.sample.mask.shape
    inside = cv2.resize(case.sample.aperture.view(np.uint8), (columns, rows)) > 0
    free = inside & (mask != model.classes.index(STEM) if STEM in model.classes else True)
    return straight_band(measured.line, suture, free, (width / columns, height / rows))


def _frame(case: Case, number: int) -> Frame:
    sample = case.sample
    return Frame("evaluation", case.name, number, 0, 0.0, sample.image, sample.aperture)

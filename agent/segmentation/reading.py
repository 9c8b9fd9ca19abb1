"""From what the network saw to the reading of one picture: angle or no read, confidence, stem."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from agent import config
from agent.models.card import ConfidenceCalibration
from agent.records import ANGLE_NO_READ, CaptureMode, NoReadReason, Reading
from agent.segmentation.light import Light
from agent.segmentation.line import Anchor, Line, fit_line, fold

MIN_ELONGATION = 2.0
"""Below this the suture pixels are a blob: any direction would fit them."""
MIN_INLIER_SHARE = 0.6
"""Below this too many suture pixels lie off the line: two sutures, or a bent one."""
MIN_COVERAGE = 0.5
"""A cup whose aperture is dark on more than the rest is empty."""
MIN_STEM_SHARE = 0.001
"""Of the aperture; a smaller patch is no stem cavity (a real one covers about 1.2 %)."""
MARGIN_RANGE = (-5.0, 15.0)
"""Margins are clipped to this in the features: beyond it they say nothing more."""


@dataclass(frozen=True, slots=True)
class LaneGeometry:
    """How a lane's pictures relate to the machine.

    ``cutting_line_deg``: direction of the cut in the picture, counter-clockwise from its x axis.
    """

    cutting_line_deg: float = 0.0
    mm_per_px: float | None = None
    mode: CaptureMode = CaptureMode.TRIGGERED


def lanes_of(camera: config.Camera) -> dict[str, LaneGeometry]:
    """The lanes of a camera by name."""
    return {
        lane.name: LaneGeometry(lane.cutting_line_deg, lane.mm_per_px, CaptureMode(camera.mode))
        for lane in camera.effective_lanes()
    }


@dataclass(frozen=True, slots=True)
class View:
    """One picture on the network's grid.

    ``mask``: (h, w) uint8 class indices; ``probability``: (h, w) float32 of the suture class;
    ``margin``: (h, w) float32 of the predicted class; ``inside``: (h, w) bool or None for all.
    ``cells``: how many lie inside. ``scale_x``, ``scale_y``: pixels of the lane's picture per cell.
    """

    mask: NDArray[np.uint8]
    probability: NDArray[np.float32]
    margin: NDArray[np.float32]
    inside: NDArray[np.bool_] | None
    cells: int
    scale_x: float
    scale_y: float


@dataclass(frozen=True, slots=True)
class Stem:
    """The largest stem patch: its centre in pixels of the lane's picture, and its area in cells."""

    x_px: float
    y_px: float
    cells: int


class ReadingFeatures(NamedTuple):
    """What the confidence of an angle is computed from: all finite."""

    log_area: float  # natural log of the suture's share of the aperture
    log_elongation: float  # natural log of the elongation of what the line was fitted to
    inlier_share: float  # share of the suture's weight near the line
    margin_mean: float  # over the suture's pixels, clipped to MARGIN_RANGE
    margin_low: float  # their 10 % quantile, likewise
    stem_found: float  # 1 or 0
    stem_distance: float  # of the stem from the line in aperture radii, at most 1; 0 if no stem


FEATURES = ReadingFeatures._fields

CAUTIOUS = ConfidenceCalibration(
    features=FEATURES,
    coefficients=(0.5, 1.5, 3.0, 0.2, 0.1, 0.3, -6.0),
    intercept=-5.0,
)
"""Used where the model card has no calibration: set by hand, so it orders pictures sensibly (a
long, straight, sure suture through its stem comes near 0.9, a short or scattered one below 0.5),
but its values are no measured probabilities."""
CAUTIOUS_CEILING = 0.9
"""Without a measurement no angle is called surer than this."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What is there to be read: ``line`` and ``features`` are None where no line can be fitted."""

    suture_share: float
    line: Line | None
    stem: Stem | None
    features: ReadingFeatures | None


def measure(view: View, suture: int, stem: int | None) -> Measurement:
    """Find stem and suture line; ``suture``, ``stem`` are class indices (None: no such class)."""
    cells = view.cells
    found_stem = None if stem is None else find_stem(view, stem, cells)
    chosen = view.mask == suture
    if view.inside is not None:
        chosen &= view.inside
    places = np.flatnonzero(chosen)
    rows, columns = np.divmod(places.astype(np.float64), view.mask.shape[1])
    share = len(places) / cells if cells else 0.0
    pixel = max(view.scale_x, view.scale_y)
    line = fit_line(
        (columns + 0.5) * view.scale_x - 0.5,
        (rows + 0.5) * view.scale_y - 0.5,
        view.probability.ravel()[places].astype(np.float64),
        pixel,
        # The stem cavity lies on the suture: it counts like as many suture pixels as it covers.
        None if found_stem is None else Anchor(found_stem.x_px, found_stem.y_px, found_stem.cells),
    )
    if line is None:
        return Measurement(share, None, found_stem, None)
    margins = np.clip(view.margin.ravel()[places], *MARGIN_RANGE)
    radius_px = math.sqrt(cells * view.scale_x * view.scale_y / math.pi)
    away = 0.0 if found_stem is None else line.distance(found_stem.x_px, found_stem.y_px)
    features = ReadingFeatures(
        log_area=math.log(share),
        log_elongation=math.log(line.elongation),
        inlier_share=line.inlier_share,
        margin_mean=float(margins.mean()),
        margin_low=float(np.partition(margins, len(margins) // 10)[len(margins) // 10]),
        stem_found=0.0 if found_stem is None else 1.0,
        stem_distance=min(away / radius_px, 1.0),
    )
    return Measurement(share, line, found_stem, features)


def find_stem(view: View, stem: int, cells: int) -> Stem | None:
    """The largest connected patch of the stem class inside the aperture, if large enough."""
    chosen = view.mask == stem
    if view.inside is not None:
        chosen &= view.inside
    if np.count_nonzero(chosen) < max(MIN_STEM_SHARE * cells, 1.0):
        return None
    left, top, width, height = cv2.boundingRect(chosen.view(np.uint8))
    box = np.ascontiguousarray(chosen[top : top + height, left : left + width]).view(np.uint8)
    _, _, stats, centres = cv2.connectedComponentsWithStats(box, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    largest = int(np.argmax(areas))
    area = int(areas[largest])
    if area < MIN_STEM_SHARE * cells:
        return None
    column, row = centres[1 + largest]
    x_px = (float(column) + left + 0.5) * view.scale_x - 0.5
    y_px = (float(row) + top + 0.5) * view.scale_y - 0.5
    return Stem(x_px, y_px, area)


def confidence(features: ReadingFeatures, calibration: ConfidenceCalibration | None) -> float:
    """Probability that the angle is within 5 degrees: 1 / (1 + exp(-(b + w . features)))."""
    used = calibration or CAUTIOUS
    score = used.intercept + float(np.dot(used.coefficients, features))
    probability = 1.0 / (1.0 + math.exp(-min(max(score, -60.0), 60.0)))
    return probability if calibration is not None else min(probability, CAUTIOUS_CEILING)


def read(
    measurement: Measurement,
    light: Light,
    lane: LaneGeometry,
    limits: config.Segmentation,
    calibration: ConfidenceCalibration | None,
    plausibility: float = math.nan,
) -> Reading:
    """The reading, or the first reason in this order why there is none.

    IMAGE_QUALITY, EMPTY, IMPLAUSIBLE, NO_SUTURE, AMBIGUOUS, LOW_CONFIDENCE. A bright cup in which
    neither suture nor stem is seen is EMPTY as well when it has not the colour of a fruit; a dark
    one that is filled with that colour is a fruit without light, IMAGE_QUALITY. A plausibility that
    is not known (NaN) refuses nothing. Nothing is remembered from picture to picture.
    """
    found = _found(measurement, light, lane, limits, calibration, plausibility)
    return dataclasses.replace(found, plausibility=plausibility)


def _found(
    measurement: Measurement,
    light: Light,
    lane: LaneGeometry,
    limits: config.Segmentation,
    calibration: ConfidenceCalibration | None,
    plausibility: float,
) -> Reading:
    if not light.usable:
        return no_read(NoReadReason.IMAGE_QUALITY)
    coloured = limits.dark_chromaticity > 0 and light.fills_with_colour(limits.dark_chromaticity)
    if light.coverage < MIN_COVERAGE:
        return no_read(NoReadReason.IMAGE_QUALITY if coloured else NoReadReason.EMPTY)
    line, features = measurement.line, measurement.features
    sutureless = line is None or measurement.suture_share < limits.min_suture_area
    # A picture with no colour at all comes from a grey camera, where chroma says nothing.
    bare = measurement.stem is None and 0.0 < light.chroma < limits.empty_chroma and not coloured
    if sutureless and bare:
        return no_read(NoReadReason.EMPTY)
    sure = 0.0 if features is None else confidence(features, calibration)
    if plausibility < limits.min_plausibility:
        return no_read(NoReadReason.IMPLAUSIBLE, sure, measurement.stem, lane)
    if sutureless or line is None:
        return no_read(NoReadReason.NO_SUTURE, 0.0, measurement.stem, lane)
    if line.elongation < MIN_ELONGATION or line.inlier_share < MIN_INLIER_SHARE:
        return no_read(NoReadReason.AMBIGUOUS, sure, measurement.stem, lane)
    if sure < limits.min_confidence:
        return no_read(NoReadReason.LOW_CONFIDENCE, sure, measurement.stem, lane)
    angle = fold(line.angle_deg - lane.cutting_line_deg)
    return Reading(True, angle, NoReadReason.NONE, sure, *_stem_place(measurement.stem, lane))


def no_read(
    reason: NoReadReason,
    sure: float = 0.0,
    stem: Stem | None = None,
    lane: LaneGeometry | None = None,
) -> Reading:
    """No angle, for ``reason``; the stem is still given where one was found."""
    place = _stem_place(stem, lane or LaneGeometry())
    return Reading(False, ANGLE_NO_READ, reason, sure, *place)


def _stem_place(stem: Stem | None, lane: LaneGeometry) -> tuple[float, float, float, float]:
    """Pixels and millimetres from the centre of the picture's first pixel; NaN where unknown."""
    if stem is None:
        return math.nan, math.nan, math.nan, math.nan
    per_px = lane.mm_per_px if lane.mm_per_px is not None else math.nan
    return stem.x_px, stem.y_px, stem.x_px * per_px, stem.y_px * per_px

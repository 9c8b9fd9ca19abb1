"""A straight line through weighted points, robustly: the suture line.

A vote over coarse directions and offsets finds where most of the weight lies on one line, so that
a distractor elsewhere cannot pull the start; iteratively reweighted total least squares with
Tukey's biweight (Beaton and Tukey 1974) then settles it. Nothing is random. The scale follows the
points themselves, so no width of the suture has to be known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

VOTE_STEP_DEG = 5.0
VOTE_POINTS = 400
FIT_POINTS = 2500
ITERATIONS = 10
SETTLED_DEG = 0.02
CUT_OFF = 4.0
"""Points farther from the line than this many median distances have no say. Across an evenly filled
bar of half width a the median distance is a/2, so the cut-off lies at twice the half width."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place that the line is expected to pass, worth ``weight`` points lying there."""

    x: float
    y: float
    weight: float


@dataclass(frozen=True, slots=True)
class Line:
    """A fitted line and how well it stands, all in the units of the points.

    ``angle_deg``: direction in [0, 180), counter-clockwise where y grows downwards. ``x``, ``y``:
    a point on the line. ``inlier_share``: share of the points' weight within the cut-off.
    ``elongation``: ratio of the standard deviations along and across, anchor included.
    """

    angle_deg: float
    x: float
    y: float
    inlier_share: float
    elongation: float

    def distance(self, x: float, y: float) -> float:
        """Distance of a place from the line."""
        radians = math.radians(self.angle_deg)
        return abs((x - self.x) * math.sin(radians) + (y - self.y) * math.cos(radians))


def fit_line(
    x: Floats, y: Floats, weights: Floats, pixel: float = 1.0, anchor: Anchor | None = None
) -> Line | None:
    """The line through points ``x``, ``y`` (each (n,)); None for fewer than two.

    ``pixel`` is the size of one point, below which no distance means anything. An anchor that lies
    off the line farther than the cut-off loses its say like any other point.
    """
    if len(x) < 2:
        return None
    total = float(weights.sum())
    if len(x) > FIT_POINTS:
        # A fractional stride: a whole one would fall in step with the rows of the grid.
        kept = (np.arange(FIT_POINTS) * (len(x) / FIT_POINTS)).astype(np.int64)
        x, y, weights = x[kept], y[kept], weights[kept]
    points = len(x)
    if anchor is not None:
        # The points were thinned, so the anchor is too, or it would weigh more beside fewer.
        share = anchor.weight * float(weights.sum()) / total
        x, y = np.append(x, anchor.x), np.append(y, anchor.y)
        weights = np.append(weights, share)
    angle, cx, cy, reach = _vote(x, y, weights, pixel)
    distance = np.abs(_across(x, y, angle, cx, cy))
    cut_off, elongation = reach, 1.0
    for _ in range(ITERATIONS):
        near = distance[:points][distance[:points] <= cut_off]
        if len(near) >= 2:
            middle = len(near) // 2
            cut_off = max(CUT_OFF * float(np.partition(near, middle)[middle]), pixel)
        robust = weights * np.square(np.maximum(1.0 - np.square(distance / cut_off), 0.0))
        mass = float(robust.sum())
        if mass <= 0.0:
            return None
        before = angle
        angle, cx, cy, elongation = _least_squares(x, y, robust, mass, pixel)
        distance = np.abs(_across(x, y, angle, cx, cy))
        turned = abs(math.degrees(angle - before)) % 180.0
        if min(turned, 180.0 - turned) < SETTLED_DEG:
            break
    inside = distance[:points] <= cut_off
    inlier_share = float(weights[:points][inside].sum() / weights[:points].sum())
    return Line(fold(math.degrees(angle)), cx, cy, inlier_share, elongation)


def fold(angle_deg: float) -> float:
    """An axis's angle in [0, 180): -0.0 and what rounds up to 180 become 0."""
    folded = angle_deg % 180.0
    return 0.0 if folded >= 180.0 else folded


def angle_error_deg(a_deg: float, b_deg: float) -> float:
    """min(d, 180 - d): how far two axes lie apart, 0..90."""
    apart = abs(a_deg - b_deg) % 180.0
    return min(apart, 180.0 - apart)


def _across(x: Floats, y: Floats, angle: float, cx: float, cy: float) -> Floats:
    """Signed distance from the line; y grows downwards, so its direction is (cos, -sin)."""
    return (x - cx) * math.sin(angle) + (y - cy) * math.cos(angle)


def _vote(x: Floats, y: Floats, weights: Floats, pixel: float) -> tuple[float, float, float, float]:
    """Angle (radians), a point, and the reach of the strip that holds the most weight.

    Strips are a tenth of the points' extent wide and overlap by half.
    """
    step = -(-len(x) // VOTE_POINTS)
    # The anchor is the last point: counting from the end keeps it among those that vote.
    x, y, weights = x[::-1][::step], y[::-1][::step], weights[::-1][::step].copy()
    weights[1:] *= step
    cx, cy = float(np.median(x)), float(np.median(y))
    extent = max(float(np.ptp(x)), float(np.ptp(y)), 4.0 * pixel)
    width = max(extent / 20.0, pixel)
    angles = np.deg2rad(np.arange(0.0, 180.0, VOTE_STEP_DEG))
    rho = np.outer(np.sin(angles), x - cx) + np.outer(np.cos(angles), y - cy)
    bins = np.floor(rho / width).astype(np.int64)
    lowest = int(bins.min())
    count = int(bins.max()) - lowest + 2
    rows = np.arange(len(angles))[:, None] * count
    flat = (bins - lowest + rows).ravel()
    votes = np.bincount(flat, np.tile(weights, len(angles)), minlength=len(angles) * count)
    pairs = votes[:-1] + votes[1:]
    best = int(np.argmax(pairs))
    angle = float(angles[best // count])
    offset = (best % count + lowest + 1) * width
    return angle, cx + offset * math.sin(angle), cy + offset * math.cos(angle), 2.0 * width


def _least_squares(
    x: Floats, y: Floats, weights: Floats, mass: float, pixel: float
) -> tuple[float, float, float, float]:
    """Total least squares: angle, centroid and elongation from the second moments."""
    cx, cy = float(weights @ x) / mass, float(weights @ y) / mass
    dx, dy = x - cx, y - cy
    wx = weights * dx
    xx, xy, yy = float(wx @ dx) / mass, float(wx @ dy) / mass, float((weights * dy) @ dy) / mass
    angle = 0.5 * math.atan2(-2.0 * xy, xx - yy)
    spread = math.hypot(xx - yy, 2.0 * xy)
    floor = pixel * pixel / 12.0  # a single point is a pixel wide
    along, across = (xx + yy + spread) / 2.0 + floor, max((xx + yy - spread) / 2.0, 0.0) + floor
    return angle, cx, cy, math.sqrt(along / across)

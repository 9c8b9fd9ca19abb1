"""Confidence: the probability that an angle is right, fitted by logistic regression."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from agent.models.card import ConfidenceCalibration
from agent.segmentation.reading import FEATURES
from agent.training.errors import TrainingError
from agent.training.evaluate import ANGLE_TOLERANCE_DEG, Outcome

MIN_CASES = 100
RIDGE = 1.0
ITERATIONS = 50


def fit_confidence(outcomes: Sequence[Outcome]) -> ConfidenceCalibration:
    """Fit P(error <= 5 degrees | features) on every case where a line was fitted, empty cups
    included: a line found on an empty cup is wrong whatever its angle.

    Newton's method on standardised features with a small ridge, so that features that separate the
    cases perfectly do not run away. Raises ``TrainingError`` for too few cases or one-sided ones.
    """
    used = [o for o in outcomes if o.features]
    if len(used) < MIN_CASES:
        raise TrainingError(f"{len(used)} cases with a line are too few for a calibration")
    x = np.array([o.features for o in used])
    y = np.array([o.line_error_deg <= ANGLE_TOLERANCE_DEG for o in used], np.float64)  # NaN: wrong
    if y.min() == y.max():
        raise TrainingError("all lines are right or all are wrong: nothing to calibrate on")
    centre, spread = x.mean(0), x.std(0)
    spread[spread < 1e-9] = 1.0
    design = np.concatenate([(x - centre) / spread, np.ones((len(x), 1))], 1)
    penalty = np.full(design.shape[1], RIDGE)
    penalty[-1] = 0.0
    w = np.zeros(design.shape[1])
    for _ in range(ITERATIONS):
        p = 1 / (1 + np.exp(-np.clip(design @ w, -40, 40)))
        gradient = design.T @ (y - p) - penalty * w
        hessian = (design * (p * (1 - p))[:, None]).T @ design + np.diag(penalty + 1e-9)
        step = np.linalg.solve(hessian, gradient)
        w += step
        if float(np.abs(step).max()) < 1e-8:
            break
    coefficients = w[:-1] / spread
    intercept = float(w[-1] - coefficients @ centre)
    if not math.isfinite(intercept) or not np.isfinite(coefficients).all():
        raise TrainingError("the calibration did not settle")
    return ConfidenceCalibration(
        features=FEATURES,
        coefficients=tuple(round(float(c), 6) for c in coefficients),
        intercept=round(intercept, 6),
    )

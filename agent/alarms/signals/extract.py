"""The values of the signals, read from what the stages say. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent.records import (
    STEM,
    SUTURE,
    ClassExplanation,
    Explanation,
    FruitReading,
    SegmentedFrame,
)

LEAST_CELLS = 12
"""Pixels without which a class has no shape."""
LEAST_EFFECT = 1e-12


def of_fruit(reading: FruitReading) -> dict[str, float]:
    """Every signal of one fruit, by name, on its own scale; NaN where it has none.

    A fruit in which the network sees no suture has no margin, shape or confidence of it: that is
    what ``no_read`` is for.
    """
    seen = reading.segmentation
    margins = dict(zip(seen.classes, seen.margins, strict=True))
    areas = dict(zip(seen.classes, seen.areas, strict=True))
    lit = seen.brightness > 0.0
    return {
        "no_read": 0.0 if seen.reading.read else 1.0,
        "confidence": seen.reading.confidence if seen.reading.read else math.nan,
        "plausibility": seen.reading.plausibility,
        "suture_margin": margins.get(SUTURE, math.nan),
        "stem_margin": margins.get(STEM, math.nan),
        "suture_area": areas.get(SUTURE) or math.nan,
        "stem_area": areas.get(STEM) or math.nan,
        "elongation": elongation(seen),
        "entropy": seen.entropy,
        "brightness": seen.brightness,
        "focus": seen.focus if lit else math.nan,
        "warmth": seen.warmth if lit else math.nan,
        "chromaticity": chromaticity(seen),
        "aperture": seen.coverage,
    }


def chromaticity(seen: SegmentedFrame) -> float:
    """Red minus blue over the grey level: what a neutral change of the light leaves alone, because
    it scales both. NaN in the dark."""
    return seen.warmth / seen.brightness if seen.brightness > 0.0 else math.nan


def elongation(seen: SegmentedFrame) -> float:
    """Length over width of the suture's pixels: the root of the ratio of their two variances.

    NaN without a suture. A pixel has a width of its own: 1/12 is added to both variances.
    """
    if SUTURE not in seen.classes:
        return math.nan
    rows, columns = np.nonzero(seen.mask == seen.classes.index(SUTURE))
    if len(rows) < LEAST_CELLS:
        return math.nan
    covariance = np.cov(np.stack((columns, rows)).astype(np.float64), bias=True)
    small, large = np.linalg.eigvalsh(covariance)
    return math.sqrt((max(0.0, large) + 1 / 12) / (max(0.0, small) + 1 / 12))


def concentration(angles_deg: Sequence[float]) -> float:
    """How alike axial angles are: ``n R^2`` of the doubled angles, about 1 where all are as likely.

    R is the length of the mean of the unit vectors at twice each angle, so that 1 and 179 degrees
    are near; for n independent angles without a preference ``n R^2`` is exponential with mean 1.
    NaN for none.
    """
    if not angles_deg:
        return math.nan
    doubled = np.radians(2.0 * np.asarray(angles_deg, np.float64))
    return float(abs(np.exp(1j * doubled).mean()) ** 2 * len(angles_deg))


def of_explanation(
    explanation: Explanation, profile: NDArray[np.float64] | None
) -> dict[str, float]:
    """Every signal of one explanation's suture, by name; NaN where it has none.

    ``profile`` (K,) is the reference's mean channel effect at the same layer; without it there is
    no likeness to tell. An explanation without the suture has no signal at all.
    """
    found = next((each for each in explanation.classes if each.class_name == SUTURE), None)
    if found is None:
        return {}
    return of_suture(found, profile)


def of_suture(found: ClassExplanation, profile: NDArray[np.float64] | None) -> dict[str, float]:
    """As ``of_explanation``, from the suture's own record."""
    nan = math.nan
    use = found.explainable
    deltas = found.deltas if use else np.zeros(0)
    mass = found.relevance_mass if use else {}
    return {
        "reliance_input": found.input_context_reliance if use else nan,
        "reliance_layer": found.context_reliance if use else nan,
        "background_input": found.input_sensitivity_background if use else nan,
        "background_layer": found.sensitivity_background if use else nan,
        "foreground_input": found.input_sensitivity_foreground if use else nan,
        "foreground_layer": found.sensitivity_foreground if use else nan,
        "profile_cosine": cosine(deltas, profile),
        "profile_ndcg": ndcg(deltas, profile),
        "mass_suture": mass.get(SUTURE, nan),
        "mass_stem": mass.get(STEM, nan),
        "mass_elsewhere": mass.get("elsewhere", nan),
        "total_effect": float(np.abs(deltas).sum()) if deltas.size else nan,
        "all_ones_share": found.all_ones_share if use else nan,
        "agreement": found.agreement if use else nan,
        "score": found.y if use else nan,
    }


def cosine(deltas: NDArray[np.float64], profile: NDArray[np.float64] | None) -> float:
    """Of the angle between (K,) effects and the reference's; NaN for another K, or no effect."""
    if profile is None or deltas.shape != profile.shape or deltas.size == 0:
        return math.nan
    scale = float(np.linalg.norm(deltas) * np.linalg.norm(profile))
    return float(deltas @ profile) / scale if scale > LEAST_EFFECT else math.nan


def ndcg(deltas: NDArray[np.float64], profile: NDArray[np.float64] | None) -> float:
    """Normalised discounted cumulative gain of the order by |effect|: channels ranked by this
    explanation, gained by the reference's |effect|, over the gain of the reference's own order.

    Gain of rank r (from 1) counts 1 / log2(r + 1). 1: the same order; NaN for another K.
    """
    if profile is None or deltas.shape != profile.shape or deltas.size == 0:
        return math.nan
    gains = np.abs(profile)
    discount = 1.0 / np.log2(np.arange(2, gains.size + 2))
    best = float(np.sort(gains)[::-1] @ discount)
    if best <= LEAST_EFFECT or float(np.abs(deltas).max()) <= LEAST_EFFECT:
        return math.nan
    order = np.argsort(-np.abs(deltas), kind="stable")
    return float(gains[order] @ discount) / best

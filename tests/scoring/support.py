"""Recordings out of thin air: signals of fruit and explanations, drawn instead of rendered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.alarms.charts.reference import Reference
from agent.alarms.signals.signals import BY_NAME, natural, transformed
from agent.records import NoReadReason, SamplingClass
from agent.scoring.protocol import Protocol, load_protocol
from agent.scoring.recording import (
    CLASSES,
    EXPLAINED,
    EXPLANATION_SIGNALS,
    FRUIT_SIGNALS,
    REASONS,
    Recording,
)
from tests.alarms.references import LAYER, MODEL_SHA256, reference, signal

USUAL = {
    "no_read": 0.0, "confidence": 0.97, "suture_margin": 5.0, "stem_margin": 4.0,
    "suture_area": 0.08, "stem_area": 0.02, "elongation": 8.0, "entropy": 0.05,
    "brightness": 120.0, "focus": 6.0, "warmth": 60.0, "chromaticity": 0.5, "aperture": 0.98,
    "plausibility": 0.9,
    "reliance_input": 0.1, "reliance_layer": 0.1, "background_input": 0.05,
    "background_layer": 0.05, "foreground_input": 0.6, "foreground_layer": 0.5,
    "mass_suture": 0.7, "mass_stem": 0.1, "mass_elsewhere": 0.2, "total_effect": 8.0,
    "all_ones_share": 0.2, "agreement": 0.6, "score": 4.0,
}  # fmt: skip
SPREAD = 0.2
"""Of single values on the charts' scale; of a window mean it is this over the root of the count."""
CHARTED = ("suture_margin", "entropy", "brightness", "foreground_layer", "mass_suture")
PROFILE = np.array([3.0, 2.0, 1.0, 0.0])
EXPLAINED_A_WINDOW = 10
RATE_PER_MIN = 60.0
"""As few fruit as windows can be made of, for tests that are quick."""


def small(**changes: Any) -> Protocol:
    """The protocol that ships, made small."""
    values = load_protocol().model_dump()
    little = {
        "rate_per_min": RATE_PER_MIN, "lots": 6, "lot_min": 15, "baseline_lots": 3,
        "fault_lots": 1, "fault_min": 15, "runs": 3, "onset_min": 2, "patience_min": 8, "days": 4,
        "populations": 2, "shifts": 1, "hours_a_day": 0.5, "strengths": [1],
    }  # fmt: skip
    return Protocol.model_validate({**values, **little, **changes})


def usual_reference(**changes: Any) -> Reference:
    """What is usual of the drawn signals, with limits that a test can reach in minutes."""
    count = round(RATE_PER_MIN)
    signals = [
        signal(
            name,
            USUAL[name],
            SPREAD / np.sqrt(count if name in FRUIT_SIGNALS else EXPLAINED_A_WINDOW),
            count if name in FRUIT_SIGNALS else EXPLAINED_A_WINDOW,
        )
        for name in CHARTED
    ]
    return reference(signals, **{"profile": tuple(PROFILE), **changes})


def about(**changes: Any) -> dict[str, Any]:
    return {
        "model_sha256": MODEL_SHA256,
        "layer": LAYER,
        "score": "margin",
        "variety": "golden",
        "explanation_s": 0.5,
    } | changes


def recording(
    seed: int,
    minutes: float = 15.0,
    shift: Mapping[str, float] | None = None,
    made: Mapping[str, Any] | None = None,
) -> Recording:
    """An ordinary lot. ``shift``: by how many ``SPREAD`` single values of a signal are moved on the
    charts' scale; ``softmax`` moves the network's outputs."""
    rng = np.random.default_rng([99, seed])
    moved = shift or {}
    n = round(minutes * RATE_PER_MIN)
    mono = np.arange(n) * 60.0 / RATE_PER_MIN
    every = max(1, round(RATE_PER_MIN / EXPLAINED_A_WINDOW))
    fruit = np.arange(0, n, every)
    softmax = 0.9 + 0.01 * (rng.standard_normal((n, 5)) + moved.get("softmax", 0.0))
    return Recording(
        about={**about(), "seconds": minutes * 60.0, **(made or {})},
        mono=mono,
        reason=np.full(n, REASONS.index(NoReadReason.NONE), np.uint8),
        angle_deg=rng.uniform(0, 180, n).astype(np.float32),
        values=_drawn(rng, FRUIT_SIGNALS, n, moved),
        softmax=softmax.astype(np.float32),
        fruit=fruit,
        done=mono[fruit] + 0.5,
        sampled=np.full(len(fruit), CLASSES.index(SamplingClass.PERIODIC), np.uint8),
        status=np.full(len(fruit), EXPLAINED, np.uint8),
        explained=_drawn(rng, EXPLANATION_SIGNALS, len(fruit), moved),
        deltas=np.tile(PROFILE, (len(fruit), 1)).astype(np.float32),
    )


def _drawn(
    rng: np.random.Generator, names: tuple[str, ...], count: int, moved: Mapping[str, float]
) -> NDArray[np.float32]:
    columns = []
    for name in names:
        middle = transformed(BY_NAME[name], USUAL[name])
        spread = 0.0 if name == "no_read" else SPREAD
        drawn = middle + spread * (rng.standard_normal(count) + moved.get(name, 0.0))
        columns.append([natural(BY_NAME[name], value) for value in drawn])
    return np.array(columns, np.float32).T

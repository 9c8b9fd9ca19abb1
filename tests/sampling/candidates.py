"""Frames and segmentations that are just enough for the scheduler."""

from __future__ import annotations

import math

import numpy as np

from agent.records import (
    CLASSES,
    Frame,
    MachineInfo,
    NoReadReason,
    Reading,
    SegmentedFrame,
)
from agent.sampling.values import Candidate

_IMAGE = np.zeros((4, 4, 3), np.uint8)
_MASK = np.zeros((4, 4), np.uint8)


def segmentation(
    camera: str = "cam1",
    frame_id: str = "f",
    captured_mono: float = 0.0,
    *,
    confidence: float = 0.9,
    margin: float = 5.0,
    reason: NoReadReason = NoReadReason.NONE,
    classes: tuple[str, ...] = CLASSES,
) -> SegmentedFrame:
    read = reason is NoReadReason.NONE
    reading = Reading(
        read, 30.0 if read else -1.0, reason, confidence, math.nan, math.nan, math.nan, math.nan
    )
    margins = (5.0, margin, *(5.0 for _ in classes[2:]))[: len(classes)]
    return SegmentedFrame(
        lane=camera,
        frame_id=frame_id,
        seq=0,
        captured_utc_ms=0,
        captured_mono=captured_mono,
        classes=classes,
        mask=_MASK,
        margins=margins,
        areas=tuple(0.1 for _ in classes),
        reading=reading,
        machine=MachineInfo(),
        done_mono=captured_mono,
        seconds=0.01,
    )


def candidate(
    camera: str = "cam1", frame_id: str = "f", captured_mono: float = 0.0, **what: object
) -> Candidate:
    frame = Frame(camera, frame_id, 0, 0, captured_mono, _IMAGE)
    return Candidate(frame, segmentation(camera, frame_id, captured_mono, **what))  # type: ignore[arg-type]


UNSURE: dict[str, object] = {"confidence": 0.1}
EMPTY: dict[str, object] = {"reason": NoReadReason.EMPTY, "confidence": 0.0}

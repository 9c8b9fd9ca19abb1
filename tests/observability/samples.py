"""Frames, readings, explanations and alarms as the stages would make them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from agent.records import (
    CLASSES,
    Alarm,
    AlarmState,
    ClassExplanation,
    Explanation,
    Frame,
    FruitReading,
    NoReadReason,
    Overlay,
    Quality,
    Reading,
    Rung,
    SamplingClass,
    SegmentedFrame,
)


def frame(camera: str = "cam1", seq: int = 1, mono: float = 1000.0, side: int = 64) -> Frame:
    """A grey picture with a lighter disc."""
    rows, columns = np.mgrid[:side, :side] - side / 2
    image = np.full((side, side, 3), 40, np.uint8)
    image[rows**2 + columns**2 < (side / 3) ** 2] = (90, 150, 210)
    return Frame(camera, f"{camera}-7f-{seq:06d}", seq, 1_700_000_000_000, mono, image)


def segmentation(of: Frame, *, read: bool = True, angle_deg: float = 12.5) -> SegmentedFrame:
    """A suture across the middle and a stem at one end of it."""
    mask = np.zeros((48, 48), np.uint8)
    mask[22:26, 10:38] = 1
    mask[20:28, 34:40] = 2
    nan = float("nan")
    reading = Reading(
        read=read,
        angle_deg=angle_deg if read else -1.0,
        reason=NoReadReason.NONE if read else NoReadReason.NO_SUTURE,
        confidence_raw=0.97 if read else 0.1,
        stem_x_px=37.0,
        stem_y_px=24.0,
        stem_x_mm=nan,
        stem_y_mm=nan,
    )
    return SegmentedFrame(
        lane=of.lane, frame_id=of.frame_id, seq=of.seq, captured_utc_ms=of.captured_utc_ms,
        captured_mono=of.captured_mono, classes=CLASSES, mask=mask, margins=(4.0, 2.0, nan),
        areas=(0.9, 0.06, 0.04), reading=reading, machine=of.machine, chunks=of.chunks,
        done_mono=of.captured_mono + 0.03, seconds=0.02,
    )  # fmt: skip


def fruit(of: Frame, *, read: bool = True, cup_empty: bool = False) -> FruitReading:
    """One fruit in one frame."""
    seen = segmentation(of, read=read and not cup_empty)
    if cup_empty:
        seen = replace(seen, reading=replace(seen.reading, reason=NoReadReason.EMPTY))
    return FruitReading(seen)


def class_explanation(name: str, foreground: float, background: float) -> ClassExplanation:
    """What one pass says of one class; arrays are small and meaningless."""
    return ClassExplanation(
        class_name=name, explainable=True, reason="", y=3.0, y_null=3.0, null_tolerance=1e-4,
        y_all=0.1, deltas=np.zeros(4), map=np.zeros((6, 6), np.float32),
        mean_map=np.zeros((6, 6), np.float32), exact=np.ones(4, bool), estimate_error=0.0,
        spot_channel=0, spot_error=0.0, all_ones_share=0.2, sign_balance=0.5,
        sensitivity_foreground=foreground, sensitivity_background=background,
        context_reliance=background / (foreground + background), occlusions=(),
        input_sensitivity_foreground=foreground, input_sensitivity_background=background,
        input_context_reliance=background / (foreground + background),
    )  # fmt: skip


def explanation(of: Frame, overlays: tuple[Overlay, ...] = ()) -> Explanation:
    """An explanation of both foreground classes."""
    return Explanation(
        job_id="job-1", lane=of.lane, frame_id=of.frame_id,
        captured_utc_ms=of.captured_utc_ms, captured_mono=of.captured_mono,
        sampling_class=SamplingClass.PERIODIC, rung=Rung.EXACT, method="ablation-cam",
        layer="decoder1", score="margin", baseline="zero", model_name="default",
        model_sha256="ab" * 32,
        classes=(class_explanation("suture", 0.82, 0.11), class_explanation("stem", 0.64, 0.2)),
        overlays=overlays, left_out=(), seconds=0.84,
        seconds_by_method={"ablation_cam": 0.6, "occlusion": 0.24},
        region_threshold=0.5, region_source="predicted",
    )  # fmt: skip


def overlay(class_name: str) -> Overlay:
    """A heat map of one colour."""
    image = np.full((120, 120, 3), (40, 90, 200), np.uint8)
    data = cv2.imencode(".jpg", image)[1].tobytes()
    return Overlay(class_name, "image/jpeg", data, 120, 120, 2.5)


def alarm(alarm_id: str = "camera_lost-cam2", *, active: bool = True, severity: int = 700) -> Alarm:
    """An alarm as the life cycle would publish it."""
    return Alarm(
        alarm_id=alarm_id, title="Camera lost", source="agent", camera_id="cam2", event_id="e1",
        state=AlarmState.UNACK if active else AlarmState.NORM, active=active, acked=False,
        shelved=False, suppressed=False, severity=severity,
        priority="high" if severity >= 500 else "low",
        message="Camera cam2 delivers no picture: check its cable and its power.",
        value=0.0, limit=0.0, deadband=0.0, unit="", quality=Quality.GOOD, count=1,
        active_since_ms=1_700_000_000_000, cleared_at_ms=0, acked_at_ms=0, shelved_until_ms=0,
        acked_by="", comment="", evidence_topic="", evidence_url="", frame_id="", model="default",
        on_delay_s=1.0, off_delay_s=5.0, timestamp_ms=1_700_000_000_000, transition="raised", seq=1,
    )  # fmt: skip

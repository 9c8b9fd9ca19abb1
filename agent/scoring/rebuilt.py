"""Readings and explanations as they were, but for their pictures, from a recording's arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agent.records import (
    ANGLE_NO_READ,
    STEM,
    SUTURE,
    ClassExplanation,
    Explanation,
    FruitReading,
    JobFailure,
    MachineInfo,
    MachineState,
    Reading,
    Rung,
    SegmentedFrame,
)
from agent.scoring.planting import CAMERA
from agent.scoring.recording import (
    CLASSES,
    EXPLAINED,
    EXPLANATION_SIGNALS,
    FAILED,
    FRUIT_SIGNALS,
    REASONS,
    Recording,
)

EPOCH_MS = 1_700_000_000_000
READ_S = 0.02
"""Virtual seconds from picture to reading: how fast a computer reads is not scored here."""
_NONE = np.zeros((0, 0), np.float32)


def utc_ms(mono: float) -> int:
    """The wall clock of a replay, in Unix milliseconds."""
    return EPOCH_MS + round(mono * 1000)


def reading_of(
    recording: Recording, index: int, shift: float
) -> tuple[FruitReading, Mapping[str, float]]:
    """One reading as it was, but for its mask, and its signals; ``shift`` is added to its time."""
    mono, angle = float(recording.mono[index]) + shift, float(recording.angle_deg[index])
    read = not np.isnan(angle)
    nan = float("nan")
    values = dict(zip(FRUIT_SIGNALS, recording.values[index].tolist(), strict=True))
    segmentation = SegmentedFrame(
        lane=CAMERA,
        frame_id=f"{CAMERA}-{index}",
        seq=index,
        captured_utc_ms=utc_ms(mono),
        captured_mono=mono,
        classes=(SUTURE,),
        mask=np.zeros((0, 0), np.uint8),
        margins=(values["suture_margin"],),
        areas=(values["suture_area"],),
        reading=Reading(
            read=read,
            angle_deg=angle if read else ANGLE_NO_READ,
            reason=REASONS[recording.reason[index]],
            confidence_raw=values["confidence"] if read else 0.0,
            stem_x_px=nan,
            stem_y_px=nan,
            stem_x_mm=nan,
            stem_y_mm=nan,
        ),
        machine=MachineInfo(
            MachineState.RUNNING,
            variety=str(recording.about["variety"]),
            received_utc_ms=utc_ms(mono),
        ),
        done_mono=mono + READ_S,
        seconds=READ_S,
    )
    return FruitReading(segmentation), values


def explanation_of(recording: Recording, index: int, shift: float) -> Explanation | JobFailure:
    """One explanation as it was, but for its map; ``shift`` is added to its time."""
    fruit = int(recording.fruit[index])
    mono = float(recording.mono[fruit]) + shift
    sampled = CLASSES[recording.sampled[index]]
    job, frame = f"{CAMERA}-{fruit}.{index}", f"{CAMERA}-{fruit}"
    if recording.status[index] == FAILED:
        return JobFailure(job, CAMERA, frame, sampled, "error")
    about = recording.about
    return Explanation(
        job_id=job,
        lane=CAMERA,
        frame_id=frame,
        captured_utc_ms=utc_ms(mono),
        captured_mono=mono,
        sampling_class=sampled,
        rung=Rung.EXACT,
        method="ablation-cam",
        layer=str(about["layer"]),
        score=str(about["score"]),
        baseline="zero",
        model_name="",
        model_sha256=str(about["model_sha256"]),
        classes=(suture_of(recording, index),),
        overlays=(),
        left_out=(),
        seconds=float(about["explanation_s"]),
        seconds_by_method={},
        region_threshold=0.5,
        region_source="predicted",
    )


def suture_of(recording: Recording, index: int) -> ClassExplanation:
    """What an explanation said of the suture."""
    said = dict(zip(EXPLANATION_SIGNALS, recording.explained[index].tolist(), strict=True))
    explainable = bool(recording.status[index] == EXPLAINED)
    deltas = recording.deltas[index].astype(np.float64)
    nan = float("nan")
    return ClassExplanation(
        class_name=SUTURE,
        explainable=explainable,
        reason="" if explainable else "not explainable",
        y=said["score"],
        y_null=nan,
        null_tolerance=nan,
        y_all=nan,
        deltas=deltas if explainable else np.zeros(0),
        map=_NONE,
        mean_map=_NONE,
        exact=np.ones(len(deltas), np.bool_),
        estimate_error=0.0,
        spot_channel=0,
        spot_error=0.0,
        all_ones_share=said["all_ones_share"],
        sign_balance=nan,
        sensitivity_foreground=said["foreground_layer"],
        sensitivity_background=said["background_layer"],
        context_reliance=said["reliance_layer"],
        occlusions=(),
        input_sensitivity_foreground=said["foreground_input"],
        input_sensitivity_background=said["background_input"],
        input_context_reliance=said["reliance_input"],
        score=str(recording.about["score"]),
        relevance_mass={
            SUTURE: said["mass_suture"],
            STEM: said["mass_stem"],
            "elsewhere": said["mass_elsewhere"],
        },
        agreement=said["agreement"],
    )

"""Fruit, explanations and a recorder for the tests of recording."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from agent import config
from agent.dataset import Record, records
from agent.recording.recorder import Recorder
from agent.recording.status import Described, RecorderSettings
from agent.records import (
    CLASSES,
    ClassExplanation,
    Explanation,
    Frame,
    FruitReading,
    MachineInfo,
    MachineState,
    NoReadReason,
    Reading,
    Rung,
    SamplingClass,
    SegmentedFrame,
    Selection,
)
from agent.telemetry import NullTelemetry

UTC_MS = 1_780_000_000_000


class Counted(NullTelemetry):
    """Counts by name and labels."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, ...], float] = {}

    def count(self, name: str, /, by: float = 1, **labels: str) -> None:
        super().count(name, by, **labels)
        key = (name, *(value for _, value in sorted(labels.items())))
        self.counts[key] = self.counts.get(key, 0) + by


def frame(seq: int, lane: str = "a", size: int = 32) -> Frame:
    image = np.random.default_rng(seq).integers(0, 256, (size, size, 3), np.uint8)
    return Frame(lane, f"{lane}-f-{seq}", seq, UTC_MS + 1000 * seq, float(seq), image)


def fruit(
    of: Frame,
    *,
    confidence: float = 0.8,
    reason: NoReadReason = NoReadReason.NONE,
    plausibility: float = math.nan,
    state: MachineState = MachineState.RUNNING,
    frozen: bool = False,
) -> FruitReading:
    read = reason is NoReadReason.NONE
    nan = math.nan
    reading = Reading(read, 10.0 if read else -1.0, reason, confidence, nan, nan, nan, nan)
    seen = SegmentedFrame(
        lane=of.lane,
        frame_id=of.frame_id,
        seq=of.seq,
        captured_utc_ms=of.captured_utc_ms,
        captured_mono=of.captured_mono,
        classes=CLASSES,
        mask=np.ones((16, 16), np.uint8),
        margins=(1.0, 1.0, 1.0),
        areas=(0.5, 0.3, 0.2),
        reading=Reading(
            reading.read,
            reading.angle_deg,
            reading.reason,
            confidence,
            nan,
            nan,
            nan,
            nan,
            plausibility,
        ),
        machine=MachineInfo(state=state, lot="L-1"),
        done_mono=of.captured_mono,
        seconds=0.01,
        model_sha256="ab",
    )
    return FruitReading(seen, camera_frozen=frozen)


def selection(of: Frame, seen: FruitReading) -> Selection:
    return Selection("job", of, seen.segmentation, SamplingClass.PERIODIC, Rung.EXACT, 0.0, 10.0)


def explanation(of: Frame, **suture: Any) -> Explanation:
    empty = np.zeros(0)
    values: dict[str, Any] = {
        "class_name": "suture",
        "explainable": True,
        "reason": "",
        "y": 1.0,
        "y_null": 1.0,
        "null_tolerance": 0.0,
        "y_all": 0.0,
        "deltas": empty,
        "map": empty,
        "mean_map": empty,
        "exact": empty.astype(bool),
        "estimate_error": 0.0,
        "spot_channel": 0,
        "spot_error": 0.0,
        "all_ones_share": 0.0,
        "sign_balance": 0.0,
        "sensitivity_foreground": 0.9,
        "sensitivity_background": 0.1,
        "context_reliance": 0.1,
        "occlusions": (),
        "input_sensitivity_foreground": 0.9,
        "input_sensitivity_background": 0.1,
        "input_context_reliance": 0.1,
    }
    return Explanation(
        job_id="job",
        lane=of.lane,
        frame_id=of.frame_id,
        captured_utc_ms=of.captured_utc_ms,
        captured_mono=of.captured_mono,
        sampling_class=SamplingClass.PERIODIC,
        rung=Rung.EXACT,
        method="m",
        layer="l",
        score="margin",
        baseline="zero",
        model_name="net",
        model_sha256="ab",
        classes=(ClassExplanation(**(values | suture)),),
        overlays=(),
        left_out=(),
        seconds=1.0,
        seconds_by_method={},
        region_threshold=0.5,
        region_source="predicted",
    )


def make(
    folder: Path | None, telemetry: NullTelemetry, clock: Any = None, **settings: Any
) -> Recorder:
    described = Described(
        reading=lambda one: {"reason": one.segmentation.reading.reason.value},
        explanation=lambda one: {"job_id": one.job_id},
        running=lambda _lane: ("Halford", "L-0"),
        model_name={"ab": "net"}.__getitem__,
        utc_ms=lambda: UTC_MS,
    )
    section = config.Recording(**({"free_disk_bytes": 0} | settings))
    wanted = RecorderSettings(section, folder, "line/a")
    return Recorder(wanted, described, telemetry, clock or (lambda: 0.0))


def kept(folder: Path) -> list[Record]:
    return [one for one in records(folder) if isinstance(one, Record)]

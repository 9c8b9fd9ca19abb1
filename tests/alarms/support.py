"""Builders of what the alarms are fed, with every field that a test does not care about filled."""

from __future__ import annotations

import math

import numpy as np

from agent import config
from agent.alarms.charts.bank import Judgement
from agent.alarms.condition import Condition
from agent.alarms.lifecycle.manager import AlarmManager
from agent.alarms.text.english import ENGLISH
from agent.records import (
    Alarm,
    CameraState,
    CameraStatus,
    ClassExplanation,
    Explanation,
    FruitReading,
    MachineInfo,
    MachineState,
    NoReadReason,
    Quality,
    Reading,
    Rung,
    SamplingClass,
    SegmentedFrame,
)

EPOCH_MS = 1_700_000_000_000


def utc_ms(mono: float) -> int:
    """A wall clock that agrees with the fake monotonic one."""
    return EPOCH_MS + round(mono * 1000)


def condition(
    beyond: bool | None, cause: str = "no_read_rate", camera: str = "cam1", **changes: object
) -> Condition:
    back = beyond is False
    return Condition(
        **{"cause": cause, "subject": camera, "beyond": beyond, "back": back} | changes
    )


def said(of: Condition | Judgement) -> str:
    """Its detail in English."""
    return ENGLISH.detail(of.detail)


class TimedManager:
    """A manager on a clock that the test turns, which keeps every record."""

    def __init__(self, **settings: object) -> None:
        self.manager = AlarmManager(config.Alarms(**settings), "agent1", "s1")
        self.now = 1000.0
        self.records: list[Alarm] = []

    def update(self, new: Condition, after_s: float = 0.0) -> list[str]:
        self.now += after_s
        return self._keep(self.manager.update(new, self.now, utc_ms(self.now)))

    def wait(self, seconds: float) -> list[str]:
        self.now += seconds
        return self._keep(self.manager.tick(self.now, utc_ms(self.now)))

    def _keep(self, records: list[Alarm]) -> list[str]:
        self.records += records
        return [record.transition for record in records]

    @property
    def events(self) -> list[str]:
        """What people were told."""
        return [record.transition for record in self.records if record.is_event]

    @property
    def alarm(self) -> Alarm:
        (only,) = self.manager.current()
        return only


def fruit(
    mono: float,
    *,
    read: bool = True,
    camera: str = "cam1",
    latency_s: float = 0.02,
    machine: MachineState = MachineState.UNKNOWN,
    empty: bool = False,
    frozen: bool = False,
) -> FruitReading:
    read = read and not empty
    missing = NoReadReason.EMPTY if empty else NoReadReason.NO_SUTURE
    reason = NoReadReason.NONE if read else missing
    return FruitReading(
        SegmentedFrame(
            lane=camera,
            frame_id=f"f{mono:.3f}",
            seq=0,
            captured_utc_ms=utc_ms(mono),
            captured_mono=mono,
            classes=("background", "suture", "stem"),
            mask=np.zeros((2, 2), np.uint8),
            margins=(1.0, 1.0, 1.0),
            areas=(0.9, 0.05, 0.01),
            reading=Reading(
                read, 10.0 if read else -1.0, reason, 0.9, math.nan, math.nan, math.nan, math.nan
            ),
            machine=MachineInfo(state=machine),
            done_mono=mono + latency_s,
            seconds=latency_s,
        ),
        camera_frozen=frozen,
    )


def explanation(
    mono: float,
    reliance: float = 0.2,
    sensitivity: float = 0.8,
    *,
    camera: str = "cam1",
    explainable: bool = True,
) -> Explanation:
    nothing = np.zeros(0)
    suture = ClassExplanation(
        class_name="suture",
        explainable=explainable,
        reason="" if explainable else "no suture predicted",
        y=1.0,
        y_null=1.0,
        null_tolerance=1e-3,
        y_all=0.0,
        deltas=nothing,
        map=nothing.astype(np.float32),
        mean_map=nothing.astype(np.float32),
        exact=nothing.astype(bool),
        estimate_error=0.0,
        spot_channel=0,
        spot_error=0.0,
        all_ones_share=0.0,
        sign_balance=0.5,
        sensitivity_foreground=math.nan,
        sensitivity_background=math.nan,
        context_reliance=math.nan,
        occlusions=(),
        input_sensitivity_foreground=sensitivity,
        input_sensitivity_background=0.1,
        input_context_reliance=reliance,
    )
    return Explanation(
        job_id=f"j{mono}",
        lane=camera,
        frame_id=f"f{mono:.3f}",
        captured_utc_ms=utc_ms(mono),
        captured_mono=mono,
        sampling_class=SamplingClass.PERIODIC,
        rung=Rung.EXACT,
        method="ablation-cam",
        layer="encoder4.enc4relu2",
        score="margin",
        baseline="zero",
        model_name="unet",
        model_sha256="0" * 64,
        classes=(suture,),
        overlays=(),
        left_out=(),
        seconds=0.5,
        seconds_by_method={},
        region_threshold=0.5,
        region_source="predicted",
    )


def status(
    state: CameraState,
    since: float,
    *,
    cause: str = "silence",
    name: str = "cam1",
    lanes: tuple[str, ...] = ("cam1",),
) -> CameraStatus:
    return CameraStatus(name, lanes, state, cause, since)


GOOD, BAD, UNCERTAIN = Quality.GOOD, Quality.BAD, Quality.UNCERTAIN

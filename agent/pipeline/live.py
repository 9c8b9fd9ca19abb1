"""The live path: take frames, segment them, hand the readings on. It waits for frames only, and
the workers wait for it."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from agent import config
from agent.capture.system import CaptureSystem
from agent.pipeline.waiting import WaitingReadings
from agent.records import Frame, FruitReading, SegmentedFrame
from agent.segmentation.fruit import FruitReader
from agent.segmentation.reading import LaneGeometry
from agent.segmentation.switch import SegmenterSwitch
from agent.supervision.errands import Errands
from agent.supervision.live_priority import LivePriority
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

TAKE_TIMEOUT_S = 0.25
"""Longest wait for a frame: the loop must move several times within the limit of /livez."""


Lanes = Mapping[str, LaneGeometry]


class FrameHandlers(Protocol):
    """Who is given the live loop's results. No call may block."""

    def on_segmented(self, frame: Frame, segmentation: SegmentedFrame) -> None:
        """Every frame, in capture order per lane."""

    def on_fruit(self, reading: FruitReading) -> None:
        """One reading per fruit."""


@dataclass(frozen=True, slots=True)
class LiveStages:
    """The stages that the live loop drives."""

    capture: CaptureSystem
    segmenter: SegmenterSwitch
    fruit: FruitReader
    batch_max: int


class LiveLoop:
    """One thread from frame to reading.

    A failure inside one batch costs that batch, is counted as dropped by reason ``error``, and the
    loop goes on: nothing that a picture can do ends the live path.
    """

    def __init__(
        self,
        stages: LiveStages,
        handlers: FrameHandlers,
        telemetry: Telemetry,
        clock: Clock,
        live_priority: LivePriority,
    ) -> None:
        self._live_priority = live_priority
        self._stages = stages
        self._handlers = handlers
        self._telemetry = telemetry
        self._clock = clock
        self._waiting = WaitingReadings(stages.capture.identified)
        self.errands = Errands()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End when every frame that capture has delivered is read: call once intake has ended."""
        self._stopping.set()
        if self._thread.is_alive():  # it may never have been started
            self._thread.join(timeout_s)

    def configure(self, settings: config.Segmentation, lanes: Lanes) -> None:
        """Segment by other settings and lanes from the next frame on; an errand."""
        self._stages.segmenter.configure(settings, lanes)
        self._stages = replace(self._stages, batch_max=settings.batch_max)

    def change_lanes(self, lanes: Lanes) -> None:
        """Read these lanes from now on, and answer what waits of the others; an errand."""
        gone = set(self._stages.fruit.lanes) - set(lanes)
        self._answer(self._stages.fruit.change_lanes(lanes))
        for reading in self._waiting.ready(self._clock, final=True, lanes=gone):
            self._handlers.on_fruit(reading)

    def _run(self) -> None:
        while True:
            self._telemetry.beat("live")
            self.errands.run()
            stopping = self._stopping.is_set()
            timeout_s = self._waiting.timeout_s(TAKE_TIMEOUT_S)
            # One by one while another model is to take over: it does between two fruit.
            count = 1 if self._stages.segmenter.pending else self._stages.batch_max
            frames = self._stages.capture.take(count, timeout_s)
            if frames:
                with self._live_priority.claimed():
                    self._handle(frames)
            elif stopping:
                break  # what still waits is answered below
            self._answer(self._stages.fruit.tick(self._clock()))
        self._answer(self._stages.fruit.flush(), final=True)

    def _answer(self, readings: Iterable[FruitReading] = (), *, final: bool = False) -> None:
        """Hand on the readings whose fruit has its id, these after those that came before."""
        for reading in readings:
            self._waiting.add(reading)
        for reading in self._waiting.ready(self._clock, final=final):
            self._handlers.on_fruit(reading)

    def _handle(self, frames: Sequence[Frame]) -> None:
        started = self._clock()
        for frame in frames:
            wait = max(0.0, started - frame.captured_mono)
            self._telemetry.observe("queue_wait_seconds", wait, stage="segmentation")
        try:
            segmentations = self._stages.segmenter.segment(frames)
        except Exception as error:  # noqa: BLE001 - one bad batch must not end the live path
            self._drop(frames, error)
            return
        self._telemetry.observe("segmentation_seconds", self._clock() - started)
        for frame, segmentation in zip(frames, segmentations, strict=True):
            self._deliver(frame, segmentation)

    def _drop(self, frames: Sequence[Frame], error: Exception) -> None:
        for frame in frames:
            self._telemetry.count(
                "frames_dropped", camera=frame.lane, stage="segmentation", reason="error"
            )
        log_event(
            logger,
            logging.ERROR,
            "segmentation_failed",
            frames=len(frames),
            first=frames[0].frame_id,
            error=repr(error),
        )

    def _deliver(self, frame: Frame, segmentation: SegmentedFrame) -> None:
        lane = frame.lane
        self._telemetry.count("frames_segmented", camera=lane)
        self._telemetry.observe(
            "capture_to_mask_seconds",
            max(0.0, segmentation.done_mono - frame.captured_mono),
            exemplar=frame.frame_id,
            camera=lane,
        )
        self._handlers.on_segmented(frame, segmentation)
        self._answer(self._stages.fruit.feed(segmentation, self._clock()))


def count_fruit(telemetry: Telemetry, fruit: FruitReading) -> None:
    """Keep the counters and gauges of the fruit."""
    seen = fruit.segmentation
    if fruit.empty:
        telemetry.count("cups_empty", camera=seen.lane)
        return
    telemetry.count("fruit", camera=seen.lane)
    telemetry.gauge("reading_confidence_ratio", seen.reading.confidence, camera=seen.lane)
    if not math.isnan(seen.reading.plausibility):
        telemetry.gauge("reading_plausibility_ratio", seen.reading.plausibility, camera=seen.lane)
    if seen.reading.read:
        telemetry.observe("suture_angle_degrees", seen.reading.angle_deg, camera=seen.lane)
    else:
        telemetry.count("fruit_no_read", camera=seen.lane, reason=seen.reading.reason.value)
    for name, margin in zip(seen.classes, seen.margins, strict=True):
        if margin == margin:  # NaN: the class has no pixel, and the last true value stands
            telemetry.gauge("margin", margin, camera=seen.lane, **{"class": name})

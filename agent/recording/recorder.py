"""What the live path and the explaining path hand to recording: they decide, and never wait."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from agent.dataset.shelf import Shelf
from agent.recording.choice import Choice, runs
from agent.recording.status import Described, Drop, RecorderSettings, RecordingStatus
from agent.recording.waiting import HeldFrames, Job, JobQueue
from agent.recording.writer import Writer, quotas_of
from agent.records import Explanation, Frame, FruitReading, Selection
from agent.supervision.errands import ErrandError
from agent.telemetry import Clock, Telemetry

ERRAND_S = 20.0
"""For the thread to come to it: a disk that hangs holds it up."""


class NoPlaceError(Exception):
    """There is no folder to record to."""


class Recorder:
    """``hold`` and ``fruit`` are for the thread of the live path, ``explained`` for that of the
    explanations, the rest for any. While it is off, each is one comparison."""

    def __init__(
        self,
        settings: RecorderSettings,
        described: Described,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._clock = clock
        self._utc_ms = described.utc_ms
        self._choice = Choice(settings.recording)
        self._alarmed: Collection[str] = frozenset()
        self._held = HeldFrames()
        self._jobs = JobQueue(settings.recording.queue_frames)
        self._writer = Writer(self._jobs, lambda: self._choice, described, telemetry, clock)
        self._on = False
        self._since_utc_ms = 0
        self._by = ""

    # --- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        self._writer.start()

    def stop(self, timeout_s: float) -> None:
        """Write what waits, within the time."""
        self._on = False
        self._writer.stop(timeout_s)

    def switch(self, *, on: bool, since_utc_ms: int, by: str) -> None:
        """Begin or end. ``ClaimError`` where the folder is another's, ``NoPlaceError`` without one,
        ``ErrandError`` where the disk does not answer; then all is as it was."""
        if on != self._on:
            self._begin() if on else self._end()
        self._since_utc_ms, self._by = since_utc_ms, by

    def configure(self, settings: RecorderSettings) -> None:
        """Choose and keep by other settings from now on; whether it is on stays, and where to."""
        settings = dataclasses.replace(settings, folder=self._settings.folder)
        self._settings = settings
        self._choice = Choice(settings.recording)
        self._jobs.limit = settings.recording.queue_frames
        if self._writer.is_alive():
            self._writer.errands.do(lambda: self._writer.configure(settings.recording), ERRAND_S)

    def restore(self, *, on: bool, since_utc_ms: int, by: str) -> None:
        """As ``switch``, of an agent that is being built: the folder is opened once the thread
        runs. Neither a disk that hangs nor a folder that is taken keeps fruit from being read."""
        if on:
            self._writer.begin_later(self._shelf())
        self._on, self._since_utc_ms, self._by = on, since_utc_ms, by

    def _shelf(self) -> Shelf:
        settings = self._settings
        if settings.folder is None:
            raise NoPlaceError("neither recording.folder nor state_dir is set")
        return Shelf(
            settings.folder,
            settings.owner,
            quotas_of(settings.recording),
            settings.recording.free_disk_bytes,
        )

    def _begin(self) -> None:
        shelf = self._shelf()
        if self._writer.is_alive():
            self._writer.errands.do(lambda: self._writer.begin(shelf), ERRAND_S)
        else:
            self._writer.begin(shelf)
        self._on = True

    def _end(self) -> None:
        self._on = False
        if self._writer.is_alive():
            try:
                self._writer.errands.do(self._writer.end, ERRAND_S)
            except ErrandError:
                self._on = True
                raise
        else:
            self._writer.end()

    # --- what the paths hand on ------------------------------------------------------------------

    def hold(self, frame: Frame) -> None:
        """A picture whose fruit will be answered."""
        if self._on:
            self._held.hold(frame)

    def fruit(self, fruit: FruitReading) -> None:
        """A fruit that was answered: kept where there is a reason."""
        if not self._on:
            self._held.clear()
            return
        seen = fruit.segmentation
        frame = self._held.take(seen.lane, seen.frame_id)
        alarmed = seen.lane in self._alarmed
        reasons = self._choice.of_fruit(fruit, alarmed=alarmed, now=self._clock())
        if not reasons:
            return
        if frame is None:
            self._writer.dropped(seen.lane, Drop.PICTURE_GONE)
        else:
            self._put(Job(frame, fruit, reasons))

    def explained(self, explanation: Explanation, selection: Selection) -> None:
        """An explanation: for the record of its picture, or for one of its own."""
        if not self._on or not runs(selection.segmentation.machine):
            return
        unusual = self._choice.is_unusual(explanation)
        fruit = FruitReading(selection.segmentation)
        self._put(Job(selection.frame, fruit, explanation=explanation, unusual=unusual))

    def alarmed(self, lanes: Collection[str]) -> None:
        """The lanes of which an alarm stands."""
        self._alarmed = lanes

    def _put(self, job: Job) -> None:
        if not self._jobs.put(job) and (job.reasons or job.unusual):
            self._writer.dropped(job.frame.lane, Drop.QUEUE_FULL)

    # --- what is said of it ----------------------------------------------------------------------

    def status(self) -> RecordingStatus:
        """How it is at this moment."""
        writer = self._writer
        return RecordingStatus(
            on=self._on,
            since_utc_ms=self._since_utc_ms,
            by=self._by,
            folder=self._settings.folder,
            paused=writer.paused if self._on else None,
            detail=writer.detail if self._on else "",
            waiting=len(self._jobs),
            limit_bytes=self._settings.recording.limit_bytes,
            holding=writer.holding,
        )

    def tell(self) -> None:
        """Set the gauges."""
        status, gauge = self.status(), self._telemetry.gauge
        holding = status.holding
        gauge("recording_on", float(status.on and status.paused is None))
        for reason, size in holding.bytes.items():
            gauge("recordings_bytes", size, reason=reason.value)
        if holding.known:
            oldest = holding.oldest_utc_ms
            age_s = max(0.0, (self._utc_ms() - oldest) / 1000.0) if oldest else 0.0
            gauge("recordings_oldest_seconds", age_s)

"""All cameras of an agent: a thread that watches over their processes, a call that takes frames."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from agent.capture.feed import CameraFeed, CaptureContext
from agent.capture.pairing.history import Word
from agent.capture.queue import FrameBooks
from agent.capture.state_machine import Action
from agent.config import Camera
from agent.records import CameraState, CameraStatus, Frame, FruitReading, MachineInfo, Origin
from agent.supervision.waker import Waker
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

TICK_S = 0.05
CHILD_STOP_S = 1.0
WAKE_S = 0.005


class CaptureSystem:
    """Starts a child per camera, keeps each alive, and hands out frames.

    ``take`` belongs to the live loop; every other method may be called from any thread.
    """

    def __init__(self, cameras: Sequence[Camera], context: CaptureContext) -> None:
        self._telemetry = context.telemetry
        self._clock = context.clock
        # One descriptor that all children raise: the live loop waits for all cameras at once.
        self._waker = Waker()
        self._feeds = [CameraFeed(camera, context, self._waker.fd) for camera in cameras]
        self._of_lane = {lane: feed for feed in self._feeds for lane in feed.lane_names}
        self._machine_clock = context.machine_clock
        self._told_generation = self._machine_clock.generation
        self._spoke = False  # the machine, while a picture waits for its fruit's id
        self._wake_mono = 0.0  # from when on the next word may wake the live loop
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._supervise, name="capture", daemon=True)

    def start(self) -> None:
        """Start watching; the children come up by themselves."""
        for feed in self._feeds:
            feed.begin(self._clock())
        self._thread.start()

    def take(self, max_frames: int, timeout_s: float) -> list[Frame]:
        """Return up to ``max_frames`` frames, the oldest of all cameras first.

        Waits up to ``timeout_s`` for the first one. The lanes of one picture come together, so a
        single picture of more lanes than ``max_frames`` is returned whole. Frames above their
        camera's ``max_age_s`` are dropped and counted. Never waits after ``end_intake``, nor where
        the machine has said what a picture waited for, and is empty after ``stop``.
        """
        deadline = self._clock() + timeout_s
        while True:
            with self._lock:
                frames = self._collect(max_frames)
                spoke, self._spoke = self._spoke, False
            remaining_s = deadline - self._clock()
            if frames or spoke or remaining_s <= 0 or self._stopping.is_set():
                return frames
            # The writer raises the event after the picture is whole, and here it is lowered before
            # the rings are looked at: no picture can be missed.
            self._waker.wait(remaining_s)

    def statuses(self) -> tuple[CameraStatus, ...]:
        """The state of every camera, in the order of the configuration."""
        with self._lock:
            return tuple(feed.status() for feed in self._feeds)

    def lane_states(self) -> dict[str, CameraState]:
        """The state of each lane's source."""
        return {lane: status.state for status in self.statuses() for lane in status.lanes}

    def changes(self) -> list[CameraStatus]:
        """The changes of state since the last call, oldest first per camera."""
        with self._lock:
            return [change for feed in self._feeds for change in feed.drain_changes()]

    def set_machine(self, info: MachineInfo) -> None:
        """Tell the cameras what the machine said: those of its lane, or all."""
        if info.lane is not None and info.lane not in self._of_lane:
            self._telemetry.count("machine_words_unused", camera="none", reason="unknown_lane")
            log_event(
                logger,
                logging.WARNING,
                "machine_lane_unknown",
                lane=info.lane,
                known=", ".join(self._of_lane),
            )
            return
        with self._lock:
            now = self._clock()
            word = self._stamped(info if info.arrived_mono else replace(info, arrived_mono=now))
            for feed in self._feeds:
                if info.lane is None or info.lane in feed.lane_names:
                    feed.set_machine(word, now)
            self._tell_steps()
            # Not at each word of a flood: who waits also looks by itself, a little later.
            wake = now >= self._wake_mono and any(feed.pairing.waiting for feed in self._feeds)
            if wake:
                self._spoke, self._wake_mono = True, now + WAKE_S
        if wake:
            self._waker.wake()

    def identified(
        self, reading: FruitReading, now: float, *, final: bool = False
    ) -> FruitReading | None:
        """Return a reading with its fruit's id, in the order of capture per lane.

        None while the id may still come (``machine_wait_s``), which ``final`` ends.
        """
        feed = self._of_lane[reading.segmentation.lane]
        with self._lock:
            return feed.pairing.identified(reading, now, final=final)

    def _stamped(self, info: MachineInfo) -> Word:
        clock = self._machine_clock
        if info.origin is not Origin.MACHINE or not info.machine_timestamp_ms:
            return Word(info, clock.generation)
        return Word(info, clock.heard(info.arrived_mono, info.machine_timestamp_ms))

    def _tell_steps(self) -> None:
        generation = self._machine_clock.generation
        if generation > self._told_generation > 0:
            log_event(logger, logging.WARNING, "machine_clock_stepped")
        self._told_generation = generation

    def books(self) -> dict[str, FrameBooks]:
        """The books per lane."""
        with self._lock:
            return {lane: feed.queue.books() for feed in self._feeds for lane in feed.lane_names}

    def finished(self) -> bool:
        """Whether no frame will ever come again: every source ended or failed, all frames taken."""
        with self._lock:
            now = self._clock()
            return all(feed.over and feed.queue.oldest_mono(now) is None for feed in self._feeds)

    def pids(self) -> dict[str, int]:
        """Process id of each camera's child, where it has one."""
        return {feed.camera.name: pid for feed in self._feeds if (pid := feed.pid) is not None}

    def end_intake(self, timeout_s: float) -> bool:
        """End all children within ``timeout_s``; what they delivered can still be taken.

        False when the supervisor's thread did not come to its end in time; its children then die
        with this process.
        """
        self._stopping.set()
        self._waker.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def stop(self, timeout_s: float) -> bool:
        """End all children within ``timeout_s`` and drop what was not taken; as ``end_intake``."""
        ended = self.end_intake(timeout_s)
        with self._lock:
            if ended and not self._closed:
                self._closed = True
                for feed in self._feeds:
                    feed.queue.abandon("stopped")
        return ended

    def _collect(self, max_frames: int) -> list[Frame]:
        frames: list[Frame] = []
        while not self._closed:
            now = self._clock()
            waiting = [
                (mono, place)
                for place, feed in enumerate(self._feeds)
                if (mono := feed.queue.oldest_mono(now)) is not None
            ]
            if not waiting:
                break
            feed = self._feeds[min(waiting)[1]]
            if frames and len(frames) + len(feed.lane_names) > max_frames:
                break
            frames += feed.take(now)
            if len(frames) >= max_frames:
                break
        return frames

    # --- the supervisor's thread -----------------------------------------------------------------

    def _supervise(self) -> None:
        try:
            while True:
                self._telemetry.beat("capture")
                for feed in self._feeds:
                    self._turn(feed)
                if self._stopping.wait(TICK_S):
                    return
        finally:
            self._end_children()

    def _turn(self, feed: CameraFeed) -> None:
        try:
            with self._lock:
                action = feed.observe(self._clock())
            feed.control(action)
            if action is not Action.NONE:
                with self._lock:
                    feed.settle(action)
        except Exception as error:
            # The top of the thread: an error about one camera must not end the watch over all, nor
            # over this one.
            logger.exception("capture_supervision_failed", extra=_about(feed))
            self._start_over(feed, error)

    def _start_over(self, feed: CameraFeed, failure: Exception) -> None:
        """End the camera's session, whatever it was at; the next one comes after the back-off."""
        try:
            feed.give_up()
            with self._lock:
                feed.supervision_failed(failure, self._clock())
        except Exception:
            logger.exception("capture_supervision_failed", extra=_about(feed))

    def _end_children(self) -> None:
        for feed in self._feeds:
            feed.ask_to_stop()
        end = time.monotonic() + CHILD_STOP_S
        for feed in self._feeds:
            try:
                feed.shut_down(max(0.0, end - time.monotonic()))
            except Exception:  # the others have an orderly end; this one ends with the thread
                logger.exception("capture_supervision_failed", extra=_about(feed))


def _about(feed: CameraFeed) -> dict[str, object]:
    """The camera, as a field of a log event."""
    return {"fields": {"camera": feed.camera.name}}

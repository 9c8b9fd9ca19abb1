"""All cameras of an agent: a thread that watches over their processes, a call that takes frames."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from agent.capture.feed import CameraFeed, CaptureContext
from agent.capture.pairing.history import Word
from agent.capture.queue import FrameBooks
from agent.capture.source import Place
from agent.capture.state_machine import Action
from agent.config import Camera
from agent.records import CameraState, CameraStatus, Frame, FruitReading, MachineInfo, Origin
from agent.supervision.waker import Waker
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

TICK_S = 0.05
CHILD_STOP_S = 1.0
WAKE_S = 0.005
LEAVE_POLL_S = 0.02


class CaptureSystem:
    """Starts a child per camera, keeps each alive, and hands out frames.

    ``take`` belongs to the live loop; every other method may be called from any thread.
    """

    def __init__(self, cameras: Sequence[Camera], context: CaptureContext) -> None:
        self._telemetry = context.telemetry
        self._clock = context.clock
        # One descriptor that all children raise: the live loop waits for all cameras at once.
        self._waker = Waker()
        self._context = context
        # Lists and mapping are replaced, never changed: the supervisor looks without a lock.
        self._feeds = [CameraFeed(camera, context, self._waker.fd) for camera in cameras]
        self._leaving: list[CameraFeed] = []
        self._of_lane = {lane: feed for feed in self._feeds for lane in feed.lane_names}
        self._numbers: dict[str, int] = {}  # of the last picture of lanes whose camera has left
        self._places: dict[
            str, tuple[str, Place]
        ] = {}  # source and place of a camera that has left
        self._said: dict[str | None, MachineInfo] = {}  # the machine's newest word, by lane
        self._changing = False
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

    # --- cameras that come and go ----------------------------------------------------------------

    @contextmanager
    def changing(self) -> Iterator[None]:
        """While cameras are exchanged, the sources have not ended, even if there are none."""
        self._changing = True
        try:
            yield
        finally:
            self._changing = False

    def remove(self, names: Collection[str], timeout_s: float) -> bool:
        """End these cameras' children; true once all that they delivered was taken or is too old.

        The other cameras go on meanwhile. After ``timeout_s`` what still waits is dropped and
        counted, and false returned.
        """
        with self._lock:
            going = [feed for feed in self._feeds if feed.camera.name in names]
            self._feeds = [feed for feed in self._feeds if feed not in going]
            self._leaving = [*self._leaving, *going]
        end, drained = self._clock() + timeout_s, False
        while not drained and self._clock() < end and not self._stopping.wait(LEAVE_POLL_S):
            with self._lock:
                now = self._clock()
                drained = all(one.left and one.queue.oldest_mono(now) is None for one in going)
        while not all(one.left for one in going) and not self._stopping.wait(LEAVE_POLL_S):
            pass  # the supervisor ends a child by force, so this is short
        with self._lock:
            for feed in going:
                feed.queue.abandon("removed")
                self._places[feed.camera.name] = feed.camera.source, feed.pictures.place
                self._numbers |= dict.fromkeys(feed.lane_names, feed.queue.numbered)
            self._leaving = [feed for feed in self._leaving if feed not in going]
            self._of_lane = {
                lane: feed for lane, feed in self._of_lane.items() if feed not in going
            }
        return drained

    def add(self, cameras: Sequence[Camera], order: Sequence[str]) -> None:
        """Begin with these cameras; ``order``: the names of all, as the configuration has them.

        One that is there goes on. Frames of a lane that there was before are numbered on.
        """
        with self._lock:
            now = self._clock()
            there = {feed.camera.name for feed in self._feeds}
            for camera in cameras:
                if camera.name in there:
                    continue
                names = [lane.name for lane in camera.effective_lanes()]
                number = max(self._numbers.get(name, 0) for name in names)
                feed = CameraFeed(camera, self._context, self._waker.fd, number)
                source, place = self._places.pop(camera.name, ("", Place()))
                if source == camera.source:  # files go on where they were
                    feed.pictures.place = place
                feed.begin(now)
                for lane, info in self._said.items():
                    if lane is None or lane in names:
                        word = Word(replace(info, arrived_mono=now), self._machine_clock.generation)
                        feed.set_machine(word, now)
                self._feeds = [*self._feeds, feed]
                self._of_lane = {**self._of_lane, **dict.fromkeys(names, feed)}
            known = [feed for feed in self._feeds if feed.camera.name in order]
            self._feeds = sorted(known, key=lambda feed: order.index(feed.camera.name))

    # --- frames ----------------------------------------------------------------------------------

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
            # For a camera that comes later: of no fruit, which it has not seen.
            self._said[info.lane] = replace(info, fruit_id=None, encoder=None)
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

        None while the id may still come (``machine_wait_s``), which ``final`` ends. Of a lane that
        is gone nothing more is known.
        """
        with self._lock:
            feed = self._of_lane.get(reading.segmentation.lane)
            return feed.pairing.identified(reading, now, final=final) if feed else reading

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
            return (
                bool(self._feeds)
                and not self._changing
                and all(feed.over and feed.queue.oldest_mono(now) is None for feed in self._feeds)
            )

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
                for feed in (*self._leaving, *self._feeds):
                    feed.queue.abandon("stopped")
        return ended

    def _collect(self, max_frames: int) -> list[Frame]:
        frames: list[Frame] = []
        while not self._closed:
            now = self._clock()
            feeds = (*self._leaving, *self._feeds)
            waiting = [
                (mono, place)
                for place, feed in enumerate(feeds)
                if (mono := feed.queue.oldest_mono(now)) is not None
            ]
            if not waiting:
                break
            feed = feeds[min(waiting)[1]]
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
                for feed in self._leaving:
                    self._see_off(feed)
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

    def _see_off(self, feed: CameraFeed) -> None:
        """A camera that was removed ends in order, if it does so in time."""
        if feed.left or not feed.leave(self._clock(), CHILD_STOP_S):
            return
        with self._lock:
            feed.settle(Action.KILL)
        feed.shut_down(0.0)
        feed.left = True

    def _start_over(self, feed: CameraFeed, failure: Exception) -> None:
        """End the camera's session, whatever it was at; the next one comes after the back-off."""
        try:
            feed.give_up()
            with self._lock:
                feed.supervision_failed(failure, self._clock())
        except Exception:
            logger.exception("capture_supervision_failed", extra=_about(feed))

    def _end_children(self) -> None:
        feeds = (*self._leaving, *self._feeds)
        for feed in feeds:
            feed.ask_to_stop()
        end = time.monotonic() + CHILD_STOP_S
        for feed in feeds:
            try:
                feed.shut_down(max(0.0, end - time.monotonic()))
            except Exception:  # the others have an orderly end; this one ends with the thread
                logger.exception("capture_supervision_failed", extra=_about(feed))


def _about(feed: CameraFeed) -> dict[str, object]:
    """The camera, as a field of a log event."""
    return {"fields": {"camera": feed.camera.name}}

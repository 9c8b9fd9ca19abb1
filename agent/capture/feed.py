"""One camera's child and its queue: the shell around ``CameraStateMachine``."""

from __future__ import annotations

import logging
import os
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.capture import messages
from agent.capture.check import differences
from agent.capture.fingerprint import read_tag
from agent.capture.lanes import LaneCutter, arrival, read_meta
from agent.capture.messages import CaptureArgs, Ended, Failed, Opened, Remarked, Unreadable, Waiting
from agent.capture.pairing.camera import CameraPairing
from agent.capture.pairing.clock import MachineClock
from agent.capture.pairing.history import Word
from agent.capture.picture_reports import PictureReports
from agent.capture.queue import RingQueue
from agent.capture.source import Measurements, Place, SourceInfo
from agent.capture.state_machine import Action, CameraStateMachine, Change
from agent.capture.states import LOG_LEVELS
from agent.capture.trigger_line import TriggerLine
from agent.config import Camera
from agent.records import STANDING, CameraState, CameraStatus, Frame, MachineInfo, MachineState
from agent.redaction import without_credentials
from agent.supervision.child import Child, ChildGone, ChildSpec, spawn
from agent.supervision.restart import Backoff
from agent.supervision.ring_memory import create_memory
from agent.supervision.survivors import Survivors
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

KILL_WAIT_S, CHANGES = 0.2, 256


@dataclass(frozen=True, slots=True)
class CaptureContext:
    """What the wiring hands in.

    ``session`` goes into every frame id. ``openers`` maps a URL scheme to what makes a ``Source``,
    named ``package.module:name`` and called in the capture child; it wins over capture's own.
    ``state_dir``: for what a source keeps over restarts.
    """

    telemetry: Telemetry
    clock: Clock
    session: str
    openers: Mapping[str, str] = field(default_factory=dict)
    rng: random.Random = field(default_factory=random.Random)
    machine_clock: MachineClock = field(default_factory=MachineClock)
    state_dir: Path | None = None


class CameraFeed:
    """Everything about one physical camera; ``event_fd`` is raised by every new picture.

    ``control``, ``give_up``, ``ask_to_stop``, ``leave`` and ``shut_down`` belong to the thread of
    the supervisor, which alone touches children. All other methods are called with the system's
    lock held. ``numbered_from``: as of ``RingQueue``.
    """

    def __init__(
        self, camera: Camera, context: CaptureContext, event_fd: int, numbered_from: int = 0
    ) -> None:
        self.camera = camera
        self._context = context
        self._event_fd = event_fd
        self._cutter = LaneCutter(camera)
        self.lane_names = tuple(lane.name for lane in self._cutter.lanes)
        self.queue = RingQueue(self.lane_names, camera.max_age_s, context.telemetry, numbered_from)
        backoff = Backoff(camera.backoff_first_s, camera.backoff_max_s, context.rng)
        self._states = CameraStateMachine(camera, backoff, context.clock())
        self._changes: deque[CameraStatus] = deque(maxlen=CHANGES)
        self._child: Child | None = None
        self._memory_fd: int | None = None
        self._spawn_error = ""
        self._earlier: SourceInfo | None = None
        self._survivors = Survivors()  # in a system call; they never run their code again
        self.pairing = CameraPairing(camera, context.machine_clock, context.telemetry)
        self._reported = MachineInfo()
        self._pictured_state = MachineState.UNKNOWN
        self._last_taken: tuple[int, float] = (0, 0.0)
        self._leave_until: float | None = None
        self.left = False  # no child any more, and what it delivered can still be taken
        self._waiting_mono = 0.0
        self._trigger = TriggerLine(camera)
        self.pictures = PictureReports(camera.name, self.lane_names, context.telemetry)
        self._report_changes()

    @property
    def over(self) -> bool:
        """Whether no new frame will ever come."""
        return self._states.over

    def begin(self, now: float) -> None:
        """The supervisor's first turn is next."""
        self._states.begin(now)
        self._changes[-1] = self.status()

    # --- the supervisor's turn: observe (lock), control (no lock), settle (lock) -----------------

    def observe(self, now: float) -> Action:
        """Take in the child's messages and pictures; return what must be done now."""
        action = self._receive(now)
        if action is Action.NONE:
            self._count_pictures(now)
            action = self._states.tick(max(self.queue.beat_mono, self._waiting_mono), now)
        if action is Action.KILL:
            self.pictures.leave(self._states.change)
        self._report_changes()
        return action

    def control(self, action: Action) -> None:
        """Start or kill the child; takes milliseconds, so the live loop must not wait for it."""
        self._survivors.again()
        if action is Action.KILL:
            self.give_up()
        elif action is Action.SPAWN:
            try:
                self._survivors.check_room()
                memory_fd = create_memory(f"pitwatch-{self.camera.name}")
                self._memory_fd = memory_fd
                self._child = spawn(self._spec(memory_fd))
            except OSError as error:  # no descriptor, memory or process left
                self._spawn_error = f"cannot start a process: {error.strerror or error}"

    def give_up(self) -> None:
        """End the child, whatever state it is in; never raises."""
        child, self._child = self._child, None
        if child is not None:
            self._survivors.end(child, KILL_WAIT_S)

    def settle(self, action: Action) -> None:
        """Book what ``control`` has changed."""
        memory_fd, self._memory_fd = self._memory_fd, None
        if action is Action.KILL:
            self.queue.retire()
        if memory_fd is None:
            return
        if self._child is None:
            os.close(memory_fd)
        else:
            self.queue.begin(memory_fd)

    def supervision_failed(self, error: Exception, now: float) -> None:
        """After ``give_up``: the error was the supervisor's own, and the camera is tried again."""
        self._spawn_error = ""
        detail = f"{type(error).__name__}: {error}"
        self._states.supervision_failed(without_credentials(detail), now)
        self._report_changes()
        self.settle(Action.KILL)

    def ask_to_stop(self) -> None:
        """Tell the child to end; ``shut_down`` waits for it."""
        if self._child is not None:
            self._child.ask_to_stop()

    def leave(self, now: float, patience_s: float) -> bool:
        """End the child, by force after ``patience_s``; true once it is: ``settle`` a kill then."""
        if self._leave_until is None:
            self._leave_until = now + patience_s
            self.ask_to_stop()
        if self._child is None or not self._child.alive() or now >= self._leave_until:
            self.give_up()
        return self._child is None

    def shut_down(self, timeout_s: float) -> None:
        """End the child, by force when it does not end in time."""
        if self._child is not None:
            self._child.stop(timeout_s)
            self._child = None
        self._trigger.close()

    @property
    def pid(self) -> int | None:
        """Process id of the child; None without one."""
        child = self._child
        return None if child is None else child.pid

    def _spec(self, memory_fd: int) -> ChildSpec:
        return ChildSpec(
            name=f"capture-{self.camera.name}",
            target="agent.capture.process:main",
            args=CaptureArgs(
                self.camera,
                self._context.openers,
                self._earlier,
                self.pictures.place,
                self._context.state_dir,
            ),
            fds={"ring": memory_fd, "event": self._event_fd, **self._trigger.fds},
            env=messages.CHILD_ENV,
        )

    def _receive(self, now: float) -> Action:
        if self._spawn_error:
            error, self._spawn_error = self._spawn_error, ""
            return self._states.died(error, now)
        if self._child is None:
            return Action.NONE
        try:
            messages = self._child.receive()
        except ChildGone:
            if self._child.alive():  # its socket closes a moment before it can be reaped
                return Action.NONE
            return self._states.died(self._child.describe_exit(), now)
        for message in messages:
            if isinstance(message, Opened):
                self._states.opened(message.info, now)
                if not message.info.width_px:
                    continue  # it comes again, with the first picture
                self.queue.attach()
                self._for_lanes("camera_fps", message.info.fps)
                self._tell_differences(message.info)
                self._earlier = message.info
            elif isinstance(message, Waiting):
                self._waiting_mono = now
            elif isinstance(message, Unreadable):
                self.pictures.unreadable(message)
            elif isinstance(message, Place):
                self.pictures.place = message
            elif isinstance(message, Remarked):
                self.pictures.remarked(message)
            elif isinstance(message, Measurements):
                self.pictures.measured(message)
            elif isinstance(message, Failed):
                return self._states.failed(message, now)
            elif isinstance(message, Ended):
                return self._states.ended(now)
        return Action.NONE

    def _tell_differences(self, info: SourceInfo) -> None:
        for name, (requested, reported) in differences(self.camera, info, self._earlier).items():
            log_event(
                logger,
                logging.WARNING,
                "camera_differs",
                camera=self.camera.name,
                what=name,
                requested=requested,
                reported=reported,
            )

    def _count_pictures(self, now: float) -> None:
        came = self.queue.arrivals()
        if came.count:
            self._states.delivered(came.count, came.captured_mono, now, came.arrived_mono)

    # --- the live loop's turn --------------------------------------------------------------------

    def take(self, now: float) -> list[Frame]:
        """Return the frames of the oldest waiting picture, one per lane; none without one."""
        popped = self.queue.pop()
        if popped is None:
            return []
        picture, seq = popped
        self._count_pictures(now)  # a camera whose frames are out is never still connecting
        if (seen := read_tag(picture.tag)) is not None:
            self._states.picture_taken(picture.captured_mono, seen, now)
        if picture.meta:
            self._judge_machine(read_meta(picture.meta)[1].get("state"), now)
        self._report_changes()
        (last_seq, last_mono), self._last_taken = self._last_taken, (seq, picture.captured_mono)
        self._for_lanes("last_frame_timestamp_seconds", picture.captured_utc_ms / 1000)
        if seq == last_seq + 1 and last_seq:
            for lane in self.lane_names:
                self._context.telemetry.observe(
                    "capture_interval_seconds", picture.captured_mono - last_mono, camera=lane
                )
        machines = self.pairing.picture(seq, arrival(picture), now)
        frames = self._cutter.cut(picture, self._context.session, seq, machines)
        return self.pictures.showing(frames)

    def set_machine(self, word: Word, now: float) -> None:
        """Take the machine's word: for the pictures that it belongs to, and for the watch."""
        self._trigger.heard(word.info)
        self._reported = word.info
        self.pairing.heard(word)
        self._judge_machine(None, now)
        self._report_changes()

    def _judge_machine(self, pictured: str | None, now: float) -> None:
        """The machine's own state counts; where it is unknown, a picture that shows it standing.

        A picture that shows it running says nothing about the silence after it.
        """
        if pictured is not None:
            standing = pictured in {state.value for state in STANDING}
            self._pictured_state = MachineState(pictured) if standing else MachineState.UNKNOWN
        reported = self._reported.state
        self._states.machine(
            self._pictured_state if reported is MachineState.UNKNOWN else reported, now
        )

    # --- reports ---------------------------------------------------------------------------------

    def status(self) -> CameraStatus:
        """What capture knows of this camera now."""
        return self._status(self._states.change)

    def drain_changes(self) -> list[CameraStatus]:
        """The changes since the last call, oldest first."""
        changes = list(self._changes)
        self._changes.clear()
        return changes

    def _status(self, change: Change) -> CameraStatus:
        info = self._states.info
        return CameraStatus(
            source_name=self.camera.name,
            lanes=self.lane_names,
            state=change.state,
            cause=change.cause.value,
            since_mono=change.since_mono,
            width_px=info.width_px,
            height_px=info.height_px,
            fps=info.fps,
            attempts=change.attempts,
            detail=change.detail,
        )

    def _report_changes(self) -> None:
        for change in self._states.drain():
            self._changes.append(self._status(change))
            for lane in self.lane_names:
                self._context.telemetry.count(
                    "camera_transitions", camera=lane, state=change.state, reason=change.cause
                )
                for state in CameraState:
                    self._context.telemetry.gauge(
                        "camera_state", float(state is change.state), camera=lane, state=state
                    )
            log_event(
                logger,
                LOG_LEVELS.get(change.state, logging.INFO),
                "camera_state",
                camera=self.camera.name,
                state=change.state.value,
                cause=change.cause.value,
                detail=change.detail,
            )

    def _for_lanes(self, gauge: str, value: float) -> None:
        for lane in self.lane_names:
            self._context.telemetry.gauge(gauge, value, camera=lane)

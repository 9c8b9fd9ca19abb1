"""State machine of one camera: an event and the time -> its state and what to do. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from agent.capture.fingerprint import Fingerprint
from agent.capture.frozen import FrozenDetector, Verdict, judged
from agent.capture.messages import Failed
from agent.capture.silence import Rhythm, silence_limit_s
from agent.capture.source import SourceInfo
from agent.capture.states import AWAY, Cause, check_edge
from agent.config import Camera
from agent.records import STANDING, CameraState, MachineState
from agent.supervision.restart import Backoff

START_GRACE_S = 5.0
"""For the start of a capture process, on top of the time-out of its open."""
STABLE_S = 10.0
"""A session that was live for this long has worked: the next failure starts at the first wait."""
FROZEN_RECONNECT_S = 10.0


class Action(enum.Enum):
    """What the caller must do now."""

    NONE = "none"
    SPAWN = "spawn"
    KILL = "kill"  # end the session's process, whatever it does


@dataclass(frozen=True, slots=True)
class Change:
    """One change of state."""

    state: CameraState
    cause: Cause
    since_mono: float
    detail: str
    attempts: int


class CameraStateMachine:
    """Fed by one caller with events and the time; each event may change the state.

    Every method that returns an ``Action`` asks for it once.
    """

    def __init__(self, camera: Camera, backoff: Backoff, now: float) -> None:
        self._camera = camera
        self._backoff = backoff
        self._rhythm = Rhythm()
        self._frozen = FrozenDetector(camera.frozen_after_s)
        self._machine = MachineState.UNKNOWN
        self._checked = False  # the detector has seen a picture of this session
        self._opened_mono: float | None = None
        self._newest_mono = now  # newest picture, or the moment from which silence counts
        self._session_mono: float | None = None
        self._retry_mono = now
        self.info = SourceInfo(0, 0, 0.0, live=True)
        self.change = Change(CameraState.CONNECTING, Cause.START, now, "", 0)
        self._changes: list[Change] = [self.change]

    def begin(self, now: float) -> None:
        """The camera is tried from now on: what the agent waited for before is no silence."""
        self._newest_mono = self._retry_mono = now
        self.change = replace(self.change, since_mono=now)

    @property
    def state(self) -> CameraState:
        """The state after the newest change."""
        return self.change.state

    @property
    def over(self) -> bool:
        """Whether nothing will ever come again."""
        return self.state in (CameraState.FAILED, CameraState.ENDED)

    def drain(self) -> list[Change]:
        """The changes since the last call, oldest first."""
        changes, self._changes = self._changes, []
        return changes

    # --- events of the session's process ----------------------------------------------------------

    def opened(self, info: SourceInfo, now: float) -> None:
        """The source is open; pictures are due from now on."""
        self.info = info
        self._opened_mono = self._newest_mono = now
        self._rhythm.declare(info.fps or self._camera.fps or 0.0)

    def delivered(
        self, count: int, newest_mono: float, now: float, arrived_mono: float | None = None
    ) -> None:
        """``count`` more pictures came, the newest captured at ``newest_mono``.

        Silence counts from its arrival, where that is later: a stream that is late is not silent.
        """
        self._rhythm.pictures(count, min(newest_mono, now))
        arrived_mono = newest_mono if arrived_mono is None else arrived_mono
        self._newest_mono = max(self._newest_mono, min(arrived_mono, now))
        if self._frozen.verdict is not Verdict.CHANGING and not self._checked:
            return  # frozen before this session: its first picture decides
        if self.state is CameraState.CONNECTING:
            self._to(CameraState.LIVE, Cause.FIRST_FRAME, now)
        elif self.state is CameraState.STALLED:
            self._to(CameraState.LIVE, Cause.FRAMES_RESUMED, now)

    def picture_taken(self, mono: float, seen: Fingerprint, now: float) -> None:
        """A picture was taken out of the ring: is it a new one?"""
        count = judged(self.info.live, self._camera.mode, self._machine)
        verdict = self._frozen.feed(mono, seen, count, self._rhythm.period_s)
        if self._opened_mono is None or self._session_mono is None or mono < self._session_mono:
            return  # what an earlier session left: it says nothing about this one
        self._checked = True
        if verdict is Verdict.CHANGING:
            if self.state is CameraState.FROZEN:
                standing = self._machine in STANDING
                self._to(CameraState.LIVE, Cause.IDLE if standing else Cause.PICTURE_CHANGED, now)
        elif self.state in (CameraState.CONNECTING, CameraState.LIVE, CameraState.STALLED):
            self._to(CameraState.FROZEN, Cause(verdict.value), now)

    def failed(self, message: Failed, now: float) -> Action:
        """The source reported an error and its process is ending."""
        detail = f"{message.reason}: {message.detail}" if message.detail else message.reason
        if message.permanent:
            return self._over(CameraState.FAILED, Cause.PERMANENT, now, detail)
        timed_out, failed = Cause.READ_TIMEOUT, Cause.READ_FAILED
        if self._opened_mono is None:
            timed_out, failed = Cause.OPEN_TIMEOUT, Cause.OPEN_FAILED
        cause = timed_out if message.reason == timed_out else failed
        if message.reason in {Cause.SIZE_CHANGED, *AWAY}:
            cause = Cause(message.reason)
        return self._back_off(cause, now, detail)

    def ended(self, now: float) -> Action:
        """A finite source was read to its end."""
        return self._over(CameraState.ENDED, Cause.END_OF_SOURCE, now, "")

    def died(self, how: str, now: float) -> Action:
        """The process ended without a message."""
        return self._back_off(Cause.CHILD_DIED, now, how)

    def supervision_failed(self, how: str, now: float) -> None:
        """Whoever watches has made a mistake: whatever it was, the next session starts after the
        back-off. The caller ends the process."""
        if self.state is CameraState.BACKOFF:
            self._retry_mono = now + self._backoff.next()
        elif not self.over:
            self._back_off(Cause.SUPERVISION_FAILED, now, how)

    # --- the machine's state and the time ---------------------------------------------------------

    def machine(self, state: MachineState, now: float) -> None:
        """The machine's state; while it stands, neither silence nor a still picture is a fault."""
        if state is self._machine:
            return
        self._machine = state
        self._newest_mono = max(self._newest_mono, now)  # silence counts from here
        silence_is_due = self._limit_s() is None and self.state is CameraState.STALLED
        if silence_is_due or (state in STANDING and self.state is CameraState.FROZEN):
            self._to(CameraState.LIVE, Cause.IDLE, now)

    def tick(self, beat_mono: float, now: float) -> Action:
        """Look at the clock; ``beat_mono``: the reading process's last heartbeat."""
        if self.over:
            return Action.NONE
        if self.state is CameraState.BACKOFF or self._session_mono is None:
            return self._start(now) if now >= self._retry_mono else Action.NONE
        if self._opened_mono is None:
            if now - self._session_mono > self._camera.open_timeout_s + START_GRACE_S:
                return self._back_off(Cause.OPEN_TIMEOUT, now, "the open did not return")
            return Action.NONE
        if now - max(beat_mono, self._opened_mono) > self._camera.read_timeout_s:
            return self._back_off(Cause.READ_TIMEOUT, now, "a read did not return")
        return self._watch(now)

    def _watch(self, now: float) -> Action:
        limit_s = self._limit_s()
        silent_s = now - self._newest_mono
        here_s = now - self.change.since_mono
        state = self.state
        if state is CameraState.STALLED:
            # While the machine's state is unknown, a long pause does not close a healthy handle.
            sure = limit_s is not None and limit_s == self._rhythm.shortest_silence_s
            if sure and here_s > self._camera.read_timeout_s:
                return self._back_off(Cause.SILENT_TOO_LONG, now, f"for {silent_s:.1f} s")
        elif state is CameraState.FROZEN and here_s > FROZEN_RECONNECT_S:
            return self._back_off(Cause.FROZEN_TOO_LONG, now, f"for {here_s:.1f} s")
        elif limit_s is not None and silent_s > limit_s:
            first = state is CameraState.CONNECTING
            cause = Cause.NO_FIRST_FRAME if first else Cause.SILENCE
            self._to(CameraState.STALLED, cause, now, f"no picture for {silent_s:.1f} s")
        elif state is CameraState.CONNECTING and silent_s > self._rhythm.shortest_silence_s:
            self._to(CameraState.LIVE, Cause.IDLE, now)
        elif state is CameraState.LIVE and here_s > STABLE_S:
            self._backoff.reset()
        return Action.NONE

    def _limit_s(self) -> float | None:
        camera = self._camera
        return silence_limit_s(self._rhythm, camera.mode, self._machine, camera.idle_after_s)

    # --- changes ---------------------------------------------------------------------------------

    def _start(self, now: float) -> Action:
        if self.state is CameraState.BACKOFF:
            self._to(CameraState.CONNECTING, Cause.RETRY, now)
        self._session_mono = now
        self._opened_mono = None
        self._checked = False
        self._rhythm.new_session()
        return Action.SPAWN

    def _back_off(self, cause: Cause, now: float, detail: str) -> Action:
        self._retry_mono = now + self._backoff.next()
        self._to(CameraState.BACKOFF, cause, now, detail)
        return Action.KILL

    def _over(self, state: CameraState, cause: Cause, now: float, detail: str) -> Action:
        self._to(state, cause, now, detail)
        return Action.KILL

    def _to(self, state: CameraState, cause: Cause, now: float, detail: str = "") -> None:
        check_edge(self.state, state, cause)
        self.change = Change(state, cause, now, detail, self._backoff.attempts)
        self._changes.append(self.change)

"""The state machine of a camera under a fake clock: every bar and every way to fail."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.capture.feed import CameraFeed, CaptureContext
from agent.capture.fingerprint import Fingerprint
from agent.capture.messages import Failed
from agent.capture.source import SourceInfo
from agent.capture.state_machine import STABLE_S, START_GRACE_S, Action, CameraStateMachine
from agent.capture.states import AWAY
from agent.records import CameraState, MachineState
from agent.supervision.restart import Backoff
from tests.capture.support import Ledger, camera

TICK_S = 0.05


def scene(level: int) -> np.ndarray:
    """Samples of a picture with something in it; ``level`` makes it brighter."""
    return (np.arange(1024) % 50 + level).astype(np.uint8)


class HighRng(random.Random):
    """Draws the top of every range, so that waits are known."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Run:
    """One camera's state machine with a clock and a well-behaved caller around it."""

    def __init__(self, fps: float = 20.0, live: bool = True, **keys: Any) -> None:
        self.now = 100.0
        self.camera = camera(fps=fps, **keys)
        backoff = Backoff(self.camera.backoff_first_s, self.camera.backoff_max_s, HighRng())
        self.automaton = CameraStateMachine(self.camera, backoff, self.now)
        self.info = SourceInfo(64, 48, fps, live)
        self.beat = 0.0
        self.actions: list[Action] = []
        self._picture = 0

    @property
    def state(self) -> CameraState:
        return self.automaton.state

    @property
    def cause(self) -> str:
        return self.automaton.change.cause.value

    def tick(self, beats: bool = True) -> Action:
        self.now += TICK_S
        if beats:
            self.beat = self.now
        action = self.automaton.tick(self.beat, self.now)
        if action is not Action.NONE:
            self.actions.append(action)
        return action

    def open(self) -> None:
        while self.tick() is not Action.SPAWN:
            pass
        self.automaton.opened(self.info, self.now)

    def wait(self, seconds: float, beats: bool = True) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.tick(beats)

    def wait_for(self, state: CameraState, limit_s: float, beats: bool = True) -> float:
        begin = self.now
        while self.state is not state:
            self.tick(beats)
            assert self.now - begin < limit_s, f"{self.state} ({self.cause}), not {state}"
        return self.now - begin

    def pictures(self, seconds: float, frozen: bool = False) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.picture(frozen)

    def picture(self, frozen: bool = False) -> None:
        self.tick()
        self._picture += 0 if frozen else 1
        grid = scene(self._picture % 200)
        self.automaton.delivered(1, self.now, self.now)
        self.automaton.picture_taken(self.now, Fingerprint(self._picture, grid), self.now)

    def states(self) -> list[str]:
        return [change.state.value for change in self.automaton.drain()]


def live(**keys: Any) -> Run:
    run = Run(**keys)
    run.open()
    run.pictures(2.0)
    assert run.state is CameraState.LIVE
    return run


def test_the_first_picture_makes_a_camera_live() -> None:
    run = Run()
    assert run.state is CameraState.CONNECTING
    run.open()
    assert run.state is CameraState.CONNECTING
    run.picture()
    assert (run.state, run.cause) == (CameraState.LIVE, "first_frame")
    assert run.states() == ["connecting", "live"]


@pytest.mark.parametrize(("fps", "bar_s"), [(30.0, 1.0), (280 / 60, 10 * 60 / 280)])
def test_silence_is_noticed_within_the_bar_while_the_machine_runs(fps: float, bar_s: float) -> None:
    run = Run(fps=fps, mode="triggered", read_timeout_s=5)
    run.automaton.machine(MachineState.RUNNING, run.now)
    run.open()
    for index in range(20):
        run.now += 1 / fps
        run.beat = run.now
        run.automaton.delivered(1, run.now, run.now)
        run.automaton.picture_taken(run.now, Fingerprint(index, scene(index)), run.now)
        run.automaton.tick(run.beat, run.now)
    assert run.wait_for(CameraState.STALLED, 10) <= bar_s + 2 * TICK_S
    assert run.cause == "silence"
    run.picture()
    assert (run.state, run.cause) == (CameraState.LIVE, "frames_resumed")


@pytest.mark.parametrize("state", [MachineState.STOPPED, MachineState.CHANGE_OVER])
def test_a_triggered_camera_on_a_stopped_machine_is_never_stalled(state: MachineState) -> None:
    run = live(mode="triggered")
    run.automaton.machine(state, run.now)
    run.wait(7200 * TICK_S)
    assert run.state is CameraState.LIVE
    assert run.actions == [Action.SPAWN]


def test_silence_counts_from_the_moment_the_machine_starts() -> None:
    run = live(mode="triggered")
    run.automaton.machine(MachineState.STOPPED, run.now)
    run.wait(100)
    run.automaton.machine(MachineState.RUNNING, run.now)
    run.tick()
    assert run.state is CameraState.LIVE
    assert run.wait_for(CameraState.STALLED, 5) >= 0.9


def test_a_stall_is_excused_when_the_machine_is_said_to_have_stopped() -> None:
    run = live(mode="triggered")
    run.automaton.machine(MachineState.RUNNING, run.now)
    run.wait_for(CameraState.STALLED, 5)
    run.automaton.machine(MachineState.STOPPED, run.now)
    assert (run.state, run.cause) == (CameraState.LIVE, "idle")


def test_without_a_machine_state_a_triggered_camera_may_pause_for_the_configured_time() -> None:
    run = live(mode="triggered", idle_after_s=30)
    run.wait(29)
    assert run.state is CameraState.LIVE
    run.wait(3)
    assert run.state is CameraState.STALLED
    run.wait(600)  # nobody knows whether it is a fault: the healthy handle is kept
    assert run.state is CameraState.STALLED
    assert run.actions == [Action.SPAWN]


def test_a_camera_that_opens_before_the_machine_runs_is_live_and_idle() -> None:
    run = Run(mode="triggered")
    run.open()
    run.wait_for(CameraState.LIVE, 3)
    assert run.cause == "idle"


def test_a_camera_that_opens_and_never_delivers_is_stalled_then_replaced() -> None:
    run = Run()
    run.open()
    assert run.wait_for(CameraState.STALLED, 3) <= 1.0 + 2 * TICK_S
    assert run.cause == "no_first_frame"
    run.wait_for(CameraState.BACKOFF, 5)
    assert run.cause == "silent_too_long"
    assert run.actions[-1] is Action.KILL


def test_a_read_that_never_returns_is_stalled_first_and_then_killed() -> None:
    run = live(read_timeout_s=4.0)
    begin = run.now
    assert run.wait_for(CameraState.STALLED, 3, beats=False) <= 1.0 + 2 * TICK_S
    run.wait_for(CameraState.BACKOFF, 6, beats=False)
    assert run.now - begin <= 4.0 + 2 * TICK_S
    assert run.cause == "read_timeout"
    assert run.actions[-1] is Action.KILL
    run.open()
    run.picture()
    assert run.state is CameraState.LIVE


def test_an_open_that_never_returns_is_killed() -> None:
    run = Run(open_timeout_s=2.0)
    run.tick()
    run.wait_for(CameraState.BACKOFF, 20, beats=False)
    assert run.cause == "open_timeout"
    assert run.now - 100.0 <= 2.0 + START_GRACE_S + 3 * TICK_S


def test_errors_name_their_cause_and_back_off() -> None:
    run = Run()
    run.tick()
    action = run.automaton.failed(Failed("open_failed", "refused", False), run.now)
    assert action is Action.KILL
    assert (run.state, run.cause) == (CameraState.BACKOFF, "open_failed")
    assert run.automaton.change.detail == "open_failed: refused"
    run.open()
    run.picture()
    run.automaton.failed(Failed("read_failed", "", False), run.now)
    assert (run.state, run.cause) == (CameraState.BACKOFF, "read_failed")
    for opens in (True, False):  # while it was read; and again when it is opened
        if opens:
            run.open()
        else:
            run.wait_for(CameraState.CONNECTING, 5)
        run.automaton.failed(Failed("size_changed", "48 x 48 now", False), run.now)
        assert (run.state, run.cause) == (CameraState.BACKOFF, "size_changed")
    run.open()
    run.automaton.died("killed by SIGKILL", run.now)
    assert (run.state, run.cause) == (CameraState.BACKOFF, "child_died")


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("reason", sorted(AWAY))
def test_a_source_that_can_ask_its_camera_names_the_cause(reason: str, opened: bool) -> None:
    run = Run()
    if opened:
        run.open()
        run.picture()
    else:
        run.tick()
    assert run.automaton.failed(Failed(reason, "10.0.0.21", False), run.now) is Action.KILL
    assert (run.state, run.cause) == (CameraState.BACKOFF, reason)


def test_a_stream_that_is_late_is_not_silent() -> None:
    run = Run(fps=5.0)
    run.open()
    for _ in range(100):
        run.wait(0.2)
        run.automaton.delivered(1, run.now - 1.9, run.now, run.now)
        assert run.state is CameraState.LIVE
    run.wait_for(CameraState.STALLED, 2.5)


def test_a_permanent_error_is_never_tried_again() -> None:
    run = Run()
    run.tick()
    assert run.automaton.failed(Failed("region", "lane 'left'", True), run.now) is Action.KILL
    run.wait(1000)
    assert run.state is CameraState.FAILED
    assert run.actions == [Action.SPAWN]


def test_a_source_that_was_read_to_its_end_is_not_started_again() -> None:
    run = live()
    assert run.automaton.ended(run.now) is Action.KILL
    run.wait(1000)
    assert run.state is CameraState.ENDED
    assert run.automaton.over


def test_waits_grow_with_each_failure_and_a_session_that_worked_resets_them() -> None:
    run = Run(backoff_first_s=1.0, backoff_max_s=60.0)

    def wait_after_failure() -> float:
        run.automaton.died("", run.now)
        begin = run.now
        run.open()
        return run.now - begin

    run.open()
    waits = [wait_after_failure() for _ in range(3)]
    assert waits == pytest.approx([1.0, 2.0, 4.0], abs=2 * TICK_S)
    run.pictures(STABLE_S / 2)
    assert wait_after_failure() == pytest.approx(8.0, abs=2 * TICK_S)
    run.pictures(STABLE_S + 1)
    assert wait_after_failure() == pytest.approx(1.0, abs=2 * TICK_S)


def test_a_mistake_of_whoever_watches_leads_to_a_start_after_the_back_off() -> None:
    run = live(backoff_first_s=1.0, backoff_max_s=60.0)
    run.automaton.supervision_failed("OSError: in a kill", run.now)
    assert (run.state, run.cause) == (CameraState.BACKOFF, "supervision_failed")
    assert run.automaton.change.detail == "OSError: in a kill"
    changes = len(run.automaton.drain())
    run.automaton.supervision_failed("again", run.now)
    assert (run.state, run.automaton.drain()) == (CameraState.BACKOFF, [])
    assert changes
    begin = run.now
    run.open()
    assert run.now - begin == pytest.approx(2.0, abs=2 * TICK_S), "it waits longer each time"
    run.automaton.ended(run.now)
    run.automaton.supervision_failed("too late", run.now)
    assert run.state is CameraState.ENDED


def test_a_frozen_picture_is_noticed_within_three_seconds() -> None:
    run = live()
    begin = run.now
    while run.state is not CameraState.FROZEN:
        run.picture(frozen=True)
        assert run.now - begin <= 3.0
    assert run.cause == "identical"
    run.picture()
    assert (run.state, run.cause) == (CameraState.LIVE, "picture_changed")


def test_a_camera_that_stays_frozen_gets_a_new_handle_and_is_not_live_in_between() -> None:
    run = live()
    run.pictures(3.0, frozen=True)
    assert run.state is CameraState.FROZEN
    run.states()
    while run.state is not CameraState.BACKOFF:
        run.picture(frozen=True)
    assert run.cause == "frozen_too_long"
    run.open()
    run.pictures(1.0, frozen=True)
    assert run.states() == ["backoff", "connecting", "frozen"]
    run.picture()
    assert run.state is CameraState.LIVE


def test_a_still_picture_is_no_fault_while_the_machine_stands() -> None:
    run = live()
    run.automaton.machine(MachineState.STOPPED, run.now)
    run.pictures(60.0, frozen=True)
    assert run.state is CameraState.LIVE


def test_a_frozen_camera_is_excused_when_the_machine_stops() -> None:
    run = live()
    run.pictures(4.0, frozen=True)
    run.automaton.machine(MachineState.STOPPED, run.now)
    assert (run.state, run.cause) == (CameraState.LIVE, "idle")
    run.pictures(30.0, frozen=True)
    assert run.state is CameraState.LIVE


def test_a_file_may_show_one_picture_for_ever() -> None:
    run = live(live=False)
    run.pictures(30.0, frozen=True)
    assert run.state is CameraState.LIVE


def test_a_frozen_camera_that_falls_silent_is_stalled() -> None:
    run = live()
    run.pictures(4.0, frozen=True)
    run.wait_for(CameraState.STALLED, 3)


EVENTS = st.sampled_from(
    ["picture", "frozen", "quiet", "hang", "fail", "fatal", "die", "end", "open", "late", "defect"]
    + [state.value for state in MachineState]
)


@settings(max_examples=200)
@given(
    events=st.lists(st.tuples(EVENTS, st.integers(1, 80)), max_size=60),
    mode=st.sampled_from(["triggered", "free-run"]),
    first_s=st.floats(0.01, 5),
)
def test_no_order_of_events_leaves_the_table_or_the_protocol(
    events: list[tuple[str, int]], mode: str, first_s: float
) -> None:
    """IllegalEdge would be raised; and a child is spawned only where none is."""
    run = Run(mode=mode, backoff_first_s=first_s, backoff_max_s=30.0)
    child = opened = False

    def after(action: Action) -> None:
        nonlocal child, opened
        if action is Action.SPAWN:
            assert not child
            child, opened = True, False
        elif action is Action.KILL:
            assert child
            child = False

    for event, times in events:
        if event in list(MachineState):
            run.automaton.machine(MachineState(event), run.now)
            continue
        if event == "defect":  # of whoever feeds it, who ends the process whatever it does
            run.automaton.supervision_failed("a defect", run.now)
            child = False
            continue
        if event in ("fail", "fatal", "die", "end"):
            if child:
                message = Failed("x", "", event == "fatal")
                if event in ("fail", "fatal"):
                    after(run.automaton.failed(message, run.now))
                else:
                    after(
                        run.automaton.died("", run.now)
                        if event == "die"
                        else run.automaton.ended(run.now)
                    )
            continue
        for _ in range(times):
            after(run.tick(beats=event != "hang"))
            if event == "open" and child and not opened:
                run.automaton.opened(run.info, run.now)
                opened = True
            if event == "late":  # a picture of an earlier session, taken after its end
                run.automaton.picture_taken(run.now, Fingerprint(0, scene(0)), run.now)
            if event in ("picture", "frozen") and child and opened:
                run._picture += event == "picture"
                grid = scene(run._picture % 200)
                run.automaton.delivered(1, run.now, run.now)
                run.automaton.picture_taken(run.now, Fingerprint(run._picture, grid), run.now)
    assert child == (
        run.state
        in (CameraState.CONNECTING, CameraState.LIVE, CameraState.STALLED, CameraState.FROZEN)
        and bool(run.actions)
    )


def test_what_the_agent_waited_for_before_the_first_turn_is_no_silence() -> None:
    """A start that waited 35 s for its disk told that the camera was lost."""
    clock = [0.0]
    feed = CameraFeed(camera(), CaptureContext(Ledger(), lambda: clock[0], "s"), 0)
    clock[0] = 35.0
    feed.begin(clock[0])
    assert feed.status().since_mono == 35.0
    assert [status.since_mono for status in feed.drain_changes()] == [35.0]

"""Real processes: what a parent can rely on from its children."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.supervision.child import Child, ChildBusy, ChildGone, ChildSpec, spawn
from tests.support import wait_until

TARGETS = "tests.supervision.targets"
ROOT = Path(__file__).parents[2]
Start = Callable[..., Child]


@pytest.fixture
def start() -> Iterator[Start]:
    """Spawns children that are gone when the test is over."""
    children: list[Child] = []

    def start_child(function: str, **spec: Any) -> Child:
        children.append(spawn(ChildSpec("test", f"{TARGETS}:{function}", **spec)))
        return children[-1]

    yield start_child
    for child in children:
        child.kill()


def next_message(child: Child, timeout_s: float = 20.0) -> Any:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if messages := child.receive():
            assert len(messages) == 1
            return messages[0]
        time.sleep(0.005)
    pytest.fail("no message")


def state_of(pid: int) -> str:
    """One letter of /proc/PID/stat, or 'gone'."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def test_messages_go_both_ways_in_order(start: Start) -> None:
    child = start("echo")
    for number in range(50):
        child.send({"number": number})
    received: list[object] = []
    wait_until(lambda: received.extend(child.receive()) or len(received) == 50)
    assert received == [{"number": number} for number in range(50)]


def test_a_stopped_in_order_child_exits_with_zero(start: Start) -> None:
    child = start("echo")
    child.send("x")
    next_message(child)
    assert child.alive()
    assert child.rss_bytes() > 1_000_000
    assert child.stop(20)
    assert child.exit_code == 0
    assert not child.alive()
    assert child.rss_bytes() == 0


def test_a_child_that_ignores_the_wish_to_stop_is_killed(start: Start) -> None:
    child = start("never_reads")
    assert not child.stop(0.2)
    assert child.exit_code == -signal.SIGKILL
    assert state_of(child.pid) == "gone"


def test_a_child_sees_only_what_it_is_given(start: Start) -> None:
    child = start("facts", args=("a", 1), env={"PITWATCH_TEST": "here"})
    facts = next_message(child)
    assert facts["args"] == ("a", 1)
    assert facts["environment"] == "here"
    assert facts["stdin"] == ""
    assert facts["sigint_ignored"]
    assert facts["group"] == facts["pid"] != os.getpgid(0)
    assert facts["session"] == os.getsid(0)
    assert not facts["torch"]
    assert not facts["numpy"]


@pytest.mark.parametrize(
    ("priority", "scheduler", "extra_nice"), [("low", os.SCHED_OTHER, 10), ("idle", None, None)]
)
def test_priority_is_lowered_before_the_target_runs(
    start: Start, priority: str, scheduler: int | None, extra_nice: int | None
) -> None:
    facts = next_message(start("facts", priority=priority))
    if priority == "idle":
        assert facts["scheduler"] == os.SCHED_IDLE or facts["nice"] == 19
    else:
        assert facts["scheduler"] == scheduler
        assert facts["nice"] == min(19, os.nice(0) + (extra_nice or 0))


def test_descriptors_arrive_under_their_names(start: Start) -> None:
    read, write = os.pipe()
    child = start("write_fd", fds={"pipe": write})
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b"through the pipe"
    wait_until(lambda: not child.alive())


def test_an_exception_ends_the_child_and_is_described_without_credentials(start: Start) -> None:
    child = start("raises")
    with pytest.raises(ChildGone):
        wait_until(lambda: child.receive() and False, 20)
    wait_until(lambda: not child.alive())
    assert child.exit_code == 1
    assert child.describe_exit() == "exit code 1: ValueError: cannot open rtsp://***@camera/1"


def test_a_target_that_does_not_exist_is_described(start: Start) -> None:
    child = start("no_such_function")
    wait_until(lambda: not child.alive())
    assert "no_such_function" in child.describe_exit()


def test_output_that_nobody_reads_never_stops_a_child(start: Start) -> None:
    child = start("chatters")
    end = time.monotonic() + 30
    # Only the control socket is read here: the pipe stays full all the time.
    while time.monotonic() < end:
        try:
            assert child._control.recv(1, socket.MSG_PEEK)
            break
        except BlockingIOError:
            time.sleep(0.01)
    assert next_message(child) == "done"
    assert any("chatter" in line for line in child.output_tail())


def test_a_child_stopped_within_a_large_message_does_not_hold_its_parent(start: Start) -> None:
    child = start("floods", args=8_000_000)
    wait_until(lambda: _readable(child), 20)
    os.kill(child.pid, signal.SIGSTOP)
    wait_until(lambda: state_of(child.pid) == "T")
    begin = time.monotonic()
    assert child.receive() == []
    assert child.receive() == []
    assert time.monotonic() - begin < 5
    os.kill(child.pid, signal.SIGCONT)
    assert len(next_message(child)) == 8_000_000


def test_sending_to_a_child_that_does_not_read_never_waits_and_ends_in_an_error(
    start: Start,
) -> None:
    child = start("idle")
    next_message(child)
    os.kill(child.pid, signal.SIGSTOP)
    begin = time.monotonic()
    for _ in range(20):
        child.send(bytes(500_000))
    with pytest.raises(ChildBusy):
        child.send(bytes(15_000_000))
    assert time.monotonic() - begin < 10
    assert not child.flush()


@pytest.mark.parametrize("function", ["stuck_native", "idle"])
@pytest.mark.parametrize("stopped", [False, True])
def test_a_hung_or_stopped_child_is_killed_and_reaped(
    start: Start, function: str, stopped: bool
) -> None:
    child = start(function)
    next_message(child)
    if stopped:
        os.kill(child.pid, signal.SIGSTOP)
        wait_until(lambda: state_of(child.pid) == "T")
        assert child.alive()
    assert child.kill()
    assert child.exit_code == -signal.SIGKILL
    assert child.describe_exit() == "killed by SIGKILL"
    assert state_of(child.pid) == "gone"


def test_signals_to_end_leave_the_child_to_its_parent(start: Start) -> None:
    child = start("echo")
    child.send(1)
    next_message(child)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(child.pid, number)
    child.send(2)
    assert next_message(child) == 2


def test_a_killed_child_is_noticed_at_the_next_receive(start: Start) -> None:
    child = start("echo")
    child.send(1)
    next_message(child)
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(ChildGone):
        wait_until(lambda: child.receive() and False, 20)
    with pytest.raises(ChildGone):
        child.send(2)


def test_killing_the_parent_leaves_no_child_whatever_they_do() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.supervision.targets"]
        + [f"{TARGETS}:{name}" for name in ("idle", "stuck_native", "idle")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert parent.stdout is not None
    try:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 3
        os.kill(pids[2], signal.SIGSTOP)
        wait_until(lambda: state_of(pids[2]) == "T")
        time.sleep(0.2)  # the second child enters its native sleep
        assert all(state_of(pid) in "SRT" for pid in pids)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    wait_until(lambda: all(state_of(pid) in ("gone", "Z") for pid in pids), 10, "orphans")


def test_a_closed_control_socket_ends_a_child_that_never_looks(start: Start) -> None:
    child = start("idle")
    next_message(child)
    child._control.close()
    wait_until(lambda: not child.alive(), 10)


def test_a_child_dies_with_the_thread_that_spawned_it() -> None:
    children: list[Child] = []

    def run() -> None:
        children.append(spawn(ChildSpec("test", f"{TARGETS}:idle")))
        next_message(children[0])

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    wait_until(lambda: not children[0].alive(), 10)
    assert children[0].exit_code == -signal.SIGKILL
    children[0].kill()


def _readable(child: Child) -> bool:
    try:
        return bool(child._control.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False

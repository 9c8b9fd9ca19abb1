"""Workers stand still while the live path has a picture in hand, and never for long."""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Iterator

import pytest

from agent.supervision.child import Child, ChildSpec, spawn
from agent.supervision.live_priority import HOLD_S, LivePriority, PauseForLive
from tests.support import wait_until


class Computing:
    """A child that counts as fast as it can, and gives way; its count is in shared memory."""

    def __init__(self, live: LivePriority) -> None:
        fd = os.memfd_create("count", os.MFD_CLOEXEC)
        os.ftruncate(fd, 8)
        self._count = memoryview(mmap.mmap(fd, 8)).cast("Q")
        fds = {"live": live.fd, "count": fd}
        self.child: Child = spawn(ChildSpec("test", "tests.supervision.targets:counts", fds=fds))
        os.close(fd)
        wait_until(lambda: self.count > 0, 20, "the child computes")

    @property
    def count(self) -> int:
        return self._count[0]


@pytest.fixture
def live() -> LivePriority:
    return LivePriority()


@pytest.fixture
def computing(live: LivePriority) -> Iterator[Computing]:
    made = Computing(live)
    yield made
    made.child.kill()


def stood_still(computing: Computing) -> bool:
    """Whether the count did not move between two looks 5 ms apart."""
    before = computing.count
    time.sleep(0.005)
    return computing.count == before


def test_a_computing_process_stands_still_while_the_machine_is_claimed(
    live: LivePriority, computing: Computing
) -> None:
    still = 0
    for _ in range(20):
        with live.claimed():
            time.sleep(0.01)  # the time within which it must have noticed
            still += stood_still(computing)
        before = computing.count
        wait_until(lambda: computing.count > before, 5, "it goes on")  # noqa: B023
    assert still >= 15  # on a crowded machine the 10 ms may pass before it ever ran


def test_a_claim_that_nobody_ends_holds_nobody_up_for_long(
    live: LivePriority, computing: Computing
) -> None:
    claim = live.claimed()
    claim.__enter__()
    time.sleep(HOLD_S)
    before = computing.count
    wait_until(lambda: computing.count > before, 5, "it goes on without being told")
    claim.__exit__(None, None, None)


def test_a_claim_ends_with_an_error_inside_it(live: LivePriority, computing: Computing) -> None:
    with pytest.raises(ValueError, match="a bad picture"), live.claimed():
        raise ValueError("a bad picture")
    before = computing.count
    wait_until(lambda: computing.count > before, 5, "it goes on")


def test_of_a_start_no_more_than_its_share_is_paused(live: LivePriority) -> None:
    """Beside a live path that always has a picture in hand no worker would ever be ready."""
    over = threading.Event()

    def always() -> None:
        while not over.is_set():
            with live.claimed():
                time.sleep(HOLD_S / 2)

    claims = threading.Thread(target=always)
    claims.start()
    naps = list[float]()

    def nap(seconds: float) -> None:
        began = time.monotonic()
        time.sleep(seconds)
        naps.append(time.monotonic() - began)

    pause = PauseForLive(live.fd, sleep=nap)
    began = time.monotonic()
    with pause.meanwhile(0.5):
        while time.monotonic() < began + 1.0:
            pass  # between two of these it is paused
    lasted_s = time.monotonic() - began
    over.set()
    claims.join()
    assert sum(naps) > HOLD_S  # it does pause
    assert sum(naps) - max(naps) <= HOLD_S + 0.5 * lasted_s

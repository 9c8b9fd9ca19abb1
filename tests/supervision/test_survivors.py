"""Children whose end fails: the next one starts all the same, and they are ended once more."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.supervision.child import Child, ChildSpec, spawn
from agent.supervision.survivors import SURVIVORS_MAX, Survivors
from tests.support import wait_until


class NoKill:
    """The first ``times`` attempts to end a child fail; the others are as ever."""

    def __init__(self, times: int) -> None:
        self.left = times
        self._kill = Child.kill

    def __call__(self, child: Child, wait_s: float = 2.0) -> bool:
        self.left -= 1
        if self.left >= 0:
            raise OSError(errno.EIO, "Input/output error")
        return self._kill(child, wait_s)


@pytest.fixture
def child() -> Iterator[Child]:
    child = spawn(ChildSpec("test", "tests.supervision.targets:echo"))
    yield child
    child.kill()


def refuse_kills(monkeypatch: pytest.MonkeyPatch, times: int) -> NoKill:
    kills = NoKill(times)
    monkeypatch.setattr(Child, "kill", lambda child, wait_s=2.0: kills(child, wait_s))
    return kills


def test_a_child_that_was_ended_is_forgotten(child: Child) -> None:
    survivors = Survivors()
    assert survivors.end(child) == "killed by SIGKILL"
    assert len(survivors) == 0


def test_a_child_whose_end_failed_is_ended_the_next_time(
    child: Child, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refuse_kills(monkeypatch, 2)
    survivors = Survivors()
    assert survivors.end(child) == "not dead yet"
    survivors.again()
    assert (len(survivors), child.alive()) == (1, True)
    wait_until(lambda: survivors.again() or len(survivors) == 0, 20, "it is dead")
    assert not Path(f"/proc/{child.pid}").exists()
    told = [record.getMessage() for record in caplog.records]
    assert told.count("child_not_killed") == 1, "the second time says nothing new"


def test_a_child_that_died_by_itself_meanwhile_is_forgotten(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_kills(monkeypatch, 1)
    survivors = Survivors()
    survivors.end(child)
    os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: survivors.again() or len(survivors) == 0, 20, "forgotten")


def test_no_more_are_started_once_too_many_cannot_be_ended(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = refuse_kills(monkeypatch, 10 * SURVIVORS_MAX)
    survivors = Survivors()
    for _ in range(SURVIVORS_MAX):
        survivors.check_room()
        survivors.end(child)
    assert len(survivors) == SURVIVORS_MAX
    with pytest.raises(ChildProcessError, match=f"{SURVIVORS_MAX} processes cannot be ended"):
        survivors.check_room()
    kills.left = 0
    wait_until(lambda: survivors.again() or len(survivors) == 0, 20, "ended")
    survivors.check_room()

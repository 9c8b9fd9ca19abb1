"""A child that is kept running: what replaces it, and what a defect of its keeper costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.supervision.child import Child, ChildBusy, ChildSpec
from agent.supervision.supervised import SupervisedChild
from tests.publishing.examples import Books
from tests.supervision.test_survivors import refuse_kills
from tests.support import wait_until

START_S = 30.0
SPEC = ChildSpec("kept", "tests.supervision.targets:echo")


class Keeper:
    """One child in a thread of its own, as the broker and the HTTP server keep theirs."""

    def __init__(self) -> None:
        self.books = Books()
        self.kept = SupervisedChild(
            "kept", "embedded_broker_lost", "broker_restarts", self.books, time.monotonic
        )
        self.spec: Callable[[], ChildSpec] = lambda: SPEC
        self.turn: Callable[[Child], str] = self.wait
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self, child: Child) -> str:
        time.sleep(0.02)
        if self.kept.receive(child):
            self.kept.serving.set()
        return ""

    def _run(self) -> None:
        self.kept.keep(lambda: self.spec(), lambda child: self.turn(child), self._stopping)
        self.kept.end()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(START_S)
        assert not self._thread.is_alive()


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    keeper = Keeper()
    wait_until(lambda: keeper.kept.pid != 0, START_S, "a child")
    yield keeper
    keeper.stop()


def busy(_child: Child) -> str:
    raise ChildBusy("full")


def defect(_child: Child) -> str:
    raise MemoryError


@pytest.mark.parametrize(
    ("turn", "reason"), [(busy, "silent"), (defect, "failed"), (lambda _child: "memory", "memory")]
)
def test_a_child_is_replaced_and_the_reason_counted(
    turn: Callable[[Child], str], reason: str, keeper: Keeper
) -> None:
    first = keeper.kept.pid
    keeper.turn = turn
    wait_until(lambda: keeper.kept.restarts >= 1, START_S, "replaced")
    keeper.turn = keeper.wait
    wait_until(lambda: keeper.kept.pid not in (0, first), START_S, "another child")
    assert keeper.books.total("broker_restarts", reason) == keeper.kept.restarts
    assert keeper.kept.failure.startswith(f"{reason}: killed by SIGKILL")


def test_a_child_that_exits_is_replaced(keeper: Keeper) -> None:
    child = keeper.kept.child
    assert child is not None
    child.ask_to_stop()
    wait_until(lambda: keeper.kept.restarts == 1, START_S, "replaced")
    assert keeper.books.total("broker_restarts", "exited") == 1
    assert not keeper.kept.serving.is_set()


def test_a_defect_at_the_start_of_a_child_does_not_end_its_keeper(keeper: Keeper) -> None:
    def no_spec() -> ChildSpec:
        raise MemoryError

    keeper.spec = no_spec
    assert keeper.kept.child is not None
    keeper.kept.child.ask_to_stop()
    wait_until(lambda: keeper.books.total("broker_restarts", "failed") >= 1, START_S, "no start")
    keeper.spec = lambda: SPEC
    wait_until(lambda: keeper.kept.pid != 0, START_S, "a child")


def test_a_child_whose_end_fails_is_replaced_and_ended_later(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_kills(monkeypatch, 1)
    first = keeper.kept.pid
    keeper.turn = lambda _child: "memory"
    wait_until(lambda: keeper.kept.restarts >= 1, START_S, "replaced")
    keeper.turn = keeper.wait
    wait_until(lambda: keeper.kept.pid not in (0, first), START_S, "another child")
    wait_until(lambda: not Path(f"/proc/{first}").exists(), START_S, "the first is dead")


def test_an_end_that_fails_is_no_error_of_the_shutdown(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    child = keeper.kept.child
    assert child is not None
    refuse_kills(monkeypatch, 1)
    keeper.stop()
    assert keeper.kept.child is None
    assert "supervision_failed" in [record.getMessage() for record in caplog.records]
    wait_until(lambda: not child.alive(), START_S, "it ended with the thread that kept it")

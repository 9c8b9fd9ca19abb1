"""What the service manager hears, on a real datagram socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.supervision.notify import Notifier, Watchdog, watchdog_s


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def heard(manager: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(manager.recv(4096).decode())
        except BlockingIOError:
            return messages


def notifier(manager: socket.socket, **more: str) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": str(manager.getsockname()), **more})


def test_the_manager_hears_each_word(manager: socket.socket) -> None:
    it = notifier(manager)
    it.ready("started")
    it.status("well")
    it.alive()
    it.stopping()
    assert heard(manager) == ["READY=1\nSTATUS=started", "STATUS=well", "WATCHDOG=1", "STOPPING=1"]


def test_an_abstract_address_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0pitwatch-test-notify")
        listener.setblocking(False)
        Notifier({"NOTIFY_SOCKET": "@pitwatch-test-notify"}).alive()
        assert heard(listener) == ["WATCHDOG=1"]


def test_without_a_manager_nothing_happens() -> None:
    Notifier({}).ready("started")
    assert Notifier({"WATCHDOG_USEC": "5000000"}).watchdog_s == 0.0


def test_a_manager_that_has_gone_is_no_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).alive()
    assert [record.message for record in caplog.records] == ["notify_failed"]


def test_a_manager_that_does_not_read_holds_nobody_up(manager: socket.socket) -> None:
    it = notifier(manager)
    for _ in range(5000):  # far more than a socket's buffer takes
        it.alive()
    assert len(heard(manager)) < 5000


@pytest.mark.parametrize(
    ("environment", "limit_s"),
    [
        ({"WATCHDOG_USEC": "10000000"}, 10.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "7"}, 10.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "8"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_limit_is_ours_alone(environment: dict[str, str], limit_s: float) -> None:
    assert watchdog_s(environment, 7) == limit_s


def test_the_watchdog_starves_while_a_loop_stands_and_is_fed_again(manager: socket.socket) -> None:
    reasons: tuple[str, ...] = ()
    watchdog = Watchdog(notifier(manager, WATCHDOG_USEC="8000000"), lambda: reasons)
    for second in range(10):
        watchdog.tick(float(second))
    assert heard(manager) == ["WATCHDOG=1"] * 5, "at 0, 2, 4, 6 and 8 s"
    reasons = ("loop live has not moved for 9.0 s (limit 5 s)",)
    for second in range(10, 30):
        watchdog.tick(float(second))
    assert heard(manager) == ["STATUS=loop live has not moved for 9.0 s (limit 5 s)"]
    reasons = ()
    watchdog.tick(31.0)
    assert heard(manager) == ["WATCHDOG=1", "STATUS=all loops move"]

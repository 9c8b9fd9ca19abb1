"""The socket by which a command asks the running agent."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.supervision import control
from agent.supervision.control import AT_A_TIME, NAME, ControlError, ControlServer, ask


def echo(request: Mapping[str, Any], by: str) -> Mapping[str, object]:
    return {"word": request.get("word"), "by": by}


def fail(_request: Mapping[str, Any], _by: str) -> Mapping[str, object]:
    raise LookupError("nothing there")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Longer than an address of a socket may be."""
    long = tmp_path / ("state" * 25)
    long.mkdir()
    return long


@pytest.fixture
def server(folder: Path) -> Iterator[ControlServer]:
    one = ControlServer(folder, {"echo": echo, "fail": fail})
    one.start()
    yield one
    one.stop()


def raw(folder: Path, sent: bytes) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        with control._short(folder) as place:
            connection.connect(place)
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = json.loads(control._line(connection, 100_000))
    assert isinstance(answer, dict)
    return answer


@pytest.mark.usefixtures("server")
def test_the_answer_comes_back_and_who_asked_is_known(folder: Path) -> None:
    answer = ask(folder, {"command": "echo", "word": "peach ⌀"}, 30)
    assert answer["word"] == "peach ⌀"
    assert answer["by"].startswith(f"uid {os.getuid()}")


@pytest.mark.usefixtures("server")
def test_only_its_own_user_may_ask(folder: Path) -> None:
    mode = (folder / NAME).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"\n", "this is no request"),
        (b"[1]\n", "this is no request"),
        (b"[" * 30_000 + b"\n", "this is no request"),
        (b'{"command": ["echo"]}\n', "this is no request"),
        (b'{"command": "reboot"}\n', "no such command; there are: echo, fail"),
        (b'{"word": 1}\n', "no such command"),
        (b'{"command": "echo"}', "this is no request"),  # cut off
        (b"x" * (control.REQUEST_LIMIT_BYTES + 10) + b"\n", "this is no request"),
        (b'{"command": "fail"}\n', "LookupError: nothing there"),
    ],
)
def test_whatever_is_no_request_is_told_so_and_the_next_is_answered(
    folder: Path, sent: bytes, error: str
) -> None:
    assert raw(folder, sent)["error"].startswith(error)
    assert ask(folder, {"command": "echo", "word": 1}, 30)["word"] == 1


def test_more_at_a_time_are_told_to_come_again(folder: Path) -> None:
    go, at_work = threading.Event(), threading.Semaphore(0)

    def wait(_request: Mapping[str, Any], _by: str) -> Mapping[str, object]:
        at_work.release()
        go.wait(30)
        return {}

    server = ControlServer(folder, {"wait": wait})
    server.start()
    asking = [
        threading.Thread(target=ask, args=(folder, {"command": "wait"}, 60), daemon=True)
        for _ in range(AT_A_TIME)
    ]
    for one in asking:
        one.start()
    for _ in asking:
        assert at_work.acquire(timeout=30)
    assert "try again" in ask(folder, {"command": "wait"}, 30)["error"]
    go.set()
    for one in asking:
        one.join(30)
    server.stop()


def test_an_agent_that_does_not_run_is_told(folder: Path, tmp_path: Path) -> None:
    for place in (folder, tmp_path / "nowhere"):
        with pytest.raises(ControlError, match="no agent runs with state_dir"):
            ask(place, {"command": "echo"}, 1)


def test_a_socket_that_a_killed_agent_left_is_replaced_and_removed_at_the_end(
    folder: Path,
) -> None:
    with socket.socket(socket.AF_UNIX) as left, control._short(folder) as place:
        left.bind(place)
    with pytest.raises(ControlError, match="no agent runs"):
        ask(folder, {"command": "echo"}, 1)
    server = ControlServer(folder, {"echo": echo})
    server.start()
    assert ask(folder, {"command": "echo", "word": 2}, 30)["word"] == 2
    server.stop()
    assert not (folder / NAME).exists()


def test_one_that_does_not_answer_in_time_is_told(folder: Path) -> None:
    go = threading.Event()

    def wait(_request: Mapping[str, Any], _by: str) -> Mapping[str, object]:
        go.wait(30)
        return {}

    server = ControlServer(folder, {"wait": wait})
    server.start()
    with pytest.raises(ControlError, match=r"not answered within 0\.1 s"):
        ask(folder, {"command": "wait"}, 0.1)
    go.set()
    server.stop()


def test_what_answers_and_is_no_agent_is_told(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other, control._short(folder) as place:
        other.bind(place)
        other.listen()

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"[1, 2]\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(ControlError, match="no answer"):
            ask(folder, {"command": "echo"}, 30)
        thread.join(30)


def test_a_folder_that_takes_no_socket_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        ControlServer(tmp_path / "nowhere", {})

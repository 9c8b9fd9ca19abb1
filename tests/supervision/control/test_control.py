"""Commands of the same machine ask the running agent, over a real socket."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from agent.supervision.control import server as server_module
from agent.supervision.control.client import ask
from agent.supervision.control.protocol import (
    ANSWER_LIMIT_BYTES,
    REQUEST_LIMIT_BYTES,
    SOCKET,
    ControlError,
    NotRunningError,
    Peer,
    RefusedError,
)
from agent.supervision.control.server import ControlServer, Handler
from agent.telemetry import NullTelemetry

LIMIT_S = 30.0


class Counted(NullTelemetry):
    def __init__(self) -> None:
        self.results: list[tuple[str, str]] = []
        self.changed = threading.Condition()

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        super().count(name, amount, **labels)
        with self.changed:
            self.results.append((labels["command"], labels["result"]))
            self.changed.notify_all()

    def wait_for(self, result: tuple[str, str]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: result in self.results, LIMIT_S), self.results


Start = Callable[..., ControlServer]


@pytest.fixture
def telemetry() -> Counted:
    return Counted()


@pytest.fixture
def start(tmp_path: Path, telemetry: Counted) -> Iterator[Start]:
    started = []

    def start(folder: Path = tmp_path, **handlers: Handler) -> ControlServer:
        server = ControlServer(folder, handlers, telemetry)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop(LIMIT_S)


def echo(arguments: Mapping[str, object], peer: Peer) -> Mapping[str, object]:
    return {"said": arguments.get("say"), "uid": peer.uid, "pid": peer.pid}


def listening(folder: Path) -> None:
    """Wait until the socket is there."""
    done = threading.Event()
    deadline = threading.Timer(LIMIT_S, done.set)
    deadline.start()
    while not (folder / SOCKET).exists() and not done.wait(0.01):
        pass
    deadline.cancel()
    assert (folder / SOCKET).exists()


def test_the_agent_answers_and_knows_who_asks(
    start: Start, tmp_path: Path, telemetry: Counted
) -> None:
    start(echo=echo)
    listening(tmp_path)
    answer = ask(tmp_path, "echo", {"say": "pfirsich è"}, LIMIT_S)
    assert answer == {"said": "pfirsich è", "uid": os.getuid(), "pid": os.getpid()}
    telemetry.wait_for(("echo", "done"))


def test_only_the_agents_own_user_can_open_the_socket(start: Start, tmp_path: Path) -> None:
    start(echo=echo)
    listening(tmp_path)
    mode = (tmp_path / SOCKET).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_another_user_is_refused_even_where_permissions_let_him_through(
    start: Start, tmp_path: Path, telemetry: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "peer_of", lambda _: Peer(uid=os.geteuid() + 4711, pid=1))
    start(echo=echo)
    listening(tmp_path)
    with pytest.raises(RefusedError, match="own user and root"):
        ask(tmp_path, "echo", {}, LIMIT_S)
    telemetry.wait_for(("unknown", "denied"))


def test_a_refusal_is_told_word_for_word(start: Start, tmp_path: Path) -> None:
    def refuse(_arguments: Mapping[str, object], _peer: Peer) -> Mapping[str, object]:
        raise RefusedError("m.safetensors: gives NaN")

    start(stage=refuse)
    listening(tmp_path)
    with pytest.raises(RefusedError, match=r"^m\.safetensors: gives NaN$"):
        ask(tmp_path, "stage", {}, LIMIT_S)


def test_a_defect_of_a_handler_costs_one_answer(
    start: Start, tmp_path: Path, telemetry: Counted
) -> None:
    def broken(_arguments: Mapping[str, object], _peer: Peer) -> Mapping[str, object]:
        raise KeyError("secret-detail")

    start(broken=broken, echo=echo)
    listening(tmp_path)
    with pytest.raises(RefusedError, match="log says how") as caught:
        ask(tmp_path, "broken", {}, LIMIT_S)
    assert "secret" not in str(caught.value)
    telemetry.wait_for(("broken", "failed"))
    assert ask(tmp_path, "echo", {"say": 1}, LIMIT_S)["said"] == 1


@pytest.mark.parametrize("value", [float("nan"), {1}, "x" * (ANSWER_LIMIT_BYTES + 1)])
def test_what_json_cannot_hold_is_no_answer(start: Start, tmp_path: Path, value: object) -> None:
    start(odd=lambda _arguments, _peer: {"value": value})
    listening(tmp_path)
    with pytest.raises(RefusedError, match="failed"):
        ask(tmp_path, "odd", {}, LIMIT_S)


def test_an_unknown_command_is_named_beside_those_there_are(start: Start, tmp_path: Path) -> None:
    start(echo=echo)
    listening(tmp_path)
    with pytest.raises(RefusedError, match="'ecko' is no command of this agent; it knows echo"):
        ask(tmp_path, "ecko", {}, LIMIT_S)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"echo\n", b"not JSON"),
        (b"[]\n", b"not a JSON object"),
        (b'{"arguments":{}}\n', b"names no command"),
        (b'{"command":"echo","arguments":[]}\n', b"no object"),
        (b'{"command":"echo","uid":0}\n', b"unknown key"),
        (b'{"command":"echo","command":"stop"}\n', b"twice"),
        (b'{"command":"ec', b"before its line does"),
        (b"x" * (REQUEST_LIMIT_BYTES + 1), b"longer than"),
    ],
)
def test_a_bad_request_is_answered_with_what_is_wrong(
    start: Start, tmp_path: Path, telemetry: Counted, line: bytes, says: bytes
) -> None:
    start(echo=echo)
    listening(tmp_path)
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(LIMIT_S)
        raw.connect(str(tmp_path / SOCKET))
        raw.sendall(line)
        raw.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := raw.recv(65536):
            answer += chunk
    assert says in answer
    telemetry.wait_for(("unknown", "invalid"))


def test_one_who_asks_and_says_nothing_holds_no_other_up(start: Start, tmp_path: Path) -> None:
    start(echo=echo)
    listening(tmp_path)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(tmp_path / SOCKET))
        assert ask(tmp_path, "echo", {"say": 2}, LIMIT_S)["said"] == 2


def test_a_handler_that_takes_long_holds_no_other_up(start: Start, tmp_path: Path) -> None:
    reached, go = threading.Event(), threading.Event()

    def slow(_arguments: Mapping[str, object], _peer: Peer) -> Mapping[str, object]:
        reached.set()
        return {"went": go.wait(LIMIT_S)}

    start(slow=slow, echo=echo)
    listening(tmp_path)
    answers: list[object] = []
    asking = threading.Thread(target=lambda: answers.append(ask(tmp_path, "slow", {}, LIMIT_S)))
    asking.start()
    assert reached.wait(LIMIT_S)
    assert ask(tmp_path, "echo", {"say": 3}, LIMIT_S)["said"] == 3
    go.set()
    asking.join(LIMIT_S)
    assert answers == [{"went": True}]


def test_more_who_ask_at_once_than_are_answered_are_turned_away(
    start: Start, tmp_path: Path, telemetry: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "ASKING_MAX", 1)
    reached, go = threading.Event(), threading.Event()

    def slow(_arguments: Mapping[str, object], _peer: Peer) -> Mapping[str, object]:
        reached.set()
        return {"went": go.wait(LIMIT_S)}

    start(slow=slow)
    listening(tmp_path)
    asking = threading.Thread(target=lambda: ask(tmp_path, "slow", {}, LIMIT_S))
    asking.start()
    assert reached.wait(LIMIT_S)
    with pytest.raises(ControlError, match=r"agent ended|reset|Broken"):
        ask(tmp_path, "slow", {}, LIMIT_S)
    telemetry.wait_for(("unknown", "busy"))
    go.set()
    asking.join(LIMIT_S)


def test_no_answer_in_time_is_an_error_that_names_the_time(start: Start, tmp_path: Path) -> None:
    go = threading.Event()
    start(slow=lambda _arguments, _peer: {"went": go.wait(LIMIT_S)})
    listening(tmp_path)
    with pytest.raises(ControlError, match=r"no answer to slow in 0\.2 s"):
        ask(tmp_path, "slow", {}, 0.2)
    go.set()


def test_without_an_agent_there_is_nobody_to_ask(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError, match="no agent runs"):
        ask(tmp_path, "echo")
    with pytest.raises(NotRunningError, match="no agent runs"):
        ask(tmp_path / "none", "echo")


def test_a_killed_agents_socket_is_replaced(start: Start, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / SOCKET))
    left = (tmp_path / SOCKET).stat().st_ino
    with pytest.raises(NotRunningError):
        ask(tmp_path, "echo")
    start(echo=echo)
    while (tmp_path / SOCKET).stat().st_ino == left:
        threading.Event().wait(0.01)
    assert ask(tmp_path, "echo", {"say": 4}, LIMIT_S)["said"] == 4


def test_the_socket_goes_with_the_agent(start: Start, tmp_path: Path) -> None:
    server = start(echo=echo)
    listening(tmp_path)
    server.stop(LIMIT_S)
    assert list(tmp_path.iterdir()) == []


def test_a_second_agent_does_not_take_the_socket_away(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    start(echo=echo)
    listening(tmp_path)
    second = start(other=echo)
    for _ in range(int(LIMIT_S * 100)):
        if any(record.message == "control_refused" for record in caplog.records):
            break
        threading.Event().wait(0.01)
    second.stop(LIMIT_S)
    assert ask(tmp_path, "echo", {"say": 5}, LIMIT_S)["said"] == 5


def test_a_socket_that_was_removed_comes_back(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "LOOK_S", 0.05)
    start(echo=echo)
    listening(tmp_path)
    (tmp_path / SOCKET).unlink()
    listening(tmp_path)
    assert ask(tmp_path, "echo", {"say": 6}, LIMIT_S)["said"] == 6


def test_a_folder_that_is_not_there_costs_the_socket_until_it_is(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "LOOK_S", 0.05)
    folder = tmp_path / "later"
    start(folder, echo=echo)
    folder.mkdir()
    listening(folder)
    assert ask(folder, "echo", {"say": 7}, LIMIT_S)["said"] == 7


def test_a_deep_folder_is_no_obstacle(start: Start, tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["d" * 60] * 4)
    folder.mkdir(parents=True)
    start(folder, echo=echo)
    listening(folder)
    assert ask(folder, "echo", {"say": 8}, LIMIT_S)["said"] == 8


def test_without_a_folder_nobody_listens(telemetry: Counted) -> None:
    server = ControlServer(None, {"echo": echo}, telemetry)
    server.start()
    server.stop(LIMIT_S)
    assert not [one for one in threading.enumerate() if one.name == "control"]

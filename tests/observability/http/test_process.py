"""The server as it runs beside the agent, in a process of its own: what it asks, how it ends."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import psutil
import pytest

from agent import config
from agent.observability.http import server as http_module
from agent.observability.http.listener import HttpError, Listener
from agent.observability.http.rpc import OPEN_MAX
from agent.observability.http.server import HttpServer
from agent.observability.newest import Newest
from agent.records import MachineState, Overlay
from agent.supervision.child import ChildSpec, spawn
from tests.observability.conftest import FakeAgent
from tests.observability.samples import explanation, frame, segmentation
from tests.observability.support import TRUST
from tests.publishing.certificates import Authority
from tests.support import wait_until

START_S = 60.0

Start = Callable[..., HttpServer]


@pytest.fixture
def start(agent: FakeAgent, children_forked: None) -> Iterator[Start]:
    """Return a function that starts a server for the agent until the test ends."""
    servers: list[HttpServer] = []

    def one(**settings: object) -> HttpServer:
        server = HttpServer(
            config.Http(**{"port": 0, "loop_limit_s": 60.0, **settings}), agent.state()
        )
        servers.append(server)
        server.start()
        server.wait_started()
        return server

    yield one
    for server in servers:
        server.stop()


def client_of(server: HttpServer, **options: object) -> httpx.Client:
    options = {"verify": TRUST, **options}
    return httpx.Client(base_url=server.url, timeout=20, trust_env=False, **options)


def ask(url: str) -> None:
    """Whatever comes of it: the server may end, or cut the oldest of many connections."""
    with contextlib.suppress(httpx.HTTPError):
        httpx.get(url, timeout=20, trust_env=False, verify=TRUST)


def hanging_status(agent: FakeAgent, server: HttpServer) -> threading.Thread:
    """Ask for a snapshot that stays away until ``agent.hold_view`` is set."""
    hung = threading.Thread(target=ask, args=(f"{server.url}/api/v1/status",))
    hung.start()
    wait_until(lambda: agent.views == 1)
    return hung


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_every_route_answers_from_the_process(agent: FakeAgent, start: Start) -> None:
    shown = frame(side=1920, mono=time.monotonic())
    agent.newest.on_segmented(shown, segmentation(shown))
    overlay = Overlay("suture", "image/png", b"\x89PNG not really", 8, 8)
    agent.newest.on_explanation(explanation(shown, (overlay,)))
    agent.newest.on_evidence("e1", Overlay("", "image/jpeg", b"of memory", 8, 8))
    agent.kept_evidence["e0"] = ("image/png", b"of the disk")
    server = start()
    assert server.pid not in (0, os.getpid())
    with client_of(server) as client:
        assert client.get("/livez").json()["ok"]
        assert client.get("/readyz").json() == {"ok": True, "reasons": []}
        assert "Pitwatch" in client.get("/").text
        assert client.get("/api/v1/status").json()["cameras"][0]["name"] == "cam1"
        picture = cv2.imdecode(
            np.frombuffer(client.get("/api/v1/frame/cam1.jpg").content, np.uint8), cv2.IMREAD_COLOR
        )
        assert picture is not None
        assert picture.shape == (960, 960, 3)
        assert client.get("/api/v1/frame/cam2.jpg").status_code == 404
        assert client.get("/api/v1/cam/cam1/suture").content == overlay.data
        assert client.get("/api/v1/cam/cam1/suture/mean").headers["content-type"] == "image/png"
        assert client.get("/api/v1/evidence/e1").content == b"of memory"
        assert client.get("/api/v1/evidence/e0").content == b"of the disk"
        assert client.post("/machine", json={"state": "stopped"}).status_code == 204
        counted = client.get("/metrics").text
    assert agent.machine[0].state is MachineState.STOPPED
    # What the server has counted is there when a scraper asks, itself excepted.
    assert 'pitwatch_http_requests_total{route="/machine",status="204"} 1.0' in counted
    assert 'route="/metrics"' not in counted
    wait_until(lambda: agent.telemetry.total("http_requests", route="/metrics") == 1)
    assert agent.telemetry.breakdown("machine_messages", ("transport", "outcome")) == {
        "http/accepted": 1
    }


def test_a_picture_that_has_not_changed_is_not_handed_over_again(
    agent: FakeAgent, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = frame()
    agent.newest.on_segmented(shown, segmentation(shown))
    handed: list[str] = []
    served = http_module.AgentService.frame

    def counting(service: http_module.AgentService, camera: str, known: str) -> object:
        answer = served(service, camera, known)
        handed.append(type(answer).__name__)
        return answer

    monkeypatch.setattr(http_module.AgentService, "frame", counting)
    with client_of(start()) as client:
        first = client.get("/api/v1/frame/cam1.jpg")
        assert client.get("/api/v1/frame/cam1.jpg").content == first.content
        following = frame(seq=2)
        agent.newest.on_segmented(following, segmentation(following))
        assert client.get("/api/v1/frame/cam1.jpg").headers["etag"] != first.headers["etag"]
    assert handed == ["Picture", "Unchanged", "Picture"]


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_server_that_dies_or_hangs_is_replaced_on_the_same_port(
    number: signal.Signals, agent: FakeAgent, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_module, "SILENT_AFTER_S", 1.5)
    server = start()
    first = server.pid
    os.kill(first, number)
    wait_until(lambda: server.pid not in (0, first), START_S, "another process")
    with client_of(server) as client:  # the socket is the agent's: nobody is refused meanwhile
        assert client.get("/livez").status_code == 200
    assert gone(first)
    reason = "exited" if number is signal.SIGKILL else "silent"
    assert agent.telemetry.total("http_restarts", reason=reason) == 1
    assert agent.telemetry.loops.ages_s()["http"] < 1.0


def test_a_server_that_grows_without_end_is_replaced(
    agent: FakeAgent, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start()
    first = server.pid
    monkeypatch.setattr(http_module, "MEMORY_LIMIT_BYTES", 1)
    wait_until(lambda: agent.telemetry.total("http_restarts", reason="memory") >= 1, START_S)
    monkeypatch.undo()
    wait_until(lambda: server.pid not in (0, first), START_S, "another process")
    with client_of(server) as client:
        assert client.get("/livez").status_code == 200


def test_the_probes_answer_while_everything_else_waits(agent: FakeAgent, start: Start) -> None:
    agent.hold_view = threading.Event()
    server = start()
    with contextlib.ExitStack() as opened:
        for _ in range(OPEN_MAX + 8):  # more than may wait
            one = socket.create_connection((server.host, server.port))
            opened.callback(one.close)
            one.sendall(b"GET /api/v1/evidence/e HTTP/1.1\r\nHost: localhost\r\n\r\n")
            two = socket.create_connection((server.host, server.port))
            opened.callback(two.close)
            two.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with client_of(server) as client:
            for route in ("/livez", "/readyz", "/metrics"):
                assert client.get(route).status_code == 200
    agent.hold_view.set()


@pytest.mark.long
def test_an_agent_that_stands_still_is_said_to(agent: FakeAgent, start: Start) -> None:
    server = start()
    go_on = threading.Event()
    beat = agent.telemetry.beat

    def held(loop: str) -> None:
        beat(loop)
        if loop == "http":
            go_on.wait(60)

    agent.telemetry.beat = held  # type: ignore[method-assign]
    try:
        with client_of(server) as client:
            wait_until(lambda: client.get("/readyz").status_code == 503, START_S, "not ready")
            for route in ("/livez", "/readyz"):
                answer = client.get(route)
                assert answer.status_code == 503
                assert answer.json()["reasons"] == ["the agent has not answered within 2 s"]
            refused = client.get("/api/v1/status")
            assert (refused.status_code, "no answer within" in refused.text) == (503, True)
            # Many more questions than may wait: each gets its answer, none stops the server.
            asked = [
                threading.Thread(target=ask, args=(f"{server.url}{path}",))
                for path in ("/readyz", "/api/v1/evidence/e") * OPEN_MAX
            ]
            for one in asked:
                one.start()
            for one in asked:
                one.join(30)
            assert client.get("/livez").status_code == 503
    finally:
        go_on.set()
    with client_of(server) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200, START_S, "well again")


def test_a_mistake_of_the_agent_is_logged_there_and_an_answer_without_its_details(
    agent: FakeAgent, start: Start, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def fail(camera: str) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(agent.newest, "frame", fail)
    with client_of(start()) as client:
        answer = client.get("/api/v1/frame/cam1.jpg")
        assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})
        assert client.get("/livez").status_code == 200
    assert "secret detail" in caplog.text
    wait_until(lambda: agent.telemetry.total("http_requests", status="500") == 1)


def test_tls_with_a_password_on_the_key_works_in_the_process(start: Start, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("localhost")
    server = start(tls={"certificate": certificate, "key": key, "client_ca": authority.certificate})
    with client_of(server, verify=False) as client:
        assert client.get("/livez").status_code == 200
        assert client.get("/livez").extensions["network_stream"].get_extra_info("ssl_object")


def test_links_are_signed_here_and_opened_there(agent: FakeAgent, start: Start) -> None:
    server = start(host="0.0.0.0", token="a-token-of-the-plant")
    overlay = Overlay("suture", "image/png", b"\x89PNG not really", 8, 8)
    agent.newest.on_explanation(explanation(frame(), (overlay,)))
    with httpx.Client(
        base_url=f"http://127.0.0.1:{server.port}", trust_env=False, verify=TRUST
    ) as client:
        assert client.get("/api/v1/cam/cam1/suture").status_code == 401
        assert client.get(server.signed("/api/v1/cam/cam1/suture")).content == overlay.data


def test_the_end_takes_a_second_and_frees_the_port_whatever_hangs(
    agent: FakeAgent, start: Start
) -> None:
    server = start()
    pid = server.pid
    agent.hold_view = threading.Event()
    hung = hanging_status(agent, server)
    began = time.monotonic()
    assert server.stop()
    assert time.monotonic() - began < 3.0  # one second, and patience for a busy machine
    agent.hold_view.set()
    hung.join(10)
    assert gone(pid)
    Listener(config.Http(port=server.port)).socket.close()


def test_what_is_asked_last_is_still_answered(agent: FakeAgent, start: Start) -> None:
    agent.hold_view = threading.Event()
    server = start()
    answers: list[int] = []

    def ask() -> None:
        answers.append(
            httpx.get(f"{server.url}/api/v1/status", trust_env=False, verify=TRUST).status_code
        )

    last = threading.Thread(target=ask)
    last.start()
    wait_until(lambda: agent.views == 1)
    threading.Timer(0.2, agent.hold_view.set).start()
    assert server.stop(3.0)
    last.join(10)
    assert answers == [200]


def test_a_server_that_does_not_come_up_is_an_error(
    agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_module, "TARGET", "agent.observability.http.process:no_such_function")
    monkeypatch.setattr(http_module, "START_LIMIT_S", 0.1)
    server = HttpServer(config.Http(port=0), agent.state())
    server.start()
    wait_until(lambda: agent.telemetry.total("http_restarts", reason="exited") >= 1, START_S)
    with pytest.raises(HttpError, match=r"has not started on .* attribute .no_such_function"):
        server.wait_started()
    assert server.stop()
    Listener(config.Http(port=server.port)).socket.close()


def test_an_answer_to_a_server_that_was_replaced_is_dropped(
    agent: FakeAgent, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number may be a question of the next one."""
    agent.hold_view = threading.Event()
    server = start()
    first = server.pid
    hung = hanging_status(agent, server)
    os.kill(first, signal.SIGKILL)
    hung.join(10)
    wait_until(lambda: server.pid not in (0, first), START_S, "another process")
    agent.hold_view.set()
    agent.hold_view = None
    with client_of(server) as client:
        for _ in range(5):
            assert client.get("/livez").status_code == 200
            assert client.get("/api/v1/status").status_code == 200


def test_a_server_whose_agent_never_reads_is_not_stopped_by_its_full_socket(
    tmp_path: Path,
) -> None:
    done = tmp_path / "done"
    child = spawn(ChildSpec("unread", "tests.observability.http.unread:main", str(done)))
    try:
        wait_until(done.exists, START_S, "thousands of counts and questions later it still moves")
        silent, counted = map(int, done.read_text().split())
        assert silent > 1000, "questions are refused, not sent"
        assert counted > 0, "what could not be said is kept for later"
    finally:
        child.kill()


@pytest.mark.long
def test_a_state_of_the_machine_that_was_refused_is_not_taken_later(
    agent: FakeAgent, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_module, "BEGIN_WITHIN_S", 0.5)
    let_go = threading.Event()
    server = start()
    held = [server._executor.submit(let_go.wait, 60) for _ in range(http_module.WORKERS)]
    with client_of(server) as client:
        answer = client.post("/machine", json={"state": "stopped"})
        assert (answer.status_code, "no answer within" in answer.text) == (503, True)
        let_go.set()
        for one in held:
            one.result(10)
        assert client.post("/machine", json={"state": "running"}).status_code == 204
    assert [info.state for info in agent.machine] == [MachineState.RUNNING]


def test_many_large_pictures_at_once_do_not_cost_the_server(
    agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is 2.6 MiB on its way to the server: more than the outbox of a child holds."""
    agent.cameras = tuple(f"cam{index}" for index in range(12))
    agent.newest = Newest(agent.cameras)
    for name in agent.cameras:
        shown = dataclasses.replace(frame(side=960), lane=name)
        agent.newest.on_segmented(shown, segmentation(shown))
    server = HttpServer(config.Http(port=0, loop_limit_s=60.0), agent.state())
    server.start()
    server.wait_started()
    try:
        pid = server.pid
        os.kill(pid, signal.SIGSTOP)
        opened = []
        for name in agent.cameras:
            one = socket.create_connection((server.host, server.port))
            one.sendall(
                f"GET /api/v1/frame/{name}.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
            opened.append(one)
        os.kill(pid, signal.SIGCONT)
        for one in opened:
            one.settimeout(20)
            assert b"200 OK" in one.recv(4096)
            one.close()
        assert server.pid == pid
    finally:
        server.stop()


def test_a_defect_of_the_supervision_starts_the_server_anew(
    agent: FakeAgent, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start()
    first = server.pid
    send_done = HttpServer._send_done

    def defect(one: HttpServer, child: object) -> None:
        monkeypatch.setattr(HttpServer, "_send_done", send_done)
        raise MemoryError

    monkeypatch.setattr(HttpServer, "_send_done", defect)
    wait_until(lambda: server.pid not in (0, first), START_S, "another process")
    with client_of(server) as client:
        assert client.get("/readyz").status_code == 200
    assert agent.telemetry.total("http_restarts", reason="failed") == 1
    assert gone(first)


@pytest.mark.parametrize("path", ["cam/cam1/{}", "cam/cam1/{}/mean", "evidence/{}"])
def test_a_name_without_end_never_reaches_the_agent(
    path: str, agent: FakeAgent, client: httpx.Client
) -> None:
    answer = client.get("/api/v1/" + path.format("n" * 10_000))
    assert (answer.status_code, "10000 characters" in answer.text) == (404, True)

"""Clients that are slow, many or gone take nothing from the others."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from agent.config import HttpLimits
from agent.observability.http import protocol, responses
from tests.observability.conftest import FakeAgent, ServeAgent
from tests.observability.http.served import Served
from tests.observability.samples import frame, segmentation
from tests.observability.support import TRUST
from tests.publishing.certificates import Authority
from tests.support import wait_until


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def issued(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("localhost")


@pytest.fixture
def tls_server(
    serve: ServeAgent,
    authority: Authority,
    issued: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Served, httpx.Client]]:
    """A server with TLS and a short limit for the handshake, and a client that trusts it."""
    monkeypatch.setattr(protocol, "HANDSHAKE_LIMIT_S", 0.5)
    certificate, key = issued
    server = serve(tls={"certificate": certificate, "key": key})
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.check_hostname = False
    with httpx.Client(base_url=server.url, verify=context, trust_env=False) as client:
        yield server, client


@contextlib.contextmanager
def connections(server: Served, count: int, sends: bytes) -> Iterator[list[socket.socket]]:
    """Open connections that send a few bytes and wait."""
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            opened.append(socket.create_connection((server.host, server.port), timeout=10))
            with contextlib.suppress(ConnectionError):  # it may have had to make room already
                opened[-1].sendall(sends)
        yield opened
    finally:
        for one in opened:
            one.close()


def closed(one: socket.socket) -> bool:
    """Return whether the other side has ended the connection."""
    one.settimeout(0.01)
    try:
        return one.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


@pytest.mark.long
@pytest.mark.parametrize(
    "sends",
    [b"G", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"POST /machine HTTP/1.1\r\n"
     b"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"],
    ids=["one byte", "half a header", "half a body"],
)  # fmt: skip
def test_two_hundred_slow_clients_do_not_keep_a_probe_out(sends: bytes, server: Served) -> None:
    with connections(server, 200, sends) as opened:
        for _ in range(3):
            answer = httpx.get(f"{server.url}/livez", timeout=10, trust_env=False, verify=TRUST)
            assert answer.status_code == 200
        wait_until(lambda: sum(closed(one) for one in opened) >= 200 - HttpLimits().connections, 10)


def test_the_number_of_connections_that_is_configured_is_in_force(serve: ServeAgent) -> None:
    server = serve(limits={"connections": 8})
    with connections(server, 20, b"G") as opened:
        wait_until(lambda: sum(closed(one) for one in opened) >= 12, 5, "twelve made room")
        assert sum(not closed(one) for one in opened) == 8
        assert httpx.get(f"{server.url}/livez", trust_env=False, verify=TRUST).status_code == 200


def test_a_thousand_slow_clients_keep_nobody_out(server: Served) -> None:
    with connections(server, 1000, b"GET / HTTP/1.1\r\n"):
        for path in ("/livez", "/", "/api/v1/status"):
            answer = httpx.get(server.url + path, timeout=10, trust_env=False, verify=TRUST)
            assert answer.status_code == 200


def test_a_browser_that_goes_away_in_the_middle_of_a_picture_costs_nothing(
    agent: FakeAgent, server: Served
) -> None:
    shown = frame(side=900)
    noise = np.random.default_rng(0).integers(0, 255, shown.image.shape, np.uint8)
    shown = replace(shown, image=noise)
    agent.newest.on_segmented(shown, segmentation(shown))
    ask = b"GET /api/v1/frame/cam1.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connections(server, 20, ask) as opened:
        for one in opened:
            assert one.recv(100)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
    assert httpx.get(f"{server.url}/livez", trust_env=False, verify=TRUST).status_code == 200
    assert agent.telemetry.total("http_requests", status="500") == 0


@pytest.mark.parametrize(
    "sends",
    [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ids=["nothing", "the beginning of a ClientHello"],
)
def test_a_tls_handshake_that_never_ends_is_ended_and_keeps_nobody_out(
    tls_server: tuple[Served, httpx.Client], sends: bytes
) -> None:
    server, client = tls_server
    with connections(server, 200, sends) as opened:
        assert client.get("/livez").status_code == 200
        wait_until(lambda: all(closed(one) for one in opened), 10, "all are closed")
    assert client.get("/livez").status_code == 200


def test_plain_text_on_the_tls_port_is_ended_at_once(
    tls_server: tuple[Served, httpx.Client],
) -> None:
    server, client = tls_server
    with connections(server, 1, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n") as (one,):
        wait_until(lambda: closed(one), 5, "closed")
    assert client.get("/livez").status_code == 200


def test_a_request_that_never_ends_is_ended(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "EXCHANGE_LIMIT_S", 0.3)
    with connections(server, 1, b"G") as (one,):
        wait_until(lambda: closed(one), 10, "the slow connection is closed")


def test_a_body_that_never_ends_is_ended_with_an_answer(
    agent: FakeAgent, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "BODY_LIMIT_S", 0.3)
    half = (
        b"POST /machine HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\n\r\n{"
    )
    with connections(server, 1, half) as (one,):
        assert b" 408 " in one.recv(4096)
    assert agent.telemetry.total("machine_messages", outcome="invalid") == 1


def test_a_client_that_goes_away_in_the_middle_costs_nothing(
    agent: FakeAgent, server: Served
) -> None:
    half = (
        b"POST /machine HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\n\r\n{"
    )
    with connections(server, 20, half):
        pass
    assert httpx.get(f"{server.url}/livez", trust_env=False, verify=TRUST).status_code == 200
    assert agent.machine == []


def test_a_header_that_is_too_long_is_refused(server: Served) -> None:
    long = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000
    with connections(server, 1, b"") as (one,):
        with contextlib.suppress(ConnectionError):
            one.sendall(long)
        began = time.monotonic()
        wait_until(lambda: closed(one) or b"431" in one.recv(4096), 10)
        assert time.monotonic() - began < 10
    assert httpx.get(f"{server.url}/livez", trust_env=False, verify=TRUST).status_code == 200


@pytest.mark.long
def test_a_connection_that_is_kept_alive_serves_many_requests(server: Served) -> None:
    with httpx.Client(base_url=server.url, trust_env=False, verify=TRUST) as client:
        for _ in range(50):
            assert client.get("/livez").status_code == 200

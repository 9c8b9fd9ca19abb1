"""Requests that two servers could read differently, and those that are too long."""

from __future__ import annotations

import json
import logging
import socket

import h11
import httpx
import pytest

from agent.observability.http.connection import BadRequestError, StrictConnection
from agent.observability.http.process import HEADER_LIMIT_BYTES
from agent.observability.http.refusals import LINES, RefusalLog
from tests.observability.conftest import FakeAgent, ServeAgent
from tests.observability.http.served import Served
from tests.observability.support import TRUST, FakeClock
from tests.support import wait_until

LIMIT = 1000
POST = b"POST /machine HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SMUGGLED = b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"


def exchanged(server: Served, sends: bytes) -> bytes:
    """Send bytes, and return all that comes until the server closes the connection."""
    with socket.create_connection((server.host, server.port), timeout=10) as one:
        one.sendall(sends)
        received = b""
        while chunk := one.recv(65536):
            received += chunk
    return received


def read(*pieces: bytes) -> h11.Request:
    connection = StrictConnection(LIMIT)
    for piece in pieces:
        connection.receive_data(piece)
        event = connection.next_event()
    assert isinstance(event, h11.Request)
    return event


# --- bodies of two lengths -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
     b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
     b"transfer-encoding: CHUNKED\r\ncontent-length: 0\r\n",
     b"Content-Length: 4\r\nContent-Length: 5\r\n",
     b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
     b"Transfer-Encoding: chunked, identity\r\n",
     b"Transfer-Encoding: xchunked\r\n",
     b"Content-Length: +4\r\n",
     b"Content-Length : 4\r\n"],
)  # fmt: skip
def test_a_body_whose_end_is_unclear_ends_the_connection(
    agent: FakeAgent, server: Served, headers: bytes
) -> None:
    answer = exchanged(server, POST + headers + b"\r\n0\r\n\r\n" + SMUGGLED)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] in (b"400", b"501")
    assert b"connection: close" in head.lower()
    assert json.loads(body)["error"], "one answer, and nothing behind it"
    assert agent.machine == []
    assert agent.views == 0, "what stood behind was not taken for a request"


def test_a_chunked_body_of_http_1_0_ends_the_connection(agent: FakeAgent, server: Served) -> None:
    ask = POST.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Transfer-Encoding: chunked\r\n"
    answer = exchanged(server, ask + b"Connection: keep-alive\r\n\r\n0\r\n\r\n" + SMUGGLED)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert agent.views == 0


def test_a_chunked_body_alone_is_taken(agent: FakeAgent, server: Served) -> None:
    body = b'{"state": "running"}'
    chunked = b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
    answer = exchanged(server, POST + chunked % (len(body), body))
    assert answer.split()[1] == b"204"
    assert len(agent.machine) == 1


def test_a_body_that_turns_out_wrong_costs_its_request_alone(
    agent: FakeAgent, server: Served
) -> None:
    begun = POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"
    answer = exchanged(server, begun + b"....no length\r\n")
    assert answer.split()[1] == b"400"
    assert agent.machine == []
    assert httpx.get(f"{server.url}/livez", trust_env=False, verify=TRUST).status_code == 200
    assert agent.telemetry.total("http_requests", status="500") == 0


# --- the header limit ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 10_000], ids=["byte by byte", "in pieces", "in one piece"])
@pytest.mark.parametrize(("length", "taken"), [(LIMIT, True), (LIMIT + 1, False)])
def test_the_header_limit_holds_however_a_request_comes(
    size: int, length: int, taken: bool
) -> None:
    start = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
    request = start + b"x" * (length - len(start) - 4) + b"\r\n\r\n"
    assert len(request) == length
    pieces = [request[at : at + size] for at in range(0, len(request), size)]
    if taken:
        assert read(*pieces).target == b"/"
        return
    with pytest.raises(BadRequestError) as told:
        read(*pieces)
    assert told.value.status == 431


def test_blanks_and_trailers_count_as_headers_do() -> None:
    with pytest.raises(BadRequestError):
        read(b"GET / HTTP/1.1\r\nHost:" + b" " * LIMIT + b"a\r\n\r\n")
    connection = StrictConnection(LIMIT)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert isinstance(connection.next_event(), h11.Request)
    connection.receive_data(b"0\r\nX: " + b"x" * LIMIT + b"\r\n\r\n")
    with pytest.raises(BadRequestError):
        connection.next_event()


@pytest.mark.parametrize(("length", "taken"), [(LIMIT // 2, True), (LIMIT, False)])
def test_what_stands_before_a_chunk_counts_as_headers_do(length: int, taken: bool) -> None:
    connection = StrictConnection(LIMIT)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert isinstance(connection.next_event(), h11.Request)
    connection.receive_data(b"1388;" + b"x" * length + b"\r\n" + b"y" * 5000 + b"\r\n0\r\n\r\n")
    if taken:
        assert isinstance(connection.next_event(), h11.Data), "a long body is no long header"
        return
    with pytest.raises(BadRequestError, match="before a chunk"):
        connection.next_event()


def test_a_long_body_in_one_piece_is_no_long_header() -> None:
    connection = StrictConnection(LIMIT)
    connection.receive_data(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000
    )
    assert isinstance(connection.next_event(), h11.Request)
    assert isinstance(connection.next_event(), h11.Data)
    assert isinstance(connection.next_event(), h11.EndOfMessage)


def test_headers_of_one_piece_above_the_limit_are_answered(server: Served) -> None:
    long = (
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * HEADER_LIMIT_BYTES + b"\r\n\r\n"
    )
    assert exchanged(server, long).split()[1] == b"431"


# --- targets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [(b"http://localhost:9464/livez", b"localhost:9464", b"/livez"),
     (b"HTTP://localhost/a?b=http://c/", b"localhost", b"/a?b=http://c/"),
     (b"https://[::1]:9464", b"[::1]:9464", b"/"),
     (b"http://localhost?a=1", b"localhost", b"/?a=1"),
     (b"http://localhost/a#b", b"localhost", b"/a"),
     (b"/http://localhost/", b"elsewhere", b"/http://localhost/"),
     (b"*", b"elsewhere", b"*")],
)  # fmt: skip
def test_a_target_in_absolute_form_is_its_path_on_its_host(
    target: bytes, host: bytes, path: bytes
) -> None:
    request = read(b"GET %s HTTP/1.1\r\nHost: elsewhere\r\nX: y\r\n\r\n" % target)
    assert request.target == path
    assert dict(request.headers) == {b"host": host, b"x": b"y"}


@pytest.mark.parametrize(
    "target", [b"http:///livez", b"http://user@localhost/", b"ftp://localhost/", b"livez", b"a:80"]
)
def test_a_target_that_is_neither_is_refused(target: bytes) -> None:
    with pytest.raises(BadRequestError, match="target"):
        read(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % target)


def test_the_absolute_form_is_served_and_its_host_is_judged(server: Served) -> None:
    ask = "GET http://{}/api/v1/status HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n"
    ours = exchanged(server, ask.format("localhost:9464", "attacker.example").encode())
    assert ours.split()[1] == b"200"
    theirs = exchanged(server, ask.format("attacker.example", "localhost").encode())
    assert theirs.split()[1] == b"403"


# --- the log -------------------------------------------------------------------------------------


def refused(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [r.fields for r in caplog.records if r.getMessage() == "http_refused"]  # type: ignore[attr-defined]


def test_who_was_refused_stands_in_the_log_without_what_was_sent(
    serve: ServeAgent, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    server = serve(token="a-token-of-the-plant")
    exchanged(server, b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization Bearer a-token-of-the-p\r\n\r\n")
    with httpx.Client(base_url=server.url, trust_env=False, verify=TRUST) as client:
        client.get("/api/v1/status?signature=ab", headers={"Authorization": "Bearer wrong-one"})
        client.get("/livez")
    wait_until(lambda: len(refused(caplog)) == 2, 10, "two lines")
    bad, wrong = sorted(refused(caplog), key=lambda one: str(one["status"]))
    assert (bad["peer"], bad["status"], bad["reason"]) == ("127.0.0.1", 400, "illegal header line")
    assert (wrong["peer"], wrong["status"], wrong["path"]) == (
        "127.0.0.1", 401, "'/api/v1/status'",
    )  # fmt: skip
    assert wrong["reason"] == "the token is wrong"
    told = str(refused(caplog))
    assert not any(secret in told for secret in ("a-token-of-the", "wrong-one", "signature"))


def test_a_flood_of_refusals_is_a_few_lines_that_say_how_many_it_was(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    clock = FakeClock()
    log = RefusalLog(clock)
    for _ in range(1000):
        log.tell("10.0.0.9", 401, "the token is wrong", "/\n\x1b[2J")
    log.tell("10.0.0.9", 404, "no camera is called that")
    assert len(refused(caplog)) == LINES
    clock.now += 10.0
    log.tell("10.0.0.8", 401, "the token is wrong", "/")
    newest = refused(caplog)[-1]
    assert (newest["peer"], newest["not_logged"]) == ("10.0.0.8", 1000 - LINES)
    assert refused(caplog)[0]["path"] == r"'/\n\x1b[2J'"

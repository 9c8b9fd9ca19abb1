"""``pitwatch health`` against a server that is well, is not, is away, or is somebody else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent import config
from agent.cli import app
from agent.cli.health import Place
from agent.records import CameraState
from tests.observability.conftest import FakeAgent, ServeAgent
from tests.publishing.certificates import Authority
from tests.support import free_port

Answered = tuple[int, str]
Ask = Callable[..., Answered]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Write a configuration, ask, and return exit code and what was said."""

    def asked(text: str | None, *options: str) -> Answered:
        file = tmp_path / "pitwatch.yaml"
        if text is not None:
            file.write_text(text)
            options = (*options, "--config", str(file))
        done = CliRunner().invoke(app, ["health", *options], env={"COLUMNS": "200"})
        return done.exit_code, (done.stdout + done.stderr).strip()

    return asked


def test_the_place_that_is_asked_without_a_file_is_the_default_of_the_configuration() -> None:
    default = config.Http()
    assert Place() == Place(default.enabled, default.host, default.port, encrypted=False)


def test_an_agent_that_is_well_is_alive_and_ready(
    agent: FakeAgent,
    serve: ServeAgent,
    ask: Ask,
) -> None:
    there = f"http: {{port: {serve().port}}}"
    assert ask(there) == (0, "alive")
    assert ask(there, "--ready") == (0, "ready")
    agent.sources = {"cam1": CameraState.BACKOFF}
    code, said = ask(there, "--ready")
    assert (code, said) == (1, "pitwatch: not ready: no source is live: cam1 backoff (503)")
    assert ask(there, "--live") == (0, "alive")


def test_a_gate_waits_until_the_agent_is_ready_and_no_longer(
    agent: FakeAgent, serve: ServeAgent, ask: Ask
) -> None:
    there = f"http: {{port: {serve().port}}}"
    agent.sources = {"cam1": CameraState.BACKOFF}
    code, said = ask(there, "--wait", "0.3")
    assert code == 1
    assert said.startswith("pitwatch: not ready within 0.3 s: no source is live")
    assert ask(there, "--wait", "0.3", "--live") == (0, "alive")

    def becomes_ready() -> None:
        agent.sources = {"cam1": CameraState.LIVE}

    later = threading.Timer(0.5, becomes_ready)
    later.start()
    try:
        assert ask(there, "--wait", "60") == (0, "ready")
    finally:
        later.join()


def test_a_gate_with_nobody_to_ask_does_not_open(ask: Ask) -> None:
    code, said = ask("http: {enabled: false}", "--wait", "1")
    assert (code, "nobody to wait for" in said) == (78, True)
    code, said = ask(f"http: {{port: {free_port()}}}", "--wait", "0.2")
    assert (code, "does not answer" in said) == (1, True)


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("host", ["0.0.0.0", "'::'", "127.0.0.1", "localhost"])
def test_it_asks_where_the_server_listens_without_a_token(
    serve: ServeAgent,
    ask: Ask,
    host: str,
) -> None:
    if host == "'::'" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    settings = {"host": host.strip("'"), "token": "a-token-of-the-plant", "allow": []}
    server = serve(**settings)
    text = f"http: {{host: {host}, port: {server.port}, token: '${{FILE:/is/not/readable}}'}}"
    assert ask(text) == (0, "alive")


def test_it_asks_by_tls_where_the_configuration_says_so_whatever_the_certificate(
    serve: ServeAgent,
    ask: Ask,
    tmp_path: Path,
) -> None:
    certificate, key = Authority(tmp_path).issue("pitwatch.example")
    server = serve(tls={"certificate": certificate, "key": key})
    tls = f"tls: {{certificate: {certificate}, key: {key}}}"
    assert ask(f"http: {{port: {server.port}, {tls}}}") == (0, "alive")
    code, _ = ask(f"http: {{port: {server.port}}}")
    assert code == 1


def test_where_there_is_no_server_it_says_so_and_fails_nothing(ask: Ask) -> None:
    assert ask("http: {enabled: false}") == (0, "not asked: http.enabled is false")


def test_errors_of_other_sections_are_not_its_own(serve: ServeAgent, ask: Ask) -> None:
    text = f"http: {{port: {serve().port}, page: maybe}}\nmqtt: {{brokr: x}}\nid: 'a b'\n"
    assert ask(text) == (0, "alive")


def test_what_is_not_written_plainly_is_read_as_the_agent_reads_it(
    serve: ServeAgent,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = serve().port
    monkeypatch.setenv("HTTP_PORT", str(port))
    monkeypatch.setenv("HTTP_HOST", "127.0.0.1")
    broker = "mqtt: {broker: none}"
    assert ask(f"http: {{port: '${{ENV:HTTP_PORT}}', host: '${{ENV:HTTP_HOST}}'}}\n{broker}") == (
        0, "alive",
    )  # fmt: skip
    assert ask(f"http: {{port: {hex(port)}}}") == (0, "alive")


def test_the_address_that_run_was_given_counts(serve: ServeAgent, ask: Ask) -> None:
    port = serve().port
    assert ask("http: {enabled: false}", "--http", f"127.0.0.1:{port}") == (0, "alive")
    assert ask(None, "--http", f"127.0.0.1:{port}") == (0, "alive")
    code, said = ask(None, "--http", "nowhere")
    assert (code, "has no port" in said) == (2, True)


def test_nobody_there_is_not_alive(ask: Ask) -> None:
    port = free_port()
    code, said = ask(f"http: {{port: {port}}}")
    assert code == 1
    assert said == (
        f"pitwatch: not alive: http://127.0.0.1:{port}/livez does not answer: Connection refused"
    )


@contextmanager
def somebody(says: bytes) -> Iterator[int]:
    """Somebody else's server, or an agent that hangs: it says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as one:
                one.recv(4096)
                one.sendall(says)
                if not says:
                    over.wait(60)

        over = threading.Event()
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        over.set()
        thread.join(60)


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (b"", "has not answered within 0.2 s"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not answer"),
        (b"HTTP/1.1 500 Oh\r\n\r\n<html>", "/livez (500)"),
        (b'HTTP/1.1 403 No\r\n\r\n{"error": "not you"}', "not you (403)"),
        (b"HTTP/1.1 503 No\r\n\r\n[7]", "/livez (503)"),
    ],
    ids=["hangs", "no http", "another", "refused", "odd"],
)
def test_who_does_not_answer_as_an_agent_is_not_alive(ask: Ask, says: bytes, told: str) -> None:
    with somebody(says) as port:
        code, said = ask(f"http: {{port: {port}}}", "--timeout", "0.2" if not says else "20")
    assert (code, told in said) == (1, True), said


@pytest.mark.parametrize(
    "text",
    ["http: {port: 0}", "http: {port: many}", "http: {port: 70000}", "http: {host: 7}", "http: [1]",
     "http: {enabled: 3}", "http: {port: '${ENV:IS_NOT_SET}'}", "http: {tls: x}",
     "http: {", "[1, 2]", "http: {host: '${FILE:/no/file}'}"],
)  # fmt: skip
def test_a_section_that_says_no_place_is_an_error_of_the_configuration(ask: Ask, text: str) -> None:
    code, said = ask(text)
    assert code == 78
    assert "http" in said or "YAML" in said or "line" in said or "must be" in said


def test_a_file_that_is_not_there_is_an_error_of_the_configuration(
    ask: Ask, tmp_path: Path
) -> None:
    code, said = ask(None, "--config", str(tmp_path / "nothing.yaml"))
    assert (code, "cannot be read" in said) == (78, True)

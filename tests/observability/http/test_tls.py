"""The server's certificate, key and authority are those that the files hold by now."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from agent import config
from agent.observability.http import tls
from agent.observability.http.tls import ServerTls
from tests.observability.conftest import ServeAgent
from tests.publishing.certificates import Authority
from tests.support import wait_until


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "installed"
    made.mkdir()
    return made


def install(folder: Path, *files: Path) -> None:
    """Put files where the configuration looks for them, each in one step."""
    for file, name in zip(files, ("server.pem", "server.key", "people.pem"), strict=False):
        new = folder / f"{name}.new"
        new.write_bytes(file.read_bytes())
        new.replace(folder / name)


def settings(folder: Path, *, client_ca: bool = False) -> config.HttpTls:
    return config.HttpTls(
        certificate=folder / "server.pem",
        key=folder / "server.key",
        client_ca=folder / "people.pem" if client_ca else None,
    )


def shown(port: int, server_name: str | None = None) -> bytes:
    """The certificate that the server shows to somebody who trusts anybody."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, server_hostname=server_name) as secured,
    ):
        certificate = secured.getpeercert(binary_form=True)
        assert certificate is not None
        return certificate


def der(file: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(file.read_text())


def enters(port: int, certificate: Path, key: Path) -> bool:
    """Whether the server takes a client with this certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(certificate, key)
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            context.wrap_socket(plain) as secured,
        ):
            secured.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return bool(secured.recv(100))
    except OSError:
        return False


@pytest.mark.parametrize("server_name", [None, "localhost"])
def test_a_renewed_certificate_is_shown_without_a_restart(
    serve: ServeAgent,
    authority: Authority,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    server_name: str | None,
) -> None:
    monkeypatch.setattr(tls, "LOOK_S", 0.05)
    first, second = authority.issue("first"), authority.issue("second")
    install(folder, *first)
    server = serve(tls=settings(folder).model_dump())
    assert shown(server.port, server_name) == der(first[0])
    install(folder, second[0], first[1])  # the key is still to come
    assert shown(server.port, server_name) == der(first[0])
    install(folder, *second)
    wait_until(lambda: shown(server.port, server_name) == der(second[0]), 20, "the renewed one")


def test_an_authority_that_is_replaced_is_trusted_and_the_one_of_before_no_more(
    serve: ServeAgent, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "LOOK_S", 0.05)
    before, after = Authority(tmp_path, "before"), Authority(tmp_path, "after")
    old, new = before.issue("old"), after.issue("new")
    install(folder, *before.issue("server"), before.certificate)
    server = serve(tls=settings(folder, client_ca=True).model_dump())
    assert enters(server.port, *old)
    assert not enters(server.port, *new)
    install(folder, *after.issue("server2"), after.certificate)
    wait_until(lambda: enters(server.port, *new), 20, "the new authority")
    assert not enters(server.port, *old)


def test_files_that_do_not_fit_leave_those_of_before_and_are_named_once(
    authority: Authority, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = authority.issue("first"), authority.issue("second")
    install(folder, *first)
    files = ServerTls(settings(folder))

    def said() -> list[str]:
        names = [record.getMessage() for record in caplog.records if record.name == tls.__name__]
        caplog.clear()
        return names

    with caplog.at_level("INFO", tls.__name__):
        files.refresh()
        assert said() == [], "nothing has changed"
        install(folder, second[0], first[1])
        files.refresh()
        files.refresh()
        assert said() == ["http_tls_files_unusable"]
        (folder / "server.pem").unlink()
        files.refresh()
        assert said() == ["http_tls_files_unusable"], "another problem"
        install(folder, *second)
        files.refresh()
        files.refresh()
        assert said() == ["http_tls_files_read"]
        install(folder, first[0], first[1])
        files.refresh()
        assert said() == ["http_tls_files_read"]

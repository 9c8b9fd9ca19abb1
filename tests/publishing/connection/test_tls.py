"""Whom the publisher trusts, on a real mosquitto."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config import Tls
from agent.publishing.connection import connection
from agent.publishing.connection.tls import TlsError, tls_context
from tests.publishing import examples
from tests.publishing.certificates import Authority
from tests.publishing.rig import Rig, running
from tests.support.mosquitto import Mosquitto, mosquitto

pytestmark = pytest.mark.needs_mosquitto


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def broker(tmp_path: Path, authority: Authority) -> Iterator[Mosquitto]:
    certificate, key = authority.issue("server")
    extra = (
        f"cafile {authority.certificate}\ncertfile {certificate}\nkeyfile {key}\n"
        "require_certificate true\nuse_identity_as_username true"
    )
    with mosquitto(tmp_path, extra) as running_broker:
        yield running_broker


def secure(broker: Mosquitto, host: str = "localhost") -> str:
    return f"mqtts://{host}:{broker.port}"


def test_a_client_with_the_right_authority_and_certificate_publishes(
    broker: Mosquitto, authority: Authority
) -> None:
    certificate, key = authority.issue("agent", "agent", password="s3cret")
    tls = Tls(ca=authority.certificate, certificate=certificate, key=key, key_password="s3cret")
    with running(secure(broker), tls=tls) as rig:
        for i in range(30):
            rig.publisher.explanation(examples.explanation(job_id=f"job-{i}"))
        rig.settled()
        assert rig.books.total("messages_delivered", "explanation") == 30
        assert rig.publisher.stop(5.0)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_wrong_authority_or_name_is_no_connection_and_is_counted(
    broker: Mosquitto, tmp_path: Path, authority: Authority, host: str
) -> None:
    ca = authority.certificate if host == "127.0.0.1" else Authority(tmp_path, "x").certificate
    with running(secure(broker, host), wait=False, tls=Tls(ca=ca)) as rig:
        rig.wait_count(2, "broker_connects", "tls")
        assert rig.books.total("broker_connects", "connected") == 0
        assert rig.links[-1].reason == "tls"


def test_an_expired_certificate_is_no_connection(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.issue("old", days=-1)
    extra = f"cafile {authority.certificate}\ncertfile {certificate}\nkeyfile {key}"
    with (
        mosquitto(tmp_path, extra) as broker,
        running(secure(broker), wait=False, tls=Tls(ca=authority.certificate)) as rig,
    ):
        rig.wait_count(1, "broker_connects", "tls")
        assert rig.books.total("broker_connects", "connected") == 0


def test_a_file_that_cannot_be_used_is_an_error_at_once_with_its_key(
    tmp_path: Path, authority: Authority
) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    certificate, key = authority.issue("locked", "agent", password="s3cret")
    with pytest.raises(TlsError, match=r"mqtt.tls.ca: .*absent.pem: No such file"):
        tls_context(Tls(ca=tmp_path / "absent.pem"))
    with pytest.raises(TlsError, match=r"mqtt.tls.ca: .*junk"):
        tls_context(Tls(ca=junk))
    with pytest.raises(TlsError, match=r"mqtt.tls.certificate, key"):
        tls_context(Tls(certificate=junk, key=junk))
    with pytest.raises(TlsError, match=r"mqtt.tls.certificate, key"):
        tls_context(Tls(certificate=certificate, key=key))  # asks nobody for the password
    with pytest.raises(TlsError):
        Rig("mqtts://localhost:8883", tls=Tls(ca=junk))


def failures(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, str]]:
    """Cause, reason and protocol of every attempt that failed."""
    return [
        (str(fields["cause"]), str(fields["reason"]), str(fields["protocol"]))
        for record in caplog.records
        if record.getMessage() == "broker_connect_failed"
        for fields in [record.fields]  # type: ignore[attr-defined]
    ]


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
@pytest.mark.parametrize("shown", ["none", "of another authority", "expired"])
def test_a_client_certificate_that_the_broker_does_not_trust_is_a_matter_of_tls(
    tmp_path: Path,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    shown: str,
    version: str,
) -> None:
    """Under TLS 1.3 it looked like a broker that does not speak MQTT 5."""
    monkeypatch.setattr(connection, "VERDICT_S", 5.0)  # a broker on a busy machine
    certificate, key = authority.issue("server")
    extra = (
        f"cafile {authority.certificate}\ncertfile {certificate}\nkeyfile {key}\n"
        f"require_certificate true\ntls_version {version}"
    )
    tls = Tls(ca=authority.certificate)
    if shown != "none":
        signer = Authority(tmp_path, "other") if shown == "of another authority" else authority
        client, client_key = signer.issue("client", days=-1 if shown == "expired" else 1)
        tls = tls.model_copy(update={"certificate": client, "key": client_key})
    with (
        mosquitto(tmp_path, extra) as broker,
        running(secure(broker), wait=False, tls=tls) as rig,
    ):
        rig.wait_count(3, "broker_connects", "tls")
        assert rig.books.total("broker_connects") == rig.books.total("broker_connects", "tls")
        assert rig.links[-1].reason == "tls"
    said = failures(caplog)
    assert {(cause, protocol) for cause, _, protocol in said} == {("tls", "5")}
    assert all("alert" in reason for _, reason, _ in said), said


def install(certificate: Path, key: Path, folder: Path) -> Tls:
    """Put a certificate and its key where the configuration looks for them."""
    for source, name in ((certificate, "client.pem"), (key, "client.key")):
        (folder / name).write_bytes(source.read_bytes())
    return Tls(certificate=folder / "client.pem", key=folder / "client.key")


def test_a_certificate_that_expired_during_the_run_is_renewed_without_a_restart(
    tmp_path: Path, broker: Mosquitto, authority: Authority
) -> None:
    """As a site sees it: the next connection after the end fails, until there is a new file."""
    good, expired = authority.issue("good"), authority.issue("expired", days=-1)
    tls = install(*good, tmp_path).model_copy(update={"ca": authority.certificate})
    with running(secure(broker), tls=tls) as rig:
        install(*expired, tmp_path)
        assert rig.online(), "a connection that stands goes on"
        broker.kill()
        rig.wait_count(1, "broker_disconnects", "lost")
        broker.start()
        rig.wait_count(1, "broker_connects", "tls")
        install(*authority.issue("renewed"), tmp_path)
        rig.wait_count(2, "broker_connects", "connected")


def test_a_new_authority_is_read_at_the_next_attempt(
    tmp_path: Path, broker: Mosquitto, authority: Authority
) -> None:
    ca = tmp_path / "trusted.pem"
    ca.write_bytes(Authority(tmp_path, "before").certificate.read_bytes())
    client, key = authority.issue("client")
    with running(secure(broker), wait=False, tls=Tls(ca=ca, certificate=client, key=key)) as rig:
        rig.wait_count(1, "broker_connects", "tls")
        ca.write_bytes(authority.certificate.read_bytes())
        rig.wait_online()


def test_files_that_cannot_be_used_leave_those_of_before_and_are_named_once(
    tmp_path: Path,
    broker: Mosquitto,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    good, other = authority.issue("client"), authority.issue("client2")
    tls = install(*good, tmp_path).model_copy(update={"ca": authority.certificate})
    with running(secure(broker), tls=tls) as rig:
        install(other[0], good[1], tmp_path)  # the key of it is still to come
        for connects in (2, 3):
            broker.kill()
            rig.wait_count(connects - 1, "broker_disconnects", "lost")
            broker.start()
            rig.wait_count(connects, "broker_connects", "connected")
    named = [r.fields for r in caplog.records if r.getMessage() == "tls_files_unusable"]  # type: ignore[attr-defined]
    (fields,) = named
    assert "mqtt.tls.certificate, key" in fields["detail"]

"""Whom the publisher trusts, on a real mosquitto."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config import Tls
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

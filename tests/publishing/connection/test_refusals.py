"""What a broker refuses, or we refuse of it: named in the log, counted, and tried again, for both
clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.config import Tls
from agent.config.problems import ConfigErrors
from agent.preflight import load_config
from tests.publishing.certificates import Authority
from tests.publishing.rig import Rig
from tests.publishing.sparkplug.rig import SparkplugRig
from tests.support.site import SiteBroker, password, site_broker

pytestmark = pytest.mark.needs_mosquitto

CLIENTS: dict[str, Any] = {"uns": Rig, "spb": SparkplugRig}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[SiteBroker]:
    with site_broker(folder) as broker:
        yield broker


@contextmanager
def refused(client: str, cause: str, broker: str, **mqtt: Any) -> Iterator[Any]:
    """Run a client until it was refused twice; it never was connected."""
    mqtt = {"username": "pitwatch", "password": password("pitwatch"), **mqtt}
    rig = CLIENTS[client](broker, reconnect_penalty_s=0.1, **mqtt)
    rig.publisher.start()
    try:
        rig.wait_count(2, "broker_connects", cause)
        yield rig
    finally:
        rig.publisher.stop(1.0)
    assert rig.books.total("broker_connects", "connected") == 0
    assert {link.reason for link in rig.links} <= {cause, "stopped"}


def reasons(caplog: pytest.LogCaptureFixture) -> set[tuple[str, str]]:
    fields = [
        record.fields  # type: ignore[attr-defined]
        for record in caplog.records
        if record.getMessage() == "broker_connect_failed"
    ]
    assert all(one["broker"] for one in fields)
    return {(str(one["cause"]), str(one["reason"])) for one in fields}


def only_reason(caplog: pytest.LogCaptureFixture) -> str:
    ((_, reason),) = reasons(caplog)
    return reason


@pytest.mark.parametrize("client", CLIENTS)
def test_a_broker_that_another_authority_signed_is_not_trusted(
    site: SiteBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture, client: str
) -> None:
    with refused(client, "tls", site.url, tls=Tls(ca=Authority(tmp_path).certificate)):
        pass
    assert "self-signed certificate in certificate chain" in only_reason(caplog)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_broker_under_another_name_is_not_trusted(
    site: SiteBroker, caplog: pytest.LogCaptureFixture, client: str
) -> None:
    address = f"mqtts://127.0.0.1:{site.tls_port}"
    with refused(client, "tls", address, tls=Tls(ca=site.ca)):
        pass
    assert "IP address mismatch" in only_reason(caplog)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_broker_whose_certificate_has_expired_is_not_trusted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, client: str
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("old", days=-1)
    with (
        site_broker(tmp_path, certificate, key) as broker,
        refused(client, "tls", broker.url, tls=Tls(ca=authority.certificate)),
    ):
        pass
    assert "certificate has expired" in only_reason(caplog)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("user", "secret"), [("pitwatch", "wrong"), ("nobody", "x")])
def test_a_wrong_password_or_user_is_named_without_the_password(
    site: SiteBroker, caplog: pytest.LogCaptureFixture, client: str, user: str, secret: str
) -> None:
    with refused(
        client, "unauthorised", site.url, tls=Tls(ca=site.ca), username=user, password=secret
    ):
        pass
    assert only_reason(caplog) == "not_authorized"
    assert "wrong" not in caplog.text


INVALID_NAMES: dict[str, dict[str, Any]] = {
    "site.enterprise": {"site": {"enterprise": "a/b"}},
    "site.site": {"site": {"site": "north #1"}},
    "site.area": {"site": {"area": "+"}},
    "site.line": {"site": {"line": ""}},
    "site.machine": {"site": {"machine": "x" * 41}},
    "site.root": {"site": {"root": "$SYS"}},
    "id": {"id": "pitter 1"},
    "cameras.0.name": {"cameras": [{"name": "cam/1", "source": "sim:"}]},
    "cameras.0.lanes.0.name": {
        "cameras": [{"name": "a", "source": "sim:", "lanes": [{"name": "l.1"}]}]
    },
    "mqtt.sparkplug.primary_host": {"mqtt": {"sparkplug": {"primary_host": "a/b"}}},
    "mqtt.client_id": {"id": "a", "mqtt": {"client_id": "a-spb", "sparkplug": {"enabled": True}}},
    "mqtt.sparkplug.enabled": {"mqtt": {"broker": "none", "sparkplug": {"enabled": True}}},
}


@pytest.mark.parametrize("place", INVALID_NAMES)
def test_a_name_that_no_topic_can_hold_is_an_error_of_configuration_with_its_place(
    tmp_path: Path, place: str
) -> None:
    wrong = INVALID_NAMES[place]
    wrong = {**wrong, "mqtt": {"broker": "embedded", **wrong.get("mqtt", {})}}
    file = tmp_path / "pitwatch.yaml"
    file.write_text(json.dumps(wrong))
    with pytest.raises(ConfigErrors) as error:
        load_config(file, environment={})
    assert place in str(error.value).replace("[", ".").replace("]", "")

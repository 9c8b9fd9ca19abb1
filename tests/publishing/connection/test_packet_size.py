"""Messages larger than a broker takes, whether it says so (MQTT 5) or just hangs up (3.1.1).

They are counted and named, nothing else is lost, and the connection does not end again and again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.publishing import examples
from tests.publishing.connection.test_faults import EVENT, seqs
from tests.publishing.rig import Rig, running
from tests.support import wait_until
from tests.support.fault_broker import fault_broker
from tests.support.mosquitto import Observer, mosquitto

QUICK = {"reconnect_first_s": 0.05, "reconnect_max_s": 0.1}
PACKET_MAX = 24_000
"""Above the largest JSON message of the agent, below the picture of these tests."""


def large() -> Any:
    picture = examples.overlay(side_px=120, noise=True)
    assert PACKET_MAX < len(picture.data) < 100 * 1024
    return picture


def publish(rig: Rig, first: int = 1) -> None:
    """Two alarms, one with a picture, and an explanation with another; all else is small."""
    rig.publisher.alarm(examples.alarm(seq=first, event_id=f"s-{first}"), large())
    rig.publisher.explanation(examples.explanation(overlays=(large(),)))
    rig.publisher.explanation(examples.explanation(overlays=(examples.overlay("stem"),)))
    rig.publisher.alarm(examples.alarm(seq=first + 1, event_id=f"s-{first + 1}"))


def refused(caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """Topic and reason of everything that the log says was refused."""
    fields = [
        record.fields  # type: ignore[attr-defined]
        for record in caplog.records
        if record.getMessage() == "publish_refused"
    ]
    return {one["topic"].removeprefix(f"{examples.BASE}/"): one["reason"] for one in fields}


def assert_only_the_large_ones_are_lost(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.wait_count(1, "messages_dropped", "evidence", "packet_too_large")
    rig.wait_count(2, "messages_dropped", "cam", "packet_too_large")  # the picture and its meta
    rig.settled()
    assert {topic for topic, reason in refused(caplog).items() if reason == "packet_too_large"} == {
        "evidence/s-1/image", "cam/cam1/suture/image", "cam/cam1/suture/meta",
    }  # fmt: skip
    assert rig.books.total("messages_delivered", "event") >= 2
    assert rig.books.total("messages_delivered", "explanation") == 2


@pytest.mark.needs_mosquitto
def test_a_broker_that_names_its_limit_is_sent_nothing_larger(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        mosquitto(tmp_path, f"max_packet_size {PACKET_MAX}") as broker,
        Observer(broker.port) as observer,
        running(broker.url, protocol="5") as rig,
    ):
        publish(rig)
        assert_only_the_large_ones_are_lost(rig, caplog)
        assert len(observer.wait(EVENT, 2)) == 2
        assert len(observer.wait("cam/cam1/stem/image")) == 1
        assert not observer.all("suture/meta"), "no word about a picture that is not there"
        assert rig.books.total("broker_disconnects") == 0


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_broker_that_just_hangs_up_is_found_out_and_left_alone(
    protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        fault_broker(packet_max_bytes=PACKET_MAX) as broker,
        running(broker.url, protocol=protocol, **QUICK) as rig,
    ):
        publish(rig)
        assert_only_the_large_ones_are_lost(rig, caplog)
        assert set(seqs(broker)) == {1, 2}
        assert broker.topics("cam/cam1/stem/image")
        assert "packet_limit_found" in {record.getMessage() for record in caplog.records}
        found_after = broker.closes
        assert found_after <= 6
        publish(rig, 3)
        rig.wait_count(2, "messages_dropped", "evidence", "packet_too_large")
        wait_until(lambda: set(seqs(broker)) == {1, 2, 3, 4}, 10)
        rig.settled()
        assert broker.closes == found_after, "the next one is not even tried"


@pytest.mark.needs_mosquitto
@pytest.mark.parametrize(
    ("protocol", "limit"),
    [("3.1.1", "max_packet_size"), ("5", "message_size_limit")],
)
def test_a_limit_that_mosquitto_does_not_name_costs_no_alarm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, protocol: str, limit: str
) -> None:
    with (
        mosquitto(tmp_path, f"{limit} {PACKET_MAX}") as broker,
        Observer(broker.port) as observer,
        running(broker.url, protocol=protocol, **QUICK) as rig,
    ):
        publish(rig)
        assert_only_the_large_ones_are_lost(rig, caplog)
        told = {json.loads(seen.payload)["seq"] for seen in observer.wait(EVENT, 2)}
        assert told == {1, 2}
        assert rig.books.total("broker_disconnects", "lost") <= 6

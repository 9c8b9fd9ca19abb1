"""What a session listens to where a broker takes less than it has promised."""

from __future__ import annotations

import logging
from typing import cast

import pytest

from agent.publishing.connection.connection import Connection
from agent.publishing.connection.events import Subscribed
from agent.publishing.connection.subscriptions import (
    NO_WILDCARDS,
    Subscription,
    Subscriptions,
)
from agent.publishing.connection.topic_limit import CLOSES_MAX
from agent.publishing.connection.topic_limit import VALID_S as DENIED_S
from agent.records import Quality
from tests.publishing.connection.test_faults import raise_alarms, seqs
from tests.publishing.rig import running
from tests.publishing.sparkplug.rig import NCMD, sparkplug
from tests.support import wait_until
from tests.support.fault_broker import fault_broker

QUICK = {"reconnect_first_s": 0.02, "reconnect_max_s": 0.05}


class Asked:
    """Stands for a connection; the number of an asked topic is its place in ``topics``."""

    def __init__(self) -> None:
        self.topics: list[str] = []

    def subscribe(self, topic: str, *, state: bool, stored: bool) -> int:
        self.topics.append(topic)
        return len(self.topics) - 1


def test_a_broker_that_refuses_wildcards_only_when_they_are_asked_for_gets_the_topics_instead(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The wildcard was asked for again every 30 s, and no command arrived."""
    asked = Asked()
    connection = cast(Connection, asked)
    listens = Subscriptions((Subscription("cmd/+", instead=("cmd/ack", "cmd/shelve")),), "uns")
    listens.opened(connection, wildcards=True)
    with caplog.at_level(logging.WARNING, "agent.publishing.connection.subscriptions"):
        listens.answered(Subscribed(0, False, NO_WILDCARDS), 10.0)
    (said,) = [one for one in caplog.records if one.getMessage() == "wildcards_refused"]
    assert said.fields["topic"] == "cmd/+"  # type: ignore[attr-defined]
    listens.tick(connection, 10.0)
    assert asked.topics == ["cmd/+", "cmd/ack", "cmd/shelve"]
    listens.answered(Subscribed(1, True, "granted"), 10.1)
    listens.answered(Subscribed(2, False, "not_authorized"), 10.1)
    listens.tick(connection, 1000.0)
    assert asked.topics[3:] == ["cmd/shelve"], "each for itself from then on"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_subscription_at_which_the_broker_hangs_up_is_left_out(
    protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with (
        fault_broker(denied_filter="/machine") as broker,
        running(broker.url, wait=False, protocol=protocol, **QUICK) as rig,
    ):
        wait_until(
            lambda: "subscription_denied" in said(caplog), 20, "the subscription is found out"
        )
        raise_alarms(rig, 1, 2)
        wait_until(lambda: set(seqs(broker)) == {1, 2}, 10, "the alarms come")
        rig.wait_online()
        closes = broker.closes
        assert closes == 1 + CLOSES_MAX
        assert any("cmd/" in topic for topic in broker.subscribed), "the others are there"
        assert "topic_denied" not in said(caplog), "it was no matter of a topic"
        raise_alarms(rig, 3, 1)
        wait_until(lambda: set(seqs(broker)) == {1, 2, 3}, 10, "and go on")
        assert broker.closes == closes


@pytest.mark.long
def test_a_client_that_is_answered_nothing_finds_it_out_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """All of a Sparkplug node goes out at QoS 0, before and after."""
    caplog.set_level(logging.WARNING)
    with (
        fault_broker(denied_filter=NCMD) as broker,
        sparkplug(broker.url, wait=False, reconnect_first_s=0.02, reconnect_max_s=0.05) as rig,
    ):
        wait_until(
            lambda: "subscription_denied" in said(caplog), 30, "the subscription is found out"
        )
        rig.wait_online()
        rig.publisher.metric("cam1", "fps", 4.0, Quality.GOOD, 1_760_000_000_000)
        wait_until(lambda: broker.topics("DDATA/pitwatch/cam1"), 15, "data flow")
        assert {one.qos for one in list(broker.published)} == {0}
        assert "topic_denied" not in said(caplog)
        assert broker.closes == 1 + CLOSES_MAX


def said(caplog: pytest.LogCaptureFixture) -> set[str]:
    return {record.getMessage() for record in caplog.records}


def test_less_than_was_asked_for_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    asked = Asked()
    listens = Subscriptions((Subscription("cmd/+"), Subscription("machine")), "uns")
    with caplog.at_level(logging.WARNING, "agent.publishing.connection.subscriptions"):
        for _ in range(2):
            asked.topics.clear()
            listens.opened(cast(Connection, asked), wildcards=True)
            listens.answered(Subscribed(0, True, "granted_qos_0"), 10.0)
            listens.answered(Subscribed(1, True, "granted_qos_0"), 10.0)
    said = [one for one in caplog.records if one.getMessage() == "subscription_at_qos_0"]
    assert [one.fields["topic"] for one in said] == ["cmd/+"]  # type: ignore[attr-defined]


def test_a_denied_subscription_is_tried_once_an_hour_and_taken_when_it_is_allowed() -> None:
    asked = Asked()
    connection = cast(Connection, asked)
    listens = Subscriptions((Subscription("cmd/+"), Subscription("machine")), "uns")

    def connect(now: float) -> list[str]:
        asked.topics.clear()
        listens.opened(connection, wildcards=True)
        if "cmd/+" in asked.topics:
            listens.answered(Subscribed(asked.topics.index("cmd/+"), True, "granted"), now)
        listens.tick(connection, now, heard=True)
        return list(asked.topics)

    assert connect(0.0) == ["cmd/+", "machine"]
    for _ in range(1 + CLOSES_MAX):
        assert listens.closed(1.0), "it was unanswered"
        assert connect(2.0)[0] == "cmd/+"
    assert listens.closed(3.0) is False
    assert connect(3.0) == ["cmd/+"], "left out"
    listens.tick(connection, DENIED_S + 2.0, heard=True)
    assert asked.topics == ["cmd/+", "machine"]
    assert listens.closed(DENIED_S + 3.0)
    assert connect(DENIED_S + 4.0) == ["cmd/+"], "once was enough"
    listens.tick(connection, 3 * DENIED_S, heard=True)
    listens.answered(Subscribed(1, True, "granted"), 3 * DENIED_S)
    assert connect(3 * DENIED_S + 1) == ["cmd/+", "machine"], "both at once"

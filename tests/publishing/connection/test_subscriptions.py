"""What a session listens to where a broker takes less than it has promised."""

from __future__ import annotations

import logging
from typing import cast

import pytest

from agent.publishing.connection.connection import Connection
from agent.publishing.connection.events import Subscribed
from agent.publishing.connection.subscriptions import NO_WILDCARDS, Subscription, Subscriptions


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

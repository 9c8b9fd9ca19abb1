"""A broker that closes the connection at messages of a topic and does not say so."""

from __future__ import annotations

import logging

import pytest

from agent.publishing.connection.topic_limit import CLOSES_MAX, VALID_S, TopicLimit
from tests.publishing import examples
from tests.publishing.connection.test_faults import EVENT, raise_alarms, seqs
from tests.publishing.rig import running
from tests.support import wait_until
from tests.support.fault_broker import fault_broker

QUICK = {"reconnect_first_s": 0.02, "reconnect_max_s": 0.05}


def closed_at(limit: TopicLimit, topic: str, now: float = 0.0) -> str | None:
    """A connection that answers another topic, and ends at this one, which went alone."""
    limit.opened()
    limit.answered("status")
    assert limit.is_probe(topic)
    limit.probe_sent(topic)
    assert limit.probing()
    return limit.closed({topic}, now)


@pytest.fixture
def limit() -> TopicLimit:
    """After the first connection that ended with messages of three topics unanswered."""
    limit = TopicLimit()
    limit.opened()
    limit.answered("status")
    assert limit.closed({"a", "b", "c"}, 0.0) is None
    return limit


def test_as_long_as_nothing_is_wrong_everything_goes_together() -> None:
    limit = TopicLimit()
    limit.opened()
    assert not limit.is_probe("a")
    assert limit.closed((), 0.0) is None
    assert not limit.is_probe("a"), "nothing was on its way"


def test_a_topic_that_ends_the_connection_three_times_is_denied(limit: TopicLimit) -> None:
    assert [closed_at(limit, "a") for _ in range(CLOSES_MAX)] == [None] * (CLOSES_MAX - 1) + ["a"]
    assert limit.is_denied("a", VALID_S - 1)
    assert not limit.is_denied("b", 0.0)


def test_what_is_answered_is_no_suspect(limit: TopicLimit) -> None:
    for _ in range(CLOSES_MAX - 1):
        closed_at(limit, "a")
    limit.opened()
    limit.answered("a")
    assert not limit.is_probe("a")
    assert limit.is_probe("b")
    limit.closed({"a"}, 0.0)
    assert closed_at(limit, "a") is None, "it is counted anew"


def test_after_an_hour_it_is_tried_once(limit: TopicLimit) -> None:
    for _ in range(CLOSES_MAX):
        closed_at(limit, "a")
    assert not limit.is_denied("a", VALID_S)
    assert closed_at(limit, "a", VALID_S) == "a"
    assert limit.is_denied("a", VALID_S + 1)


def test_the_first_message_of_every_connection_is_found_out_too() -> None:
    limit = TopicLimit()
    for _ in range(CLOSES_MAX):
        limit.opened()
        assert not limit.is_held("status")
        assert limit.closed({"status"}, 0.0) is None
    found = []
    for _ in range(CLOSES_MAX):
        limit.opened()
        assert limit.is_held("status"), "others first"
        limit.answered("fruit")
        assert not limit.is_held("status")
        limit.probe_sent("status")
        found.append(limit.closed({"status"}, 0.0))
    assert found == [None] * (CLOSES_MAX - 1) + ["status"]
    limit.answered("status")
    limit.opened()
    assert not limit.is_held("status")


def test_a_broker_that_answers_nothing_denies_no_topic() -> None:
    limit = TopicLimit()
    for _ in range(3 * CLOSES_MAX):
        limit.opened()
        limit.probe_sent("a")
        assert limit.closed({"a"}, 0.0) is None
    assert not limit.is_denied("a", 0.0)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("denied", ["/fruit/cam1", "/event/alarm"])
def test_a_topic_that_an_access_list_forbids_costs_itself_alone(
    protocol: str, denied: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with (
        fault_broker(denied_topic=denied) as broker,
        running(broker.url, protocol=protocol, **QUICK) as rig,
    ):

        def found() -> bool:
            rig.publisher.fruit(examples.fruit(), "cam1")
            return "topic_denied" in {record.getMessage() for record in caplog.records}

        raise_alarms(rig, 1, 2)
        wait_until(found, 20, "the topic is found out", every_s=0.05)
        found_after = broker.closes
        raise_alarms(rig, 3, 1)
        for topic in {"/fruit/cam1", "/event/alarm", "/status"} - {denied}:
            wait_until(lambda topic=topic: broker.topics(topic), 10, topic)
        if denied != "/event/alarm":
            wait_until(lambda: set(seqs(broker)) == {1, 2, 3}, 10, f"{EVENT}: {seqs(broker)}")
        assert broker.closes == found_after, "the next one is not even tried"
        assert found_after <= 2 * CLOSES_MAX


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_status_that_is_forbidden_holds_nothing_up(protocol: str) -> None:
    with (
        fault_broker(denied_topic="/status") as broker,
        running(broker.url, wait=False, protocol=protocol, **QUICK) as rig,
    ):
        raise_alarms(rig, 1, 3)
        wait_until(lambda: set(seqs(broker)) == {1, 2, 3}, 20, f"{EVENT}: {seqs(broker)}")
        assert broker.closes <= CLOSES_MAX + 1

"""A broker that fails in every way that a socket can show; no alarm is lost in any of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from tests.publishing import examples
from tests.publishing.rig import Rig, running
from tests.support import wait_until
from tests.support.fault_broker import BAD_LOGIN, FaultBroker, fault_broker

EVENT = "event/alarm"


@pytest.fixture(params=["5", "3.1.1"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def raise_alarms(rig: Rig, first: int, count: int) -> None:
    for seq in range(first, first + count):
        rig.publisher.alarm(examples.alarm(seq=seq, event_id=f"s-{seq}"))


def seqs(broker: FaultBroker) -> list[int]:
    return [json.loads(one.payload)["seq"] for one in broker.topics(EVENT)]


def all_told(broker: FaultBroker, rig: Rig, count: int) -> Callable[[], bool]:
    """Everything came, and everything that was acknowledged is in the books."""
    return lambda: (
        set(seqs(broker)) == set(range(1, count + 1))
        and rig.books.total("messages_delivered", "event") >= count
    )


def assert_each_is_told(broker: FaultBroker, rig: Rig, count: int) -> None:
    wait_until(all_told(broker, rig, count), 20, f"{count} alarms; came: {seqs(broker)}")
    told: dict[int, str] = {}
    for one in broker.topics(EVENT):
        event = json.loads(one.payload)
        assert told.setdefault(event["seq"], event["event_id"]) == event["event_id"]


def test_a_port_that_refuses_is_tried_until_it_opens(protocol: str) -> None:
    with fault_broker() as broker:
        broker.refuse()
        with running(broker.url, wait=False, protocol=protocol) as rig:
            raise_alarms(rig, 1, 3)
            rig.wait_count(2, "broker_connects", "unreachable")
            broker.open()
            assert_each_is_told(broker, rig, 3)


def test_credentials_that_are_rejected_are_not_hammered(protocol: str) -> None:
    with (
        fault_broker(reject=BAD_LOGIN) as broker,
        running(broker.url, wait=False, protocol=protocol, reconnect_penalty_s=1.0) as rig,
    ):
        raise_alarms(rig, 1, 3)
        rig.wait_count(1, "broker_connects", "unauthorised")
        began = time.monotonic()
        broker.faults.reject = 0
        assert_each_is_told(broker, rig, 3)
        assert time.monotonic() - began > 0.8
        assert broker.connects == 2


def test_a_connection_cut_in_the_middle_of_a_packet_costs_nothing(protocol: str) -> None:
    with fault_broker() as broker, running(broker.url, protocol=protocol) as rig:
        raise_alarms(rig, 1, 3)
        assert_each_is_told(broker, rig, 3)
        broker.faults.die_after = 300
        raise_alarms(rig, 4, 3)
        rig.wait_count(1, "broker_disconnects", "lost")
        broker.faults.die_after = 0
        assert_each_is_told(broker, rig, 6)


def test_a_half_open_connection_is_given_up_and_nothing_is_lost(protocol: str) -> None:
    with (
        fault_broker() as broker,
        running(broker.url, protocol=protocol, puback_timeout_s=0.5) as rig,
    ):
        broker.faults.half_open = True
        raise_alarms(rig, 1, 3)
        rig.wait_count(1, "broker_disconnects", "silent")
        broker.faults.half_open = False
        assert_each_is_told(broker, rig, 3)


def test_answers_that_are_late_are_waited_for(protocol: str) -> None:
    with fault_broker() as broker, running(broker.url, protocol=protocol) as rig:
        broker.faults.puback_delay_s = 0.1
        raise_alarms(rig, 1, 5)
        assert_each_is_told(broker, rig, 5)
        assert rig.books.total("broker_disconnects") == 0
        assert seqs(broker) == [1, 2, 3, 4, 5]  # each once: late is not lost


def test_an_answer_that_is_swallowed_makes_the_message_come_again(protocol: str) -> None:
    with (
        fault_broker() as broker,
        running(broker.url, protocol=protocol, puback_timeout_s=0.5) as rig,
    ):
        rig.settled()
        broker.faults.swallow_pubacks = 2
        raise_alarms(rig, 1, 3)
        rig.wait_count(1, "broker_disconnects", "silent")
        assert_each_is_told(broker, rig, 3)
        assert len(seqs(broker)) > 3
        replayed = [json.loads(one.payload)["replayed"] for one in broker.topics(EVENT)]
        assert replayed[0] is False
        assert replayed[-1] is True


def test_a_session_that_is_taken_over_steps_back_and_comes_again() -> None:
    with (
        fault_broker() as broker,
        running(broker.url, protocol="5", reconnect_penalty_s=1.0) as rig,
    ):
        raise_alarms(rig, 1, 2)
        assert_each_is_told(broker, rig, 2)
        began = time.monotonic()
        broker.take_over()
        rig.wait_count(1, "broker_disconnects", "taken_over")
        raise_alarms(rig, 3, 2)
        assert_each_is_told(broker, rig, 4)
        assert time.monotonic() - began > 0.8
        assert "taken_over" in [link.reason for link in rig.links]


def test_a_broker_that_reads_slowly_holds_up_nobody_and_loses_nothing(protocol: str) -> None:
    with fault_broker() as broker, running(broker.url, protocol=protocol) as rig:
        rig.settled()
        broker.faults.read_bytes_per_s = 20_000.0
        began = time.monotonic()
        raise_alarms(rig, 1, 10)
        handed_over_s = time.monotonic() - began
        assert_each_is_told(broker, rig, 10)
        assert handed_over_s < time.monotonic() - began


@pytest.mark.parametrize("cuts", [4])
def test_cut_again_and_again_every_alarm_arrives(protocol: str, cuts: int) -> None:
    with fault_broker() as broker, running(broker.url, protocol=protocol) as rig:
        for i in range(cuts):
            # Not `wait_online`: the count of a lost connection comes before its status, and a cut
            # made on the status of before would find no connection.
            rig.wait_count(i + 1, "broker_connects", "connected")
            raise_alarms(rig, 1 + 5 * i, 5)
            broker.cut()
            rig.wait_count(i + 1, "broker_disconnects")
        assert_each_is_told(broker, rig, 5 * cuts)

"""Brokers that do less than all of MQTT: the agent works with what there is, and says so once."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.publishing.connection import session, subscriptions
from agent.publishing.connection.events import Opened
from agent.publishing.connection.limits import CONSEQUENCES, NO_RETAIN, QOS_0, BrokerLimits
from agent.publishing.connection.link import Cause
from agent.publishing.outbox import memory, replay
from tests.publishing import examples
from tests.publishing.connection.test_faults import raise_alarms, seqs
from tests.publishing.rig import running
from tests.publishing.sparkplug.rig import sparkplug
from tests.support import wait_until
from tests.support.fault_broker import QUOTA, fault_broker
from tests.support.mosquitto import Observer, mosquitto

WILL_RETAIN, WILL_QOS = 0x20, 0x18


def limits_told(caplog: pytest.LogCaptureFixture, event: str = "broker_limited") -> list[str]:
    return [
        record.fields["limit"]  # type: ignore[attr-defined]
        for record in caplog.records
        if record.getMessage() == event
    ]


def test_each_limit_is_told_once_and_again_when_it_is_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits = BrokerLimits("uns")
    less = Opened(maximum_qos=0, retain=False, wildcards=False)
    with caplog.at_level("INFO", "agent.publishing.connection.limits"):
        for said in (Opened(), less, less, Opened(maximum_qos=1), less):
            assert limits.opened(said) == said
            assert (limits.will_retain, limits.will_qos) == (said.retain, min(1, said.maximum_qos))
    assert limits_told(caplog) == sorted(CONSEQUENCES) * 2
    assert limits_told(caplog, "broker_limit_lifted") == sorted(CONSEQUENCES)


def test_a_client_that_needs_none_of_it_does_not_complain(
    caplog: pytest.LogCaptureFixture,
) -> None:
    BrokerLimits("spb", frozenset({QOS_0})).opened(Opened(retain=False, wildcards=False))
    assert limits_told(caplog) == []


def test_a_will_that_is_refused_is_made_smaller_once_and_grows_again() -> None:
    limits = BrokerLimits("uns")
    assert limits.refused(Cause.NO_RETAIN, online=False)
    assert (limits.will_retain, limits.will_qos) == (False, 1)
    assert not limits.refused(Cause.NO_RETAIN, online=False), "no reason to try at once again"
    assert limits.refused(Cause.NO_QOS, online=False)
    assert (limits.will_retain, limits.will_qos) == (False, 0)
    assert not limits.refused(Cause.LOST, online=True)
    limits.opened(Opened())
    assert (limits.will_retain, limits.will_qos) == (True, 1)


def test_a_promise_that_was_not_kept_is_not_believed_again() -> None:
    limits = BrokerLimits("uns")
    limits.opened(Opened())
    assert limits.refused(Cause.NO_RETAIN, online=True)
    assert limits.opened(Opened()).retain is False


def test_a_broker_without_retained_messages_gets_everything_and_the_alarms_every_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(session, "REPEAT_S", 0.2)
    with fault_broker(retains=False) as broker, running(broker.url, protocol="5") as rig:
        raise_alarms(rig, 1, 1)
        rig.publisher.explanation(examples.explanation())
        wait_until(lambda: len(broker.topics("alarm/camera_lost-cam1")) >= 3, 20, "said again")
        wait_until(lambda: broker.topics("cam/cam1/suture/meta"), 10, "the picture")
        assert not any(one.retain for one in broker.published)
        assert [flags & WILL_RETAIN for flags in broker.will_flags] == [WILL_RETAIN, 0]
        assert rig.books.total("broker_connects", "retain_not_supported") == 1
        assert rig.books.total("broker_disconnects") == 0
    assert limits_told(caplog) == [NO_RETAIN]


def test_a_broker_of_qos_0_gets_everything_at_qos_0(caplog: pytest.LogCaptureFixture) -> None:
    with fault_broker(maximum_qos=0) as broker, running(broker.url, protocol="5") as rig:
        raise_alarms(rig, 1, 3)
        rig.publisher.fruit(examples.fruit(), "cam1")
        rig.publisher.explanation(examples.explanation())
        rig.settled()
        wait_until(lambda: set(seqs(broker)) == {1, 2, 3}, 10, "every alarm")
        assert {one.qos for one in broker.published} == {0}
        assert broker.will_flags[-1] & WILL_QOS == 0
        assert rig.books.total("messages_delivered", "event") == 3
        assert rig.books.total("broker_disconnects") == 0
    assert limits_told(caplog) == [QOS_0]


def test_a_broker_of_qos_1_is_no_less_than_the_agent_needs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with fault_broker(maximum_qos=1) as broker, running(broker.url, protocol="5") as rig:
        raise_alarms(rig, 1, 1)
        rig.settled()
        assert broker.connects == 1
    assert limits_told(caplog) == []


def test_without_wildcards_each_command_has_a_subscription_of_its_own() -> None:
    with fault_broker(wildcards=False) as broker, running(broker.url, protocol="5"):
        wait_until(lambda: f"{examples.BASE}/cmd/ack" in broker.subscribed, 10, "subscribed")
        wait_until(lambda: f"{examples.BASE}/cmd/variety" in broker.subscribed, 10, "to all")
        assert not any("+" in topic or "#" in topic for topic in broker.subscribed)
        assert f"{examples.BASE}/cmd/result" not in broker.subscribed


def test_a_broker_that_changes_its_limits_between_connects_is_followed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    quick = {"reconnect_first_s": 0.05, "reconnect_max_s": 0.1}
    with fault_broker() as broker, running(broker.url, protocol="5", **quick) as rig:
        for connects, limit in enumerate(({}, {"retains": False}, {"maximum_qos": 0}, {}), 1):
            if connects > 1:
                broker.faults.retains, broker.faults.maximum_qos = True, 2
                for name, value in limit.items():
                    setattr(broker.faults, name, value)
                broker.cut()
            rig.wait_count(connects, "broker_connects", "connected")
            raise_alarms(rig, connects, 1)
            wait_until(lambda n=connects: n in seqs(broker), 20, "the alarm")  # type: ignore[misc]
            newest = broker.published[-1]
            assert newest.qos == 0 or broker.faults.maximum_qos > 0
        rig.settled()
    assert set(limits_told(caplog)) == {NO_RETAIN, QOS_0}


@pytest.mark.parametrize(("retains", "qos"), [(False, 0), (False, 1)])
def test_an_edge_node_is_born_on_a_broker_with_limits(retains: bool, qos: int) -> None:
    with (
        fault_broker(retains=retains, maximum_qos=qos, wildcards=False) as broker,
        sparkplug(broker.url, protocol="5") as rig,
    ):
        rig.wait_count(1, "sparkplug_messages", "NBIRTH")
        # Of QoS 0 it is known that it was written, not that it has arrived.
        wait_until(lambda: any("/NBIRTH/" in one.topic for one in broker.published), 10, "born")


def test_what_was_refused_once_is_offered_again_on_the_connection_that_stands(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It waited for the next connect, which may be weeks away."""
    for module in (memory, subscriptions):
        monkeypatch.setattr(module, "REFUSED_RETRY_S", 0.2)
    monkeypatch.setattr(replay, "UNHEARD_RETRY_S", 0.2)
    with (
        caplog.at_level("INFO", subscriptions.__name__),
        fault_broker(puback_reason=QUOTA, suback_reason=135) as broker,
        running(broker.url, protocol="5") as rig,
    ):
        raise_alarms(rig, 1, 1)
        rig.publisher.explanation(examples.explanation())
        rig.wait_count(2, "publish_results", "alarm", "quota_exceeded")
        rig.wait_count(2, "publish_results", "cam", "quota_exceeded")
        wait_until(lambda: len(broker.subscribed) >= 6, 10, "each asked for twice")
        broker.faults.puback_reason = broker.faults.suback_reason = 0
        for family in ("alarm", "event", "explanation", "cam", "meta"):
            rig.wait_count(1, "messages_delivered", family)
        wait_until(
            lambda: any(r.getMessage() == "subscription_accepted" for r in caplog.records), 10
        )
        assert broker.connects == 1


def test_a_broker_of_3_1_1_that_hangs_up_at_retained_messages_can_be_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        fault_broker(retains_silently_not=True) as broker,
        running(broker.url, protocol="3.1.1", retain=False) as rig,
    ):
        raise_alarms(rig, 1, 2)
        wait_until(lambda: set(seqs(broker)) == {1, 2}, 10, "both alarms")
        rig.settled()
        assert broker.connects == 1
        assert not any(one.retain for one in broker.published)
    assert limits_told(caplog) == [NO_RETAIN]


def test_a_broker_that_takes_a_retained_will_and_retains_nothing_is_sent_none() -> None:
    """It breaks the rule that it states; its word counts."""
    with (
        fault_broker(retains=False, takes_wills=True) as broker,
        running(broker.url, protocol="5") as rig,
    ):
        raise_alarms(rig, 1, 2)
        wait_until(lambda: set(seqs(broker)) == {1, 2}, 10, "both alarms")
        rig.settled()
        assert broker.connects == 1
        assert not any(one.retain for one in broker.published)


@pytest.mark.needs_mosquitto
@pytest.mark.parametrize(
    ("protocol", "extra", "limits"),
    [
        ("5", "retain_available false", [NO_RETAIN]),
        ("5", "max_qos 0", [QOS_0]),
        ("5", "retain_available false\nmax_qos 0", [QOS_0, NO_RETAIN]),
        ("5", "max_qos 1", []),
        ("3.1.1", "retain_available false", [NO_RETAIN]),
    ],
)
def test_a_mosquitto_with_limits_gets_everything(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    protocol: str,
    extra: str,
    limits: list[str],
) -> None:
    told = {} if protocol == "5" else {"retain": False}
    with (
        mosquitto(tmp_path, extra) as broker,
        Observer(broker.port) as observer,
        running(broker.url, protocol=protocol, **told) as rig,
    ):
        rig.publisher.alarm(examples.alarm())
        rig.publisher.fruit(examples.fruit(), "cam1")
        rig.publisher.explanation(examples.explanation())
        for ending in ("event/alarm", "fruit/cam1", "alarm/camera_lost-cam1", "suture/image"):
            observer.wait(ending)
        rig.settled()
        assert rig.books.total("broker_disconnects") == 0
    assert sorted(limits_told(caplog)) == sorted(limits)

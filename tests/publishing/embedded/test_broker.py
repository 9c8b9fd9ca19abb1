"""The embedded broker as a real process: what it can do, what it bounds, and how it is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import psutil
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.publishing.embedded import broker as embedded
from agent.publishing.embedded import process
from agent.publishing.embedded.broker import BrokerError, EmbeddedBroker
from agent.records import Quality
from tests.publishing import examples
from tests.publishing.examples import BASE, Books
from tests.publishing.rig import running
from tests.support import free_port, wait_until
from tests.support.mosquitto import Observer, retained

START_S = 60.0


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    running_broker = EmbeddedBroker("127.0.0.1", 0)
    running_broker.start(START_S)
    yield running_broker
    running_broker.stop()


@pytest.fixture
def own_broker() -> Iterator[tuple[EmbeddedBroker, Books]]:
    """One that the test may kill."""
    books = Books()
    mine = EmbeddedBroker("127.0.0.1", 0, books)
    mine.start(START_S)
    yield mine, books
    mine.stop()


def url(broker: EmbeddedBroker) -> str:
    return f"mqtt://127.0.0.1:{broker.port}"


def client(broker: EmbeddedBroker, **options: object) -> paho.Client:
    """A plain MQTT 3.1.1 client, not connected yet."""
    return paho.Client(CallbackAPIVersion.VERSION2, **options)  # type: ignore[arg-type]


def connected(broker: EmbeddedBroker, subject: paho.Client) -> paho.Client:
    subject.connect("127.0.0.1", broker.port)
    subject.loop_start()
    wait_until(subject.is_connected, 10, "connected")
    return subject


def test_a_retained_message_of_more_than_100_kb_reaches_early_and_late_subscribers(
    broker: EmbeddedBroker,
) -> None:
    payload = os.urandom(150_000)
    with Observer(broker.port, "large/#", version=4) as early:
        publisher = connected(broker, client(broker))
        publisher.publish("large/a", payload, 1, retain=True).wait_for_publish(10)
        assert early.wait("large/a")[0].payload == payload
        (kept,) = retained(broker.port, "large/#")
        assert kept.payload == payload
        publisher.publish("large/a", b"", 1, retain=True).wait_for_publish(10)
        publisher.disconnect()
        publisher.loop_stop()
    assert retained(broker.port, "large/#") == []


def test_a_client_is_sent_nothing_that_only_others_subscribed_to(broker: EmbeddedBroker) -> None:
    publisher = connected(broker, client(broker))
    publisher.publish("others/a", b"1", 1, retain=True).wait_for_publish(10)
    with Observer(broker.port, "others/#", version=4) as first:
        first.wait("others/a")
        with Observer(broker.port, "mine/#", version=4) as second:
            publisher.publish("mine/a", b"2", 1).wait_for_publish(10)
            second.wait("mine/a")
            assert [seen.topic for seen in second.all()] == ["mine/a"]
    publisher.publish("others/a", b"", 1, retain=True).wait_for_publish(10)
    publisher.disconnect()
    publisher.loop_stop()


def test_the_will_of_a_client_that_vanishes_is_published_and_retained(
    broker: EmbeddedBroker,
) -> None:
    with Observer(broker.port, "will/#", version=4) as observer:
        victim = client(broker)
        victim.will_set("will/a", b"gone", 1, retain=True)
        connected(broker, victim)
        sock = victim.socket()
        assert sock is not None
        victim.loop_stop()
        sock.close()
        assert observer.wait("will/a")[0].payload == b"gone"
    assert [seen.payload for seen in retained(broker.port, "will/#")] == [b"gone"]


def test_a_client_that_says_goodbye_leaves_no_will(broker: EmbeddedBroker) -> None:
    with Observer(broker.port, "farewell/#", version=4) as observer:
        polite = client(broker)
        polite.will_set("farewell/a", b"gone", 1)
        connected(broker, polite)
        polite.disconnect()
        polite.loop_stop()
        other = connected(broker, client(broker))
        other.publish("farewell/b", b"after", 1).wait_for_publish(10)
        observer.wait("farewell/b")
        assert [seen.topic for seen in observer.all()] == ["farewell/b"]
        other.disconnect()
        other.loop_stop()


def test_the_publisher_falls_back_to_3_1_1_at_once_and_everything_arrives(
    broker: EmbeddedBroker,
) -> None:
    started = time.monotonic()
    with Observer(broker.port, f"{BASE}/#", version=4) as observer:
        with running(url(broker), reconnect_first_s=30.0, reconnect_max_s=60.0) as rig:
            assert time.monotonic() - started < 10
            assert rig.publisher.link().protocol == "3.1.1"
            large = examples.overlay(side_px=170, noise=True)
            rig.publisher.explanation(examples.explanation(overlays=(large,)))
            rig.publisher.alarm(examples.alarm())
            assert observer.wait("suture/image")[0].payload == large.data
            observer.wait("suture/meta")
            observer.wait("event/alarm")
            assert rig.publisher.stop(5.0)
        wait_until(lambda: b"stopped" in observer.all("status")[-1].payload, 10)
    (kept,) = retained(broker.port, f"{BASE}/status")
    assert json.loads(kept.payload)["state"] == "stopped"


def test_a_connect_of_mqtt_5_is_refused_in_words_that_the_client_understands(
    broker: EmbeddedBroker,
) -> None:
    reasons: list[str] = []
    modern = paho.Client(
        CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5, reconnect_on_failure=False
    )
    modern.on_connect = lambda _c, _u, _f, reason, _p: reasons.append(str(reason))
    modern.connect("127.0.0.1", broker.port)
    modern.loop_start()
    wait_until(lambda: reasons, 5, "an answer")
    modern.loop_stop()
    assert reasons == ["Unsupported protocol version"]


def test_a_port_in_use_is_an_error_that_names_it(broker: EmbeddedBroker) -> None:
    second = EmbeddedBroker("127.0.0.1", broker.port)
    with pytest.raises(BrokerError, match=rf"embedded_port: 127.0.0.1:{broker.port}: Address"):
        second.start(START_S)
    assert broker.alive()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::"])
def test_it_listens_nowhere_but_on_loopback(host: str) -> None:
    with pytest.raises(BrokerError, match="not loopback"):
        EmbeddedBroker(host, 0)


def test_stopping_frees_the_port_and_leaves_no_process() -> None:
    mine = EmbeddedBroker("127.0.0.1", free_port())
    mine.start(START_S)
    port, pid = mine.port, mine.pid
    mine.stop()
    assert not psutil.pid_exists(pid)
    socket.create_server(("127.0.0.1", port)).close()


def test_kill_9_of_the_broker_brings_a_new_one_on_the_same_port_with_the_whole_state(
    own_broker: tuple[EmbeddedBroker, Books],
) -> None:
    broker, books = own_broker
    with running(url(broker)) as rig:
        rig.publisher.metric("cam1", "fps", 4.0, Quality.GOOD, 1)
        rig.publisher.alarm(examples.alarm())
        rig.settled()
        port, first = broker.port, broker.pid
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: broker.restarts == 1 and broker.alive(), START_S, "replaced")
        assert (broker.port, broker.pid != first) == (port, True)
        rig.wait_online(START_S)
        rig.settled()
        topics = {seen.topic.removeprefix(f"{BASE}/") for seen in retained(port)}
        assert topics == {"status", "meta", "metric/cam1/fps", "alarm/camera_lost-cam1"}
        assert books.total("broker_restarts", "exited") == 1


def test_a_broker_that_hangs_is_replaced(
    own_broker: tuple[EmbeddedBroker, Books], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, books = own_broker
    monkeypatch.setattr(embedded, "SILENT_AFTER_S", 2.0)
    first = broker.pid
    os.kill(first, signal.SIGSTOP)
    wait_until(lambda: broker.restarts == 1 and broker.alive(), START_S, "replaced")
    assert not psutil.pid_exists(first)
    assert books.total("broker_restarts", "silent") == 1
    connected(broker, client(broker)).loop_stop()


def test_a_broker_that_hangs_holds_up_the_stop_for_no_longer_than_allowed(
    own_broker: tuple[EmbeddedBroker, Books],
) -> None:
    broker, _ = own_broker
    pid = broker.pid
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    broker.stop(0.2)
    assert time.monotonic() - started < 2.5
    assert not psutil.pid_exists(pid)


def test_a_broker_that_grows_beyond_its_limit_is_replaced(
    own_broker: tuple[EmbeddedBroker, Books], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, books = own_broker
    monkeypatch.setattr(embedded, "MEMORY_LIMIT_BYTES", 1024)
    wait_until(lambda: books.total("broker_restarts", "memory") >= 1, START_S, "replaced")
    monkeypatch.undo()
    wait_until(broker.alive, START_S, "alive again")


PARENT = """
    import time
    from agent.publishing.embedded.broker import EmbeddedBroker
    broker = EmbeddedBroker("127.0.0.1", 0)
    broker.start(60)
    print(broker.pid, broker.port, flush=True)
    time.sleep(120)
"""


def test_kill_9_of_the_agent_leaves_neither_the_broker_nor_its_port() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert parent.stdout is not None
        pid, port = map(int, parent.stdout.readline().split())
        assert psutil.pid_exists(pid)
    finally:
        parent.kill()
        parent.wait(10)
    wait_until(lambda: not psutil.pid_exists(pid), 10, "the broker's process is gone")
    socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        bytes([0x10, 0xFF, 0xFF, 0xFF, 0xFF]),
        bytes([0x10, 12, 0, 4]) + b"MQTT" + bytes([4, 2, 0, 60, 0, 0]) + bytes([0x30, 0xFF]) * 9,
        bytes([0x10, 12, 0, 4]) + b"MQTT" + bytes([4, 2, 0, 60, 0, 0])
        + bytes([0x30, 0x80, 0x80, 0x80, 0x01, 0, 1, 0x61]) + bytes(2_200_000),  # 2 MiB announced
        bytes(range(256)) * 20,
    ],
)  # fmt: skip
def test_a_client_that_speaks_nonsense_costs_only_its_own_connection(
    broker: EmbeddedBroker, words: bytes
) -> None:
    restarts = broker.restarts
    with socket.create_connection(("127.0.0.1", broker.port), 5) as peer:
        try:
            peer.sendall(words)
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(65536):
                pass
        except OSError:
            pass
    survivor = connected(broker, client(broker))
    survivor.publish("still/alive", b"1", 1).wait_for_publish(10)
    survivor.disconnect()
    survivor.loop_stop()
    assert broker.restarts == restarts


@pytest.mark.long
def test_a_thousand_retained_pictures_on_a_few_topics_take_no_more_memory_than_a_few(
    broker: EmbeddedBroker,
) -> None:
    publisher = connected(broker, client(broker))
    pictures = [os.urandom(60 * 1024) for _ in range(4)]

    def publish(count: int) -> None:
        for i in range(count):
            info = publisher.publish(f"memory/{i % 6}", pictures[i % 4], 1, retain=True)
        info.wait_for_publish(30)

    publish(60)
    before = psutil.Process(broker.pid).memory_info().rss
    publish(1000)
    assert psutil.Process(broker.pid).memory_info().rss - before < 40 * 1024 * 1024
    publisher.disconnect()
    publisher.loop_stop()


@pytest.mark.long
def test_a_subscriber_that_reads_nothing_is_cut_off_and_no_other_waits_for_it(
    broker: EmbeddedBroker,
) -> None:
    stalled = socket.create_connection(("127.0.0.1", broker.port), 5)
    stalled.sendall(bytes([0x10, 15, 0, 4]) + b"MQTT" + bytes([4, 2, 0, 60, 0, 3]) + b"slo")
    stalled.sendall(bytes([0x82, 12, 0, 1, 0, 7]) + b"stall/#" + bytes([0]))
    publisher = connected(broker, client(broker))
    with Observer(broker.port, "stall/#", version=4) as observer:
        for _ in range(150):  # far beyond what the sockets hold
            publisher.publish("stall/a", bytes(60 * 1024), 0)
        publisher.publish("stall/b", b"end", 1).wait_for_publish(10)
        observer.wait("stall/b", timeout_s=10)
        time.sleep(process.STALLED_AFTER_S + 1)
        received = 0
        stalled.settimeout(5)  # a TimeoutError here: it was not cut off
        with contextlib.suppress(ConnectionError):
            while data := stalled.recv(1 << 20):
                received += len(data)
        assert received < 150 * 60 * 1024
    publisher.disconnect()
    publisher.loop_stop()
    stalled.close()


def test_what_is_retained_is_capped_and_the_oldest_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "RETAINED_MAX_BYTES", 250)

    async def scenario() -> list[str]:
        subject = process.BoundedBroker(process.configuration())
        for topic in ("a", "b", "a", "c"):
            await subject.retain_message(None, topic, bytes(100), 0)
        return list(subject.retained_messages)

    assert asyncio.run(scenario()) == ["a", "c"]

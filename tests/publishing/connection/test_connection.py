"""Brokers that misbehave, byte by byte, and what the publisher makes of them."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
import time

import pytest

from agent.config.url import parse_broker
from agent.publishing.connection import connection
from agent.publishing.publisher import Publisher, PublisherHooks
from agent.publishing.wire.messages import Message
from agent.records import LinkStatus, MachineInfo
from tests.publishing import examples
from tests.publishing import rig as rigs
from tests.publishing.rig import Rig
from tests.publishing.scripted_broker import (
    CONNACK_UNSUPPORTED,
    CONNACK_V5,
    CONNACK_V311,
    DISCONNECT_TAKEN_OVER,
    ScriptedBroker,
    protocol_of,
)
from tests.support import wait_until

running = functools.partial(rigs.running, stop_s=0.2)  # no script answers the farewell


def speak_3_1_1(_index: int, connect: bytes, peer: socket.socket) -> None:
    peer.sendall(CONNACK_V311 if protocol_of(connect) == 4 else CONNACK_UNSUPPORTED)


def accept_5(_index: int, _connect: bytes, peer: socket.socket) -> None:
    peer.sendall(CONNACK_V5)


def test_auto_falls_back_to_3_1_1_within_a_moment_when_5_is_refused() -> None:
    with ScriptedBroker(speak_3_1_1, hold=True) as broker:
        started = time.monotonic()
        with running(broker.url, reconnect_first_s=60.0, reconnect_max_s=60.0) as rig:
            assert time.monotonic() - started < 5  # a back-off would take up to a minute
            assert rig.publisher.link().protocol == "3.1.1"
            assert [protocol_of(packet) for packet in broker.connects] == [5, 4]
            assert rig.books.total("broker_connects", "unsupported_protocol") == 1


def test_a_fixed_protocol_is_not_left() -> None:
    with (
        ScriptedBroker(speak_3_1_1) as broker,
        running(broker.url, wait=False, protocol="5") as rig,
    ):
        rig.wait_count(3, "broker_connects", "unsupported_protocol")
        assert {protocol_of(packet) for packet in broker.connects} == {5}


def test_a_broker_that_hangs_up_at_a_connect_of_5_is_tried_with_3_1_1() -> None:
    def hang_up_at_5(_index: int, connect: bytes, peer: socket.socket) -> None:
        if protocol_of(connect) == 4:
            peer.sendall(CONNACK_V311)
            time.sleep(0.5)

    with ScriptedBroker(hang_up_at_5) as broker, running(broker.url, wait=False) as rig:
        rig.wait_count(1, "broker_connects", "connected")
        assert [protocol_of(packet) for packet in broker.connects[:3]] == [5, 5, 4]
        assert rig.books.total("broker_connects", "no_answer") == 2


def test_a_broker_that_takes_the_connection_and_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 0.3)
    with (
        ScriptedBroker(lambda *_: None, hold=True) as broker,
        running(broker.url, wait=False) as rig,
    ):
        rig.wait_count(3, "broker_connects", "no_answer")
        assert not rig.online()


def test_a_takeover_that_the_broker_names_waits_for_the_penalty() -> None:
    def take_over(_index: int, _connect: bytes, peer: socket.socket) -> None:
        peer.sendall(CONNACK_V5 + DISCONNECT_TAKEN_OVER)

    with (
        ScriptedBroker(take_over, hold=True) as broker,
        running(broker.url, wait=False, reconnect_penalty_s=30.0) as rig,
    ):
        rig.wait_count(1, "broker_disconnects", "taken_over")
        time.sleep(1.0)
        assert len(broker.connects) == 1
        assert rig.links[-1].reason == "taken_over"


@pytest.mark.parametrize(
    "garbage",
    [
        CONNACK_V5 + bytes([0x40, 3, 0, 2, 0x77]),  # PUBACK with a reason that does not exist
        CONNACK_V5 + bytes([0xF0, 0]),  # AUTH, which was never agreed
        CONNACK_V5 + bytes([0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),  # length that never ends
        CONNACK_V5 + bytes([0x90, 1, 0]),  # SUBACK cut short
        bytes([0x20, 3, 0, 0x55, 0]),  # CONNACK with a reason that does not exist
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        bytes(range(256)),
    ],
)
def test_garbage_from_the_broker_ends_the_connection_and_never_the_publisher(
    garbage: bytes,
) -> None:
    def say(index: int, _connect: bytes, peer: socket.socket) -> None:
        peer.sendall(garbage if index == 0 else CONNACK_V5)
        if index > 0:
            with contextlib.suppress(OSError):
                while peer.recv(65536):
                    pass

    with ScriptedBroker(say) as broker, running(broker.url, wait=False, protocol="5") as rig:
        wait_until(lambda: len(broker.connects) >= 2, 20, "a second attempt")
        rig.wait_online()


def test_an_answer_to_nothing_is_ignored() -> None:
    def say(_index: int, _connect: bytes, peer: socket.socket) -> None:
        peer.sendall(CONNACK_V5 + bytes([0x40, 2, 0xEE, 0xEE]))

    with ScriptedBroker(say, hold=True) as broker, running(broker.url) as rig:
        rig.publisher.fruit(examples.fruit(), "cam1")
        time.sleep(0.2)
        assert rig.online()


def test_a_window_holds_no_more_than_the_broker_or_the_configuration_allows() -> None:
    received: list[bytes] = []

    def swallow(_index: int, _connect: bytes, peer: socket.socket) -> None:
        peer.sendall(bytes([0x20, 6, 0, 0, 3, 0x21, 0, 3]))  # receive maximum 3
        with contextlib.suppress(OSError):
            while data := peer.recv(65536):
                received.append(data)

    with ScriptedBroker(swallow) as broker, running(broker.url, in_flight_max=20) as rig:
        for i in range(20):
            rig.publisher.explanation(examples.explanation(job_id=f"job-{i}", overlays=()))
        wait_until(lambda: b"".join(received).count(b"job-") > 0, 10)
        time.sleep(0.3)
        stream = b"".join(received)
        published = stream.count(b'"job_id"') + stream.count(b'"uptime_s"')
        published += stream.count(b'"schema_prefix"')
        assert published == 3


def test_a_message_above_the_packet_size_of_the_broker_is_dropped_and_counted() -> None:
    def narrow(_index: int, _connect: bytes, peer: socket.socket) -> None:
        peer.sendall(bytes([0x20, 8, 0, 0, 5, 0x27, 0, 0, 0x08, 0]))  # maximum packet size 2048
        time.sleep(1.0)

    with ScriptedBroker(narrow) as broker, running(broker.url) as rig:
        large = examples.overlay(side_px=64, noise=True)
        rig.publisher.explanation(examples.explanation(overlays=(large,)))
        rig.wait_count(1, "messages_dropped", "cam", "packet_too_large")


def test_an_unknown_host_is_an_unreachable_broker() -> None:
    with running("mqtt://no-such-host.invalid:1883", wait=False) as rig:
        rig.wait_count(1, "broker_connects", "unreachable")


def test_a_name_look_up_that_hangs_holds_up_neither_the_loop_nor_the_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = threading.Event()
    looked_up = []

    def hang(*_args: object, **_named: object) -> socket.socket:
        looked_up.append(1)
        release.wait(30)
        raise TimeoutError("name service")

    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 0.2)
    monkeypatch.setattr("paho.mqtt.client.socket.create_connection", hang)
    with running("mqtt://slow.invalid:1883", wait=False) as rig:
        rig.wait_count(1, "broker_connects", "unreachable")
        beats = rig.books.beats
        wait_until(lambda: rig.books.beats > beats + 2, 10, "the loop still moves")
        assert len(looked_up) == 1  # no second look-up while the first hangs
        started = time.monotonic()
        assert not rig.publisher.stop(5.0)
        assert time.monotonic() - started < 3
    release.set()


def test_a_fault_in_a_callback_of_the_wiring_costs_one_connection_not_the_publisher() -> None:
    class Faulty(Rig):
        def __init__(self, broker: str) -> None:
            super().__init__(broker)
            self.calls = 0
            hooks = PublisherHooks(self.said, self.changed, self.commands.append)
            self.publisher = Publisher(
                examples.settings(broker), self.books, time.monotonic, hooks, self.store
            )

        def said(self, _info: MachineInfo) -> None:
            pass

        def changed(self, status: LinkStatus) -> None:
            self.calls += 1
            if self.calls == 1:
                raise RuntimeError("not ours")
            self.links.append(status)

    with ScriptedBroker(accept_5, hold=True) as broker:
        rig = Faulty(broker.url)
        rig.publisher.start()
        rig.wait_online()
        wait_until(lambda: rig.links and rig.links[-1].connected, 10)
        assert len(broker.connects) == 2
        rig.publisher.stop(1.0)
        rig.books.balance()


@pytest.mark.parametrize("broker", ["embedded", "none"])
def test_a_broker_that_is_no_host_is_an_error_at_once(broker: str) -> None:
    with pytest.raises(ValueError, match="names no host"):
        Rig(broker)


def test_no_representation_shows_a_password() -> None:
    address = parse_broker("mqtt://joe:hunter2@localhost")
    request = connection.ConnectRequest(
        address, "id", 30, "5", lambda: Message("t", "status", b""), "joe", "hunter2"
    )
    assert "hunter2" not in repr(request)
    settings = examples.settings("mqtt://joe:hunter2@localhost")
    assert "hunter2" not in repr(settings)
    assert "hunter3" not in repr(examples.settings(username="joe", password="hunter3"))

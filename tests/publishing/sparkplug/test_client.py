"""The edge node on a real mosquitto: what a host application receives, packet by packet."""

from __future__ import annotations

import json
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.publishing.sparkplug.codec import DataType, Metric, Payload, encode, value_of
from agent.publishing.sparkplug.settings import FRUIT_TAGS
from agent.publishing.sparkplug.writes import ANSWER, WRITABLE, Written
from agent.publishing.wire import payloads
from agent.records import (
    AlarmState,
    CameraState,
    Command,
    CommandOutcome,
    MachineInfo,
    NoReadReason,
    Quality,
    Reading,
)
from tests.publishing import examples
from tests.publishing.scripted_broker import CONNACK_V5, ScriptedBroker
from tests.publishing.sparkplug.host import Host
from tests.publishing.sparkplug.rig import NCMD, REBIRTH, Listener, SparkplugRig, sparkplug
from tests.publishing.sparkplug.tck import covers
from tests.support import free_port, wait_until
from tests.support.mosquitto import Mosquitto, Observer, mosquitto

NODE = "spBv1.0/plant-site/{}/pitwatch"
NDEATH = NODE.format("NDEATH")

pytestmark = pytest.mark.needs_mosquitto


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path) as running_broker:
        yield running_broker


@pytest.fixture
def listener(broker: Mosquitto) -> Iterator[Listener]:
    with Observer(broker.port, "spBv1.0/#") as observer:
        yield Listener(observer)


def publish_everything(rig: SparkplugRig, seq: int = 1) -> None:
    rig.publisher.metric("agent", "uptime_s", 10.0 * seq, Quality.GOOD, examples.STAMP)
    rig.publisher.metric("cam1", "fps", 4.0 * seq, Quality.GOOD, examples.STAMP)
    rig.publisher.fruit(examples.fruit(seq=seq, captured_utc_ms=examples.STAMP + seq), "cam1")
    rig.publisher.alarm(examples.alarm())


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@covers(
    "payloads-nbirth-qos", "payloads-nbirth-retain", "payloads-dbirth-qos",
    "payloads-dbirth-retain", "message-flow-edge-node-birth-publish-nbirth-qos",
    "message-flow-edge-node-birth-publish-nbirth-retained",
    "message-flow-device-birth-publish-dbirth-qos",
    "message-flow-device-birth-publish-dbirth-retained",
    "message-flow-edge-node-birth-publish-connect",
    "operational-behavior-edge-node-intentional-disconnect-ndeath",
    "operational-behavior-edge-node-intentional-disconnect-packet",
    "payloads-ndeath-will-message-publisher",
    "payloads-ndeath-will-message-publisher-disconnect-mqtt311",
)  # fmt: skip
def test_a_host_follows_the_node_from_its_birth_over_data_to_its_death(
    broker: Mosquitto, listener: Listener, protocol: str
) -> None:
    with sparkplug(broker.url, protocol=protocol) as rig:
        publish_everything(rig)
        host = listener.wait(
            lambda h: h.tags.get(("cam1", "Fruit/seq")) and h.value("Fruit/seq", "cam1") == 1,
            "the fruit",
        )
        listener.wait(lambda h: ("", "Alarms/camera_lost-cam1/active") in h.tags, "the alarm")
        assert host.value("Alarms/camera_lost-cam1/active") is True
        assert host.value("Fruit/angle_deg", "cam1") == 37.5
        assert host.value("Fruit/read", "cam1") is True
        assert host.value("Fruit/fruit_id", "cam1") == "4711"
        assert host.value("Fruit/machine_timestamp_ms", "cam1") == examples.STAMP - 5
        assert host.value("Properties/Software_Version") == "0.1.0"
        assert host.value("Cameras/cam1/state") == "live"
        assert host.tags["cam1", "fps"].unit == "Hz"
        for i in range(2, 6):
            publish_everything(rig, i)
        listener.wait(lambda h: h.value("Fruit/seq", "cam1") == 5, "the fifth fruit")
        assert rig.publisher.stop(2.0)
        host = listener.wait(lambda h: not h.online, "the death")
    assert {(m.qos, m.retained) for m in host.messages if m.type != "NDEATH"} == {(0, False)}
    assert all(m.qos == 1 for m in host.of("NDEATH"))
    assert host.devices == {"cam1": False}
    # MQTT 5 says "disconnect with will message", so the broker tells the death once more.
    wait_until(lambda: len(listener.listen().of("NDEATH")) == (2 if protocol == "5" else 1), 5)


def test_another_network_changes_the_nodes_properties(
    broker: Mosquitto, listener: Listener
) -> None:
    with sparkplug(broker.url) as rig:
        publish_everything(rig)
        listener.wait(lambda h: "cam1" in h.devices, "the births")
        rig.publisher.model("second", "b" * 64)
        listener.wait(lambda h: h.value("Properties/Model") == "second", "the new name")
        listener.wait(lambda h: h.value("Properties/Model_SHA256") == "b" * 64, "the new digest")
        assert rig.publisher.stop(2.0)


@covers("message-flow-edge-node-ncmd-subscribe")
def test_a_rebirth_command_is_answered_with_births_of_the_same_bdseq(
    broker: Mosquitto, listener: Listener
) -> None:
    with sparkplug(broker.url, sparkplug={"rebirth_debounce_s": 0.0}) as rig:
        publish_everything(rig)
        listener.wait(lambda h: ("", "Alarms/camera_lost-cam1/active") in h.tags, "the alarm")
        births = len(listener.listen().of("NBIRTH"))
        listener._observer.client.publish(NCMD, REBIRTH)
        listener.wait_for("NBIRTH", births + 1)
        assert listener.host.bdseq == 0
        assert rig.books.total("sparkplug_births", "command") == 1


@covers("message-flow-device-dcmd-subscribe")
def test_a_device_takes_no_command(broker: Mosquitto, listener: Listener) -> None:
    with sparkplug(broker.url):
        listener.wait_for("DBIRTH")
        assert "spBv1.0/plant-site/NCMD/pitwatch (QoS 1)" in broker.log
        assert "DCMD" not in broker.log


def test_a_camera_that_is_lost_and_back_dies_and_is_born(
    broker: Mosquitto, listener: Listener
) -> None:
    with sparkplug(broker.url) as rig:
        rig.camera("cam2")
        listener.wait(lambda h: h.devices.get("cam2"), "cam2")
        rig.camera("cam1", CameraState.BACKOFF)
        host = listener.wait(lambda h: h.devices.get("cam1") is False, "the death of cam1")
        assert host.devices["cam2"]
        rig.camera("cam1")
        listener.wait(lambda h: h.devices["cam1"], "cam1 again")
        rig.camera("cam1", CameraState.FROZEN)
        listener.wait(lambda h: h.value("Cameras/cam1/state") == "frozen", "its state")
        assert host.devices["cam1"], "a frozen camera delivers"


@covers(
    "topics-nbirth-bdseq-increment",
    "message-flow-edge-node-birth-publish-will-message-payload-bdSeq",
)  # fmt: skip
def test_a_broker_that_is_killed_is_told_all_again_with_the_next_bdseq_and_the_outage_after_it(
    broker: Mosquitto,
) -> None:
    with sparkplug(broker.url, keepalive_s=5) as rig:
        rig.publisher.fruit(examples.fruit(seq=1, captured_utc_ms=examples.STAMP), "cam1")
        rig.wait_count(6, "sparkplug_samples", "live")
        broker.kill()
        wait_until(lambda: not rig.publisher.link().connected, 10, "the loss")
        for seq in range(2, 12):
            rig.publisher.fruit(
                examples.fruit(seq=seq, captured_utc_ms=examples.STAMP + seq), "cam1"
            )
        wait_until(lambda: rig.books.total("broker_connects", "unreachable") >= 2, 10)
        broker.start()
        with Observer(broker.port, "spBv1.0/#") as observer:
            listener = Listener(observer)
            # The node may have been born before the observer came: ask, as any host would.
            rig.wait_online()
            observer.client.publish(NCMD, REBIRTH)
            host = listener.wait(lambda h: h.online, "the birth")
            assert host.bdseq == 1, "failed TCP attempts send no CONNECT"
            rig.wait_count(60, "sparkplug_samples", "historical")
            assert rig.books.total("sparkplug_samples", "lost") == 0


# --- bdSeq and CONNECT ----------------------------------------------------------------------------


def will_of(connect: bytes, version: int) -> dict[str, Any]:
    """Read flags, will topic and payload out of a CONNECT packet (MQTT 5, section 3.1)."""
    at = 2 if connect[1] < 0x80 else 3
    (length,) = struct.unpack_from(">H", connect, at)
    at += 2 + length + 1
    flags, at = connect[at], at + 3
    session_expiry = None
    if version == 5:
        properties = connect[at + 1 : at + 1 + connect[at]]
        session_expiry = 0x11 in properties[:1]
        at += 1 + connect[at]

    def take(at: int) -> tuple[bytes, int]:
        (length,) = struct.unpack_from(">H", connect, at)
        return connect[at + 2 : at + 2 + length], at + 2 + length

    client_id, at = take(at)
    if version == 5:
        at += 1 + connect[at]
    topic, at = take(at)
    payload, at = take(at)
    return {
        "clean": bool(flags & 2), "will": bool(flags & 4), "qos": flags >> 3 & 3,
        "retain": bool(flags & 0x20), "client_id": client_id.decode(), "topic": topic.decode(),
        "payload": payload, "session_expiry": session_expiry,
    }  # fmt: skip


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@covers(
    "message-flow-edge-node-birth-publish-will-message",
    "message-flow-edge-node-birth-publish-will-message-topic",
    "message-flow-edge-node-birth-publish-will-message-payload",
    "message-flow-edge-node-birth-publish-will-message-qos",
    "message-flow-edge-node-birth-publish-will-message-will-retained",
    "payloads-ndeath-will-message", "payloads-ndeath-will-message-qos",
    "payloads-ndeath-will-message-retain", "principles-persistence-clean-session-311",
    "principles-persistence-clean-session-50",
)  # fmt: skip
def test_every_connect_carries_the_death_as_will_with_the_next_bdseq(protocol: str) -> None:
    with ScriptedBroker(lambda _i, _connect, _socket: None) as broker:
        rig = SparkplugRig(broker.url, protocol=protocol, reconnect_max_s=0.1)
        rig.publisher.start()
        try:
            wait_until(lambda: len(broker.connects) >= 3, 10, "three CONNECT packets")
        finally:
            rig.publisher.stop(1.0)
    for number, connect in enumerate(broker.connects[:3]):
        will = will_of(connect, 5 if protocol == "5" else 4)
        assert (will["client_id"], will["topic"]) == ("pitwatch-spb", NDEATH)
        assert (will["clean"], will["will"], will["qos"], will["retain"]) == (True, True, 1, False)
        assert not will["session_expiry"], "0 by default: the session ends with the connection"
        death = Host().feed(NDEATH, will["payload"], 1)
        assert death.payload.metrics[0].long_value == number


def test_failed_tcp_attempts_take_no_bdseq() -> None:
    taken: list[int] = []

    def bdseq() -> int:
        taken.append(len(taken))
        return taken[-1]

    rig = SparkplugRig(f"mqtt://127.0.0.1:{free_port()}", bdseq, reconnect_max_s=0.1)
    rig.publisher.start()
    rig.wait_count(3, "broker_connects", "unreachable")
    rig.publisher.stop(1.0)
    assert taken == []


def test_a_disk_that_does_not_keep_the_bdseq_does_not_cost_the_will(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> int:
        raise sqlite3.OperationalError("disk I/O error")

    with ScriptedBroker(lambda _i, _connect, _socket: None) as broker:
        rig = SparkplugRig(broker.url, broken, protocol="3.1.1", reconnect_max_s=0.1)
        rig.publisher.start()
        wait_until(lambda: len(broker.connects) >= 2, 10, "two CONNECT packets")
        rig.publisher.stop(1.0)
    wills = [Host().feed(NDEATH, will_of(one, 4)["payload"], 1) for one in broker.connects[:2]]
    assert [will.payload.metrics[0].long_value for will in wills] == [1, 2]
    assert "bdseq_not_kept" in {record.getMessage() for record in caplog.records}


@covers("payloads-ndeath-will-message-publisher-disconnect-mqtt50")
def test_a_clean_stop_on_mqtt_5_disconnects_with_reason_4() -> None:
    heard = bytearray()
    hung_up = threading.Event()

    def script(_index: int, _connect: bytes, socket: Any) -> None:
        socket.sendall(CONNACK_V5)
        acknowledged = False
        while data := socket.recv(65536):  # a packet may come in pieces
            heard.extend(data)
            at = heard.find(NDEATH.encode())
            mid = bytes(heard[at + len(NDEATH) : at + len(NDEATH) + 2])
            if at >= 0 and len(mid) == 2 and not acknowledged:
                acknowledged = True
                socket.sendall(b"\x40\x02" + mid)
        hung_up.set()

    with ScriptedBroker(script) as broker:
        rig = SparkplugRig(broker.url, protocol="5")
        rig.publisher.start()
        rig.wait_online()
        assert rig.publisher.stop(2.0)
        assert hung_up.wait(10), "the connection is closed after the DISCONNECT"
    death = heard.find(NDEATH.encode())
    assert death > 0
    tail = bytes(heard[death:])
    assert b"\xe0\x01\x04" in tail or b"\xe0\x02\x04\x00" in tail


KILLED = """
import sys, time
from pathlib import Path
from agent.storage.store import Store
from agent.telemetry import NullTelemetry
from tests.publishing.sparkplug.rig import SparkplugRig

store = Store(Path(sys.argv[2]), NullTelemetry())
rig = SparkplugRig(sys.argv[1], lambda: store.counters.take("bdseq", 256))
rig.camera("cam1")
rig.publisher.start()
time.sleep(60)
"""


def test_a_killed_agent_is_dead_by_its_will_and_its_next_start_goes_on_with_the_bdseq(
    broker: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    for expected in (0, 1):
        process = subprocess.Popen([sys.executable, "-c", KILLED, broker.url, str(tmp_path)])
        try:
            host = listener.wait(lambda h: h.online and h.devices.get("cam1"), "born", 30.0)
            assert host.bdseq == expected
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        host = listener.wait(lambda h: not h.online, "the will")
        assert host.of("NDEATH")[-1].payload.metrics[0].long_value == expected


# --- the primary host -----------------------------------------------------------------------------


@covers(
    "operational-behavior-primary-application-state-with-multiple-servers-state-subs",
    "operational-behavior-edge-node-termination-host-offline-reconnect",
    "operational-behavior-edge-node-birth-sequence-wait",
)  # fmt: skip
def test_with_a_primary_host_the_node_waits_leaves_when_it_goes_and_comes_back_with_it(
    broker: Mosquitto, listener: Listener
) -> None:
    topic = "spBv1.0/STATE/scada"
    client = listener._observer.client

    def say(online: bool, timestamp_ms: int) -> None:
        said = json.dumps({"online": online, "timestamp": timestamp_ms})
        client.publish(topic, said, qos=1, retain=True)

    say(False, 1)
    with sparkplug(broker.url, wait=False, sparkplug={"primary_host": "scada"}) as rig:
        wait_until(lambda: rig.publisher.link().connected, 10, "connected")
        assert not listener.listen().messages
        say(True, 2)
        rig.wait_online()
        listener.wait(lambda h: h.online and h.devices.get("cam1"), "the births")
        say(False, 3)
        listener.wait(lambda h: not h.online, "the death")
        rig.wait_count(2, "broker_connects", "connected")
        assert rig.links[-1].connected
        rig.publisher.fruit(examples.fruit(seq=9), "cam1")
        say(True, 4)
        host = listener.wait(lambda h: h.online and h.devices.get("cam1"), "born again")
        assert host.bdseq == 1
        listener.wait(lambda h: ("Fruit/seq", 9, examples.STAMP) in h.historical, "the fruit")


def test_a_node_that_is_to_stay_away_dies_in_order_and_is_born_when_it_may_come_back(
    broker: Mosquitto, listener: Listener
) -> None:
    """The agent stepped back from another of its id, and its edge node did not."""
    with sparkplug(broker.url) as rig:
        listener.wait(lambda h: h.online, "the births")
        rig.publisher.hold(True)
        listener.wait(lambda h: not h.online, "the death")
        wait_until(lambda: not rig.publisher.link().connected, 10, "disconnected")
        rig.publisher.hold(False)
        listener.wait(lambda h: h.online, "born again")
        assert rig.books.total("broker_disconnects") == 1


# --- trouble --------------------------------------------------------------------------------------


def test_another_node_of_the_same_name_makes_this_one_step_back_and_say_so(
    broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    with sparkplug(broker.url) as rig, Observer(broker.port, "spBv1.0/#") as observer:
        rig.wait_count(1, "sparkplug_messages", "DBIRTH")
        observer.client.publish(NODE.format("NBIRTH"), encode(Payload(1, (), 0)))
        wait_until(lambda: rig.links and rig.links[-1].reason == "taken_over", 10)
        assert rig.books.total("broker_disconnects", "taken_over") == 1
    (conflict,) = [r for r in caplog.records if r.getMessage() == "session_conflict"]
    assert conflict.fields["topic"] == NODE.format("NBIRTH")  # type: ignore[attr-defined]


def test_an_alarm_that_clears_is_told_with_every_attribute(
    broker: Mosquitto, listener: Listener
) -> None:
    with sparkplug(broker.url) as rig:
        rig.publisher.alarm(examples.alarm())
        tag = "Alarms/camera_lost-cam1/{}".format
        listener.wait(lambda h: ("", tag("active")) in h.tags, "the alarm")
        rig.publisher.alarm(examples.alarm(active=False, state=AlarmState.NORM))
        host = listener.wait(lambda h: h.value(tag("active")) is False, "its end")
        assert host.value(tag("state")) == "NORM"
        assert host.value(tag("severity")) == 700
        assert host.value(tag("message")).startswith("Camera cam1")


def test_what_a_fruit_has_as_tags_is_what_it_has_as_json(
    broker: Mosquitto, listener: Listener
) -> None:
    reading = examples.fruit(
        reading=Reading(True, 37.5, NoReadReason.NONE, 0.93, 120.5, 130.0, 3.25, -1.5, 0.82),
        machine=replace(examples.fruit().segmentation.machine, encoder=81_234, variety="redhaven"),
    )
    said = payloads.fruit(reading)
    with sparkplug(broker.url) as rig:
        rig.publisher.fruit(reading, "cam1")
        listener.wait(
            lambda h: ("cam1", "Fruit/lot") in h.tags and h.value("Fruit/lot", "cam1"), "the fruit"
        )
        for name, _, unit in FRUIT_TAGS:
            tag = listener.host.tags["cam1", name]
            value = said[name.removeprefix("Fruit/")]
            expected = pytest.approx(value, abs=1e-3) if isinstance(value, float) else value
            assert (tag.value, tag.unit) == (expected, unit), name
            assert tag.quality == 192, name


def test_what_is_not_known_of_a_fruit_is_bad_and_never_an_old_value(
    broker: Mosquitto, listener: Listener
) -> None:
    with sparkplug(broker.url) as rig:
        rig.publisher.fruit(examples.fruit(seq=1), "cam1")
        unknown = examples.fruit(seq=2, reading=examples.NO_READ, machine=MachineInfo())
        rig.publisher.fruit(unknown, "cam1")
        host = listener.wait(
            lambda h: ("cam1", "Fruit/seq") in h.tags and h.value("Fruit/seq", "cam1") == 2,
            "the second",
        )
        for name in ("stem_x_px", "stem_y_px", "stem_x_mm", "stem_y_mm"):
            tag = host.tags["cam1", f"Fruit/{name}"]
            assert (tag.value, tag.quality) == (None, 0), name
        encoder = host.tags["cam1", "Fruit/encoder"]
        assert (encoder.value, encoder.quality) == (2**64 - 1, 0), "-1, without its sign"
        assert host.value("Fruit/stem_found", "cam1") is False
        assert (host.value("Fruit/lot", "cam1"), host.value("Fruit/variety", "cam1")) == ("", "")


def test_a_host_writes_to_an_alarm_and_reads_what_it_came_to(
    broker: Mosquitto, listener: Listener
) -> None:
    name = "Alarms/camera_lost-cam1/{}".format
    text = '{"event_id": "event-1", "user": "anna"}'
    with sparkplug(broker.url) as rig:
        rig.publisher.alarm(examples.alarm())
        listener.wait(lambda h: ("", name("comment")) in h.tags, "its tags")
        assert {listener.host.value(name(each)) for each in WRITABLE} == {""}
        assert listener.host.value(ANSWER) is None
        written = Metric(
            alias=listener.host.tags["", name("ack")].alias,
            timestamp_ms=examples.STAMP,
            value=value_of(DataType.STRING, text),
        )
        listener._observer.client.publish(NCMD, encode(Payload(1, (written,))))
        wait_until(lambda: rig.writes, 10, "it arrives")
        assert rig.writes == [Written("camera_lost-cam1", "ack", text, examples.STAMP)]
        command = Command("ack", "c", "anna", {"event_id": "event-1"}, 1, tag="camera_lost-cam1")
        rig.publisher.answer(replace(command, tag=""), CommandOutcome.REFUSED, "of a topic")
        rig.publisher.answer(command, CommandOutcome.DONE, "")
        later = 1_760_000_060_000
        rig.publisher.alarm(
            examples.alarm(acked_by="anna", comment="cable", shelved_until_ms=later, shelved=True)
        )
        host = listener.wait(lambda h: h.value(name("ack")), "the acknowledgement")
        listener.wait(lambda h: h.value(ANSWER), "the answer")
    assert json.loads(host.value(ANSWER)) == {
        "alarm_id": "camera_lost-cam1", "command": "ack", "outcome": "done",
        "event_id": "event-1", "user": "anna", "detail": "",
    }  # fmt: skip
    assert host.value(name("ack")) == "anna"
    assert host.value(name("comment")) == "cable"
    assert host.value(name("shelve")) == "2025-10-09T08:54:20Z"


@pytest.mark.long
def test_an_alarm_of_a_camera_that_is_gone_is_normal_in_the_births_and_then_in_none(
    broker: Mosquitto, listener: Listener
) -> None:
    active = "Alarms/camera_lost-cam9/active"
    with sparkplug(broker.url, wait=False) as rig:
        gone = examples.alarm(
            alarm_id="camera_lost-cam9", active=False, state=AlarmState.NORM, transition="cleared"
        )
        rig.publisher.alarms([(gone, None)], lambda: None)
        host = listener.wait(lambda h: ("", active) in h.tags, "the births")
        assert host.value(active) is False
        assert host.value("Alarms/camera_lost-cam9/state") == "NORM"
    with sparkplug(broker.url, bdseq=lambda: 7):
        host = listener.wait(lambda h: h.online and h.bdseq == 7, "the next births")
        assert ("", active) not in host.tags


def test_a_stop_without_a_broker_returns_at_once() -> None:
    rig = SparkplugRig(f"mqtt://127.0.0.1:{free_port()}")
    rig.publisher.start()
    assert not rig.publisher.stop(2.0)
    assert not SparkplugRig("mqtt://127.0.0.1:1").publisher.stop(1.0), "never started"


def test_what_a_command_has_changed_is_told_once_it_is_on_the_disk() -> None:
    """A transition inside a command's transaction left before the commit, which may fail."""
    rig, later = SparkplugRig("mqtt://127.0.0.1:9"), []
    hooks = replace(rig.publisher._hooks, committed=later.append)
    rig.publisher._hooks = hooks
    rig.publisher.alarms([(examples.alarm(), None)], lambda: None)
    assert not rig.publisher._outbox._samples
    later.pop()()
    assert {one.name.rpartition("/")[2] for one in rig.publisher._outbox._samples} >= {"active"}

"""The edge node as a state machine, on a clock of the test's own, read by an independent host."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.config import Site
from agent.publishing.sparkplug.births import Packet
from agent.publishing.sparkplug.codec import DataType, Metric, Payload, encode, value_of
from agent.publishing.sparkplug.host import PrimaryHost
from agent.publishing.sparkplug.node import EdgeNode, NodeSettings
from agent.publishing.sparkplug.states import EDGES, Cause, NodeState
from agent.publishing.sparkplug.tags import NODE, Sample, Tag
from agent.publishing.sparkplug.topics import NodeTopics, Type
from agent.publishing.sparkplug.writes import Written
from agent.records import Quality
from tests.publishing.examples import Books
from tests.publishing.sparkplug.host import DOUBLE, STRING, Host
from tests.publishing.sparkplug.tck import covers

TOPICS = NodeTopics.of(Site(), "pitwatch")
NCMD = "spBv1.0/plant-site/NCMD/pitwatch"
STATE = "spBv1.0/STATE/scada"
START_MS = 1_760_000_000_000
TAGS = (
    Tag(NODE, "Properties/Model", DataType.STRING),
    Tag(NODE, "uptime_s", DataType.DOUBLE, "s"),
    Tag("cam1", "fps", DataType.DOUBLE, "Hz"),
    Tag("cam1", "Fruit/angle_deg", DataType.DOUBLE, "deg", every=True),
    Tag("cam2", "fps", DataType.DOUBLE, "Hz"),
)


class Rig:
    """A node, a host that listens, and a clock."""

    def __init__(self, primary: str | None = None, **changes: Any) -> None:
        self.now = 0.0
        self.books = Books()
        self.host = Host()
        self.fact = Sample(NODE, "Properties/Model", "default", Quality.GOOD, START_MS)
        values: dict[str, Any] = {"settle_s": 0.0, "batch_s": 0.1, "tags": TAGS}
        values |= {"facts": (self.fact,), **changes}
        self.node = EdgeNode(
            NodeSettings(TOPICS, ("cam1", "cam2"), **values),
            PrimaryHost(primary),
            self.books,
            self.utc_ms,
            0.0,
        )
        self.bdseq = -1
        for camera in ("cam1", "cam2"):
            self.node.device(camera, True)

    def utc_ms(self) -> int:
        return START_MS + round(1000 * self.now)

    def connect(self) -> list[Packet]:
        self.bdseq = (self.bdseq + 1) % 256
        self.node.connected(self.bdseq)
        return self.pass_time(0.0)

    def pass_time(self, seconds: float = 0.1) -> list[Packet]:
        """Let time pass, give the host what is sent, and return it."""
        self.now += seconds
        packets = self.node.tick(self.now)
        for packet in packets:
            self.host.feed(packet.topic, packet.payload, packet.spec.qos, packet.spec.retain)
        return packets

    def offer(self, name: str, value: Any, device: str = "cam1", **changes: Any) -> None:
        quality = changes.get("quality", Quality.GOOD)
        stamp = changes.get("timestamp_ms", self.utc_ms())
        self.node.offer(Sample(device, name, value, quality, stamp), self.now)

    def command(self, *metrics: Metric, retained: bool = False, topic: str = NCMD) -> None:
        self.node.received(topic, encode(Payload(1, metrics)), retained, self.now)

    def rebirth(self) -> None:
        self.command(Metric("Node Control/Rebirth", value=value_of(DataType.BOOLEAN, True)))

    def count(self, name: str, *labels: str) -> int:
        return self.books.total(f"sparkplug_{name}", *labels)


def kinds(packets: list[Packet]) -> list[str]:
    return [packet.type.value for packet in packets]


def state(online: bool, timestamp_ms: int) -> bytes:
    return json.dumps({"online": online, "timestamp": timestamp_ms}).encode()


# --- births ---------------------------------------------------------------------------------------


@covers(
    "principles-birth-certificates-order", "topics-nbirth-topic", "topics-nbirth-seq-num",
    "topics-nbirth-mqtt", "topics-dbirth-topic", "topics-dbirth-mqtt", "topics-dbirth-seq",
    "topics-nbirth-timestamp", "topics-dbirth-timestamp", "topics-nbirth-bdseq-included",
    "topics-nbirth-rebirth-metric", "message-flow-edge-node-birth-publish-nbirth-topic",
    "message-flow-edge-node-birth-publish-nbirth-payload",
    "message-flow-edge-node-birth-publish-nbirth-payload-seq",
    "message-flow-device-birth-publish-nbirth-wait",
    "message-flow-device-birth-publish-dbirth-topic",
    "message-flow-device-birth-publish-dbirth-match-edge-node-topic",
    "message-flow-device-birth-publish-dbirth-payload",
    "message-flow-device-birth-publish-dbirth-payload-seq", "payloads-dbirth-order",
    "payloads-nbirth-timestamp", "payloads-nbirth-seq", "payloads-nbirth-bdseq",
    "payloads-nbirth-rebirth-req", "payloads-dbirth-timestamp", "payloads-dbirth-seq",
    "payloads-dbirth-seq-inc", "payloads-sequence-num-zero-nbirth",
)  # fmt: skip
def test_a_connection_starts_with_the_nodes_birth_and_then_each_devices() -> None:
    rig = Rig()
    packets = rig.connect()
    assert [packet.topic for packet in packets] == [
        "spBv1.0/plant-site/NBIRTH/pitwatch",
        "spBv1.0/plant-site/DBIRTH/pitwatch/cam1",
        "spBv1.0/plant-site/DBIRTH/pitwatch/cam2",
    ]
    assert [m.payload.seq for m in rig.host.messages] == [0, 1, 2]
    assert {(packet.spec.qos, packet.spec.retain) for packet in packets} == {(0, False)}
    assert rig.host.online
    assert rig.host.devices == {"cam1": True, "cam2": True}


@covers(
    "topics-nbirth-metrics", "topics-dbirth-metrics", "topics-nbirth-metric-reqs",
    "topics-dbirth-metric-reqs", "operational-behavior-data-publish-nbirth",
    "operational-behavior-data-publish-dbirth", "operational-behavior-data-publish-nbirth-values",
    "operational-behavior-data-publish-dbirth-values", "payloads-name-requirement",
    "payloads-alias-uniqueness", "payloads-alias-birth-requirement",
    "payloads-name-birth-data-requirement", "payloads-metric-datatype-value-type",
    "payloads-metric-datatype-value", "payloads-metric-datatype-req",
    "payloads-propertyset-keys-array-size", "payloads-propertyset-values-array-size",
    "payloads-metric-propertyvalue-type-type", "payloads-metric-propertyvalue-type-value",
    "payloads-metric-propertyvalue-type-req", "operational-behavior-data-commands-rebirth-name",
    "operational-behavior-data-commands-rebirth-name-aliases",
    "operational-behavior-data-commands-rebirth-datatype",
    "operational-behavior-data-commands-rebirth-value", "payloads-timestamp-in-UTC",
    "payloads-metric-timestamp-in-UTC",
)  # fmt: skip
def test_a_birth_holds_every_tag_with_name_type_alias_unit_and_newest_value() -> None:
    rig = Rig()
    rig.offer("uptime_s", 5.0, NODE)
    rig.offer("fps", 4.6)
    rig.connect()
    tags = rig.host.tags
    assert {key for key in tags if not key[0]} == {
        ("", "bdSeq"), ("", "Node Control/Rebirth"), ("", "Properties/Model"), ("", "uptime_s")
    }  # fmt: skip
    assert {name for device, name in tags if device == "cam1"} == {"fps", "Fruit/angle_deg"}
    fps = tags["cam1", "fps"]
    assert (fps.value, fps.datatype, fps.unit, fps.timestamp_ms) == (4.6, DOUBLE, "Hz", START_MS)
    assert tags["", "Properties/Model"].datatype == STRING
    assert tags["", "Properties/Model"].value == "default"
    assert tags["cam1", "Fruit/angle_deg"].value is None, "not measured yet: null, and no 0.0"
    unnamed = {"bdSeq", "Node Control/Rebirth"}
    assert all(tag.alias is not None for tag in tags.values() if tag.name not in unnamed)


def test_a_device_that_does_not_deliver_is_not_born() -> None:
    rig = Rig()
    rig.node.device("cam2", False)
    assert kinds(rig.connect()) == ["NBIRTH", "DBIRTH"]
    assert list(rig.host.devices) == ["cam1"]


def test_births_wait_for_the_first_values_so_that_the_first_is_complete() -> None:
    rig = Rig(settle_s=1.0)
    assert rig.connect() == []
    rig.offer("new", 1.0)
    assert rig.node.due_in_s(rig.now) == pytest.approx(1.0)
    assert rig.pass_time(0.9) == []
    assert kinds(rig.pass_time(0.1)) == ["NBIRTH", "DBIRTH", "DBIRTH"]
    assert rig.host.value("new", "cam1") == 1.0
    assert rig.count("births") == 1


# --- data -----------------------------------------------------------------------------------------


@covers(
    "topics-ddata-topic", "topics-ddata-mqtt", "topics-ddata-seq-num", "topics-ddata-timestamp",
    "topics-ddata-payload", "topics-ndata-topic", "topics-ndata-mqtt", "topics-ndata-seq-num",
    "topics-ndata-timestamp", "topics-ndata-payload", "payloads-alias-data-cmd-requirement",
    "payloads-metric-datatype-not-req", "payloads-ndata-timestamp", "payloads-ndata-seq",
    "payloads-ndata-seq-inc", "payloads-ndata-order", "payloads-ddata-timestamp",
    "payloads-ddata-seq", "payloads-ddata-seq-inc", "payloads-ddata-order", "payloads-ndata-qos",
    "payloads-ndata-retain", "payloads-ddata-qos", "payloads-ddata-retain",
    "payloads-sequence-num-always-included",
)  # fmt: skip
def test_data_goes_out_by_alias_in_one_message_per_device_and_batch() -> None:
    rig = Rig()
    rig.connect()
    rig.pass_time()
    rig.offer("uptime_s", 5.0, NODE)
    rig.offer("fps", 4.6)
    rig.offer("Fruit/angle_deg", 37.5)
    rig.offer("fps", 9.0, "cam2")
    assert rig.pass_time(0.05) == [], "the batch is not due"
    packets = rig.pass_time(0.05)
    assert [packet.topic for packet in packets] == [
        "spBv1.0/plant-site/NDATA/pitwatch",
        "spBv1.0/plant-site/DDATA/pitwatch/cam1",
        "spBv1.0/plant-site/DDATA/pitwatch/cam2",
    ]
    assert [m.payload.seq for m in rig.host.messages] == [0, 1, 2, 3, 4, 5]
    assert rig.host.value("fps", "cam1") == 4.6
    assert rig.host.value("fps", "cam2") == 9.0
    assert rig.host.value("Fruit/angle_deg", "cam1") == 37.5
    assert rig.count("samples", "live") == 4


@covers(
    "principles-rbe-recommended", "operational-behavior-data-publish-nbirth-change",
    "operational-behavior-data-publish-dbirth-change",
)  # fmt: skip
def test_a_value_within_its_deadband_is_held_and_an_event_never_is() -> None:
    rig = Rig(deadband=0.01)
    rig.offer("fps", 100.0)
    rig.connect()
    rig.pass_time()
    rig.offer("fps", 100.9)
    rig.offer("Properties/Model", "default", NODE)
    assert rig.pass_time() == []
    rig.offer("fps", 101.1)
    assert kinds(rig.pass_time()) == ["DDATA"]
    rig.offer("fps", 101.1, quality=Quality.BAD)
    assert kinds(rig.pass_time()) == ["DDATA"], "a change of quality always counts"
    for _ in range(3):
        rig.offer("Fruit/angle_deg", 10.0)
    assert len(rig.pass_time()[0].payload) > 0
    assert len(rig.host.messages[-1].payload.metrics) == 3, "three fruit of the same angle"
    assert rig.count("samples", "held") == 2


@covers("payloads-propertyset-quality-value-type", "payloads-propertyset-quality-value-value")
def test_quality_is_192_500_or_0_and_absent_while_it_is_good() -> None:
    rig = Rig()
    rig.connect()
    for quality, code in (
        (Quality.GOOD, 192), (Quality.UNCERTAIN, 500), (Quality.BAD, 0), (Quality.GOOD, 192)
    ):  # fmt: skip
        rig.offer("fps", float(code), quality=quality)
        rig.pass_time()
        metric = rig.host.messages[-1].payload.metrics[0]
        assert rig.host.tags["cam1", "fps"].quality == code
        assert bool(metric.properties.keys) is (code != 192)
    rig.offer("fps", 1.0, quality=Quality.BAD)
    rig.pass_time()
    rig.rebirth()
    rig.pass_time(5.0)
    assert rig.host.tags["cam1", "fps"].quality == 0, "a birth says it too"


def test_a_value_that_is_no_number_is_null_and_bad() -> None:
    rig = Rig()
    rig.offer("fps", float("nan"))
    rig.connect()
    tag = rig.host.tags["cam1", "fps"]
    assert (tag.value, tag.quality) == (None, 0)
    rig.offer("fps", 3.0)
    rig.pass_time()
    assert rig.host.value("fps", "cam1") == 3.0


@covers(
    "operational-behavior-data-publish-nbirth-order",
    "operational-behavior-data-publish-dbirth-order",
)
def test_values_of_one_message_stand_in_the_order_of_time() -> None:
    rig = Rig()
    rig.connect()
    for late_ms in (20, 0, 10):
        rig.offer("Fruit/angle_deg", float(late_ms), timestamp_ms=START_MS + late_ms)
    rig.offer("uptime_s", 1.0, NODE, timestamp_ms=START_MS + 5)
    rig.pass_time()
    metrics = rig.host.messages[-1].payload.metrics
    assert [m.double_value for m in metrics] == [0.0, 10.0, 20.0]


@covers("payloads-sequence-num-incrementing")
def test_sequence_numbers_wrap_at_255_over_all_messages() -> None:
    rig = Rig()
    rig.connect()
    for i in range(300):
        rig.offer("fps", float(i % 2))
        rig.offer("uptime_s", float(i % 2), NODE)
        rig.pass_time()
    seqs = [m.payload.seq for m in rig.host.messages]
    assert seqs == [i % 256 for i in range(603)]


def test_a_tag_that_no_birth_has_announced_makes_another_birth() -> None:
    rig = Rig()
    rig.connect()
    rig.pass_time(10.0)
    rig.offer("Alarms/camera_lost-cam1/active", True, NODE)
    rig.offer("Alarms/camera_lost-cam1/state", "UNACK", NODE)
    assert kinds(rig.pass_time()) == ["NBIRTH", "DBIRTH", "DBIRTH"]
    assert rig.host.value("Alarms/camera_lost-cam1/active") is True
    assert rig.host.value("Alarms/camera_lost-cam1/state") == "UNACK"
    assert rig.count("births", "new_tag") == 1


def test_a_value_of_no_device_and_one_tag_too_many_are_counted_and_cost_nothing_else() -> None:
    rig = Rig()
    rig.connect()
    rig.offer("fps", 1.0, "cam9")
    for i in range(5001):
        rig.offer(f"tag{i}", 1.0)
    assert rig.count("samples", "no_room") == 1 + 5001 - (5000 - len(TAGS))
    with pytest.raises(KeyError):
        rig.node.device("cam9", True)
    rig.pass_time(10.0)
    assert rig.host.value("tag0", "cam1") == 1.0


# --- devices --------------------------------------------------------------------------------------


@covers(
    "operational-behavior-device-ddeath", "topics-ddeath-topic", "topics-ddeath-mqtt",
    "topics-ddeath-seq-num", "payloads-ddeath-timestamp", "payloads-ddeath-seq",
    "payloads-ddeath-seq-inc", "payloads-ddeath-seq-number",
)  # fmt: skip
def test_a_lost_camera_dies_alone_and_is_born_again_when_it_is_back() -> None:
    rig = Rig()
    rig.connect()
    rig.node.device("cam1", False)
    (death,) = rig.pass_time()
    assert death.topic == "spBv1.0/plant-site/DDEATH/pitwatch/cam1"
    assert rig.host.devices == {"cam1": False, "cam2": True}
    rig.offer("fps", 0.0, quality=Quality.BAD)
    rig.offer("fps", 5.0, "cam2")
    assert [p.topic[-4:] for p in rig.pass_time()] == ["cam2"]
    assert rig.count("samples", "device_dead") == 1
    rig.offer("fps", 4.0)
    rig.node.device("cam1", True)
    assert kinds(rig.pass_time()) == ["DBIRTH"]
    assert rig.host.value("fps", "cam1") == 4.0


# --- deaths and outages ---------------------------------------------------------------------------


@covers(
    "topics-ndeath-topic", "topics-ndeath-payload", "topics-ndeath-seq", "payloads-ndeath-seq",
    "payloads-ndeath-bdseq", "topics-nbirth-bdseq-matching", "payloads-nbirth-bdseq-repeat",
    "message-flow-edge-node-birth-publish-nbirth-payload-bdSeq",
)  # fmt: skip
def test_the_death_holds_the_bdseq_of_the_birth_and_nothing_else() -> None:
    rig = Rig()
    for _ in range(3):
        rig.connect()
        death = rig.node.death()
        assert death.topic == "spBv1.0/plant-site/NDEATH/pitwatch"
        assert (death.spec.qos, death.spec.retain) == (1, False)
        rig.host.feed(death.topic, death.payload, 1)
        assert not rig.host.online
        rig.node.disconnected(rig.now)
    assert rig.host.bdseq == 2


def test_what_was_measured_during_an_outage_comes_as_historical_with_its_own_time() -> None:
    rig = Rig(recent_s=0.0)
    rig.connect()
    rig.pass_time()
    rig.node.disconnected(rig.now)
    for i in range(450):
        rig.now += 0.1
        rig.offer("Fruit/angle_deg", float(i % 180))
    rig.offer("uptime_s", 77.0, NODE)
    births = rig.connect()
    assert kinds(births) == ["NBIRTH", "DBIRTH", "DBIRTH"]
    assert rig.host.value("uptime_s") == 77.0, "the birth holds the newest"
    for _ in range(5):
        rig.pass_time()
    angles = [(value, at) for name, value, at in rig.host.historical if name == "Fruit/angle_deg"]
    assert [value for value, _ in angles] == [float(i % 180) for i in range(450)]
    assert [at for _, at in angles] == sorted(at for _, at in angles)
    assert max(len(m.payload.metrics) for m in rig.host.of("DDATA")) == 200, "paced"
    assert rig.count("samples", "historical") == 451
    assert rig.books.gauges[("sparkplug_samples_waiting",)] == 0


def test_an_outage_longer_than_the_buffer_loses_the_oldest_and_counts_them() -> None:
    rig = Rig(history_max=100)
    rig.connect()
    rig.node.disconnected(rig.now)
    for i in range(250):
        rig.offer("Fruit/angle_deg", float(i))
    rig.connect()
    for _ in range(3):
        rig.pass_time()
    assert [value for _, value, _ in rig.host.historical] == [float(i) for i in range(150, 250)]
    assert rig.count("samples", "lost") == 150


def test_what_was_sent_just_before_the_connection_was_lost_comes_again_as_historical() -> None:
    rig = Rig(recent_s=30.0)
    rig.connect()
    rig.offer("Fruit/angle_deg", 1.0)
    rig.pass_time()
    rig.pass_time(100.0)
    rig.offer("Fruit/angle_deg", 2.0)
    rig.pass_time()
    rig.offer("Fruit/angle_deg", 3.0)  # never sent
    rig.now += 20.0
    rig.node.disconnected(rig.now)
    rig.connect()
    rig.pass_time()
    assert [value for _, value, _ in rig.host.historical] == [2.0, 3.0]


# --- commands -------------------------------------------------------------------------------------


@covers(
    "operational-behavior-data-commands-rebirth-action-1",
    "operational-behavior-data-commands-rebirth-action-2",
    "operational-behavior-data-commands-rebirth-action-3",
)  # fmt: skip
def test_a_rebirth_request_stops_data_until_all_births_are_out_with_the_same_bdseq() -> None:
    rig = Rig()
    rig.connect()
    rig.pass_time(6.0)
    rig.offer("fps", 3.0)
    rig.rebirth()
    packets = rig.pass_time()
    assert kinds(packets) == ["NBIRTH", "DBIRTH", "DBIRTH"]
    assert rig.host.bdseq == rig.bdseq
    assert rig.host.value("fps", "cam1") == 3.0
    assert rig.count("births", "command") == 1


def test_a_storm_of_rebirth_requests_makes_one_birth_per_debounce() -> None:
    rig = Rig(debounce_s=5.0)
    rig.connect()
    rig.pass_time(10.0)
    for _ in range(100):
        rig.rebirth()
        rig.pass_time(0.1)
    assert len(rig.host.of("NBIRTH")) == 1 + 2
    assert rig.count("commands", "debounced") > 80
    assert rig.count("births", "command") == 2


def one_metric(name: str, datatype: DataType, value: bool | int) -> bytes:
    return encode(Payload(1, (Metric(name, value=value_of(datatype, value)),)))


@pytest.mark.parametrize(
    ("payload", "retained", "outcome"),
    [
        (b"\xff\xff", False, "invalid"),
        (b"", False, None),
        (one_metric("Node Control/Reboot", DataType.BOOLEAN, True), False, "unknown"),
        (one_metric("Node Control/Rebirth", DataType.INT32, 1), False, "unknown"),
        (one_metric("Node Control/Rebirth", DataType.BOOLEAN, False), False, "ignored"),
        (one_metric("Node Control/Rebirth", DataType.BOOLEAN, True), True, "retained"),
    ],
)
def test_any_other_command_does_nothing_and_is_counted(
    payload: bytes, retained: bool, outcome: str | None
) -> None:
    rig = Rig()
    rig.connect()
    rig.pass_time(10.0)
    before = len(rig.host.messages)
    assert rig.node.received(NCMD, payload, retained, rig.now)
    assert rig.pass_time(10.0) == []
    assert len(rig.host.messages) == before
    assert rig.count("commands") == (0 if outcome is None else 1)
    assert outcome is None or rig.count("commands", outcome) == 1


@given(st.binary(max_size=80), st.booleans())
@settings(max_examples=100, deadline=None)
def test_no_bytes_of_a_command_break_the_node(payload: bytes, retained: bool) -> None:
    rig = Rig()
    rig.connect()
    rig.node.received(NCMD, payload, retained, rig.now)
    rig.offer("fps", 2.0)
    rig.pass_time(6.0)
    assert rig.host.value("fps", "cam1") == 2.0


# --- the primary host -----------------------------------------------------------------------------


@covers(
    "message-flow-edge-node-birth-publish-phid-wait",
    "message-flow-edge-node-birth-publish-phid-wait-id",
    "message-flow-edge-node-birth-publish-phid-wait-online",
)  # fmt: skip
def test_births_wait_until_the_primary_host_says_that_it_is_online() -> None:
    rig = Rig("scada")
    assert rig.connect() == []
    for topic, payload in (
        ("spBv1.0/STATE/other", state(True, 1)), (STATE, state(False, 1)),
        (STATE, b"{"), (STATE, b"[]"), (STATE, b'{"online":1,"timestamp":1}'),
        (STATE, b'{"online":true}'), (STATE, b'{"online":true,"timestamp":true}'), (STATE, b""),
        (STATE, b"[" * 2000), (STATE, b"x" * 5000), (STATE, b'{"online":true,"timestamp":"5"}'),
    ):  # fmt: skip
        rig.node.received(topic, payload, True, rig.now)
        assert rig.pass_time() == [], (topic, payload)
    rig.node.received(STATE, state(True, 2), True, rig.now)
    assert kinds(rig.pass_time()) == ["NBIRTH", "DBIRTH", "DBIRTH"]
    assert rig.count("commands", "state_invalid") == 9


@covers("message-flow-edge-node-birth-publish-phid-wait-timestamp")
def test_an_online_state_older_than_the_newest_is_not_believed() -> None:
    rig = Rig("scada")
    rig.connect()
    rig.node.received(STATE, state(False, 100), True, rig.now)
    rig.node.received(STATE, state(True, 99), True, rig.now)
    assert rig.pass_time() == []
    assert rig.count("commands", "state_stale") == 1
    rig.node.received(STATE, state(True, 100), True, rig.now)
    assert len(rig.pass_time()) == 3


@covers(
    "message-flow-edge-node-birth-publish-phid-offline",
    "operational-behavior-edge-node-termination-host-offline",
    "operational-behavior-edge-node-termination-host-offline-timestamp",
)  # fmt: skip
def test_when_the_primary_host_goes_the_node_leaves_and_a_late_will_does_not_matter() -> None:
    rig = Rig("scada")
    rig.connect()
    rig.node.received(STATE, state(True, 100), True, rig.now)
    rig.pass_time()
    rig.node.received(STATE, state(False, 99), False, rig.now)
    assert rig.node.state is NodeState.ONLINE
    rig.offer("Fruit/angle_deg", 1.0)
    rig.node.received(STATE, state(False, 100), False, rig.now)
    assert rig.node.state is NodeState.LEAVING
    assert rig.pass_time() == []
    rig.node.disconnected(rig.now)
    assert rig.connect() == [], "and waits again"
    rig.offer("Fruit/angle_deg", 2.0)
    rig.node.received(STATE, state(True, 200), True, rig.now)
    rig.pass_time()
    rig.pass_time()
    assert [value for _, value, _ in rig.host.historical] == [1.0, 2.0]


def test_a_host_of_before_version_3_is_understood_too() -> None:
    rig = Rig("scada")
    rig.connect()
    rig.node.received("STATE/scada", b"OFFLINE", True, rig.now)
    assert rig.pass_time() == []
    rig.node.received("STATE/scada", b"ONLINE", True, rig.now)
    assert len(rig.pass_time()) == 3
    rig.node.received(STATE, state(True, 5), True, rig.now)
    rig.node.received("STATE/scada", b"OFFLINE", False, rig.now)
    assert rig.node.state is NodeState.ONLINE, "one that speaks JSON is believed in JSON"


# --- our own birth --------------------------------------------------------------------------------


def test_our_own_birth_comes_back_and_anothers_is_a_conflict() -> None:
    rig = Rig(echo_s=10.0)
    birth = rig.connect()[0]
    assert not rig.node.birth_not_returned(9.0)
    assert rig.node.received(birth.topic, birth.payload, False, rig.now)
    assert not rig.node.birth_not_returned(11.0)
    other = Rig(facts=()).connect()[0]
    assert not rig.node.received(birth.topic, other.payload, False, rig.now)


def test_a_birth_that_does_not_come_back_is_noticed_once() -> None:
    rig = Rig(echo_s=10.0)
    rig.connect()
    assert [rig.node.birth_not_returned(t) for t in (5.0, 10.0, 15.0)] == [False, True, False]


def test_a_birth_that_does_not_come_back_is_sent_again_ever_more_seldom_until_it_does() -> None:
    rig = Rig(echo_s=10.0)
    birth = rig.connect()[0]
    at = []
    for second in range(1, 400):
        rig.node.birth_not_returned(float(second))
        rig.now = second - 0.1
        for packet in rig.pass_time(0.1):
            if packet.type is Type.NBIRTH:
                at.append(second)
                birth = packet
    assert at == [40, 110, 240], "30, 60, 120 s after the 10 s in which it should have come back"
    assert rig.node.received(birth.topic, birth.payload, False, rig.now)
    assert not rig.node.birth_not_returned(500.0)
    assert rig.count("births", "not_returned") == 3
    rig.now = 10_000.0
    assert Type.NBIRTH not in {packet.type for packet in rig.pass_time()}


# --- the machine as a whole -----------------------------------------------------------------------


def test_states_change_along_the_table_only() -> None:
    node = Rig().node
    for cause in (Cause.BORN, Cause.HOST_OFFLINE):
        with pytest.raises(ValueError, match="no edge from offline"):
            node._go(cause)
    assert set(EDGES.values()) == set(NodeState)


@covers(
    "topic-structure", "topic-structure-namespace-a", "topic-structure-namespace-valid-group-id",
    "topic-structure-namespace-valid-edge-node-id", "topic-structure-namespace-valid-device-id",
    "topic-structure-namespace-device-id-associated-message-types",
    "topic-structure-namespace-device-id-non-associated-message-types", "intro-group-id-string",
    "intro-group-id-chars", "intro-edge-node-id-string", "intro-edge-node-id-chars",
    "intro-device-id-string", "intro-device-id-chars",
)  # fmt: skip
def test_every_topic_is_namespace_group_type_node_and_device_of_safe_characters() -> None:
    topics = NodeTopics.of(Site(enterprise="a" * 40, site="B_9-"), "agent-1")
    for kind in Type:
        device = "cam_1" if kind.value.startswith("D") else ""
        levels = topics.topic(kind, device).split("/")
        assert levels == [
            "spBv1.0",
            f"{'a' * 40}-B_9-",
            kind.value,
            "agent-1",
            *filter(None, [device]),
        ]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.sampled_from(["fps", "Fruit/angle_deg", "extra"])),
        st.tuples(st.just("device"), st.booleans()),
        st.tuples(st.just("link"), st.booleans()),
        st.tuples(st.just("time"), st.sampled_from([0.01, 0.1, 3.0, 60.0])),
        st.tuples(st.just("rebirth"), st.none()),
        st.tuples(st.just("host"), st.booleans()),
    ),
    max_size=60,
)


@given(STEPS, st.booleans())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_happens_a_host_finds_no_fault_and_ends_with_the_newest_values(
    steps: list[tuple[str, Any]], primary: bool
) -> None:
    rig = Rig("scada" if primary else None)
    connected, value = False, 0.0
    for what, argument in steps:
        match what:
            case "offer":
                value += 1.0
                rig.offer(argument, value)
            case "device":
                rig.node.device("cam1", argument)
            case "link" if argument and not connected:
                rig.connect()
                connected = True
            case "link" if connected and not argument:
                rig.node.disconnected(rig.now)
                connected = False
            case "time":
                rig.pass_time(argument)
            case "rebirth":
                rig.rebirth()
            case "host":
                rig.node.received(STATE, state(argument, rig.utc_ms()), False, rig.now)
        if rig.node.state is NodeState.LEAVING:
            rig.node.disconnected(rig.now)
            connected = False
    if not connected:
        rig.connect()
    rig.node.device("cam1", True)
    rig.node.received(STATE, state(True, rig.utc_ms() + 1), False, rig.now)
    rig.offer("fps", value + 1.0)
    for _ in range(4):
        rig.pass_time(6.0)
    assert rig.host.value("fps", "cam1") == value + 1.0
    assert rig.books.gauges.get(("sparkplug_samples_waiting",), 0) == 0


# --- tags to write to -----------------------------------------------------------------------------

ACK = "Alarms/camera_lost-cam1/ack"
TEXT = '{"event_id": "s1-4", "user": "anna"}'


def writable(**changes: Any) -> Rig:
    """A node with one alarm, born with its tags."""
    rig = Rig(**{"writable": ("ack", "comment"), **changes})
    for attribute in ("active", "ack", "shelve", "event_id"):
        rig.offer(f"Alarms/camera_lost-cam1/{attribute}", attribute == "active" or "", device=NODE)
    rig.connect()
    return rig


def text(name: str | None, said: str, **metric: Any) -> Metric:
    return Metric(name, value=value_of(DataType.STRING, said), **metric)


def test_what_a_host_writes_is_handed_on_with_its_time_by_name_or_by_alias() -> None:
    rig = writable()
    alias = rig.host.tags[NODE, ACK].alias
    rig.command(text(ACK, TEXT, timestamp_ms=START_MS), text(None, TEXT, alias=alias))
    assert rig.node.take_writes() == [
        Written("camera_lost-cam1", "ack", TEXT, START_MS),
        Written("camera_lost-cam1", "ack", TEXT, 1),  # the time of the message
    ]
    assert rig.node.take_writes() == []
    assert rig.count("commands", "written") == 2


@pytest.mark.parametrize(
    "name",
    ["Alarms/camera_lost-cam1/active", "Alarms/camera_lost-cam1/shelve", "Alarms/other/ack",
     "Alarms/camera_lost-cam1/comment", "camera_lost-cam1/ack", "Alarms//ack", "uptime_s", ""],
)  # fmt: skip
def test_no_other_tag_can_be_written_to(name: str) -> None:
    rig = writable()
    rig.command(text(name, TEXT))
    assert rig.node.take_writes() == []
    assert rig.count("commands", "unknown") == 1


@pytest.mark.parametrize("alias", [0, 3, 10_000, 2**63])
def test_an_alias_of_another_tag_or_of_none_writes_nothing(alias: int) -> None:
    rig = writable()
    assert alias not in {rig.host.tags[NODE, ACK].alias}
    rig.command(text(None, TEXT, alias=alias))
    assert rig.node.take_writes() == []


def test_a_write_that_is_no_text_is_handed_on_to_be_refused_and_a_retained_one_is_not() -> None:
    rig = writable()
    rig.command(Metric(ACK, timestamp_ms=7, value=value_of(DataType.BOOLEAN, True)))
    assert rig.node.take_writes() == [Written("camera_lost-cam1", "ack", "", 7)]
    rig.command(text(ACK, TEXT), retained=True)
    assert rig.node.take_writes() == []
    assert rig.count("commands", "retained") == 1


def test_what_else_stands_in_a_command_does_not_keep_a_write_from_its_tag() -> None:
    rig = writable()
    bdseq = Metric("bdSeq", value=value_of(DataType.INT64, 3))
    rig.command(bdseq, text(ACK, TEXT), text("another/tag", TEXT))
    assert [write.text for write in rig.node.take_writes()] == [TEXT]
    assert (rig.count("commands", "unknown"), rig.count("commands", "written")) == (2, 1)


def test_a_write_asks_for_no_rebirth_and_sends_nothing_by_itself() -> None:
    rig = writable()
    rig.pass_time(10)
    rig.command(text(ACK, TEXT))
    assert kinds(rig.pass_time(10)) == []

"""What the wiring calls: the same records as for the JSON topics, as values of tags."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from agent.config import Mqtt, Site
from agent.config.url import parse_broker
from agent.publishing.connection.tls import tls_context
from agent.publishing.sparkplug.client import ClientSettings, SparkplugClient
from agent.publishing.sparkplug.codec import DataType, Scalar
from agent.publishing.sparkplug.host import PrimaryHost
from agent.publishing.sparkplug.node import EdgeNode, NodeSettings
from agent.publishing.sparkplug.tags import NODE, Sample, Tag
from agent.publishing.sparkplug.topics import NodeTopics
from agent.publishing.wire.settings import Identity
from agent.publishing.wire.topics import AGENT
from agent.records import (
    ANGLE_NO_READ,
    Alarm,
    CameraState,
    CameraStatus,
    Command,
    CommandOutcome,
    Explanation,
    FruitReading,
    LinkStatus,
    NoReadReason,
    Overlay,
    Quality,
)
from agent.telemetry import Clock, Telemetry, wall_clock_ms

DELIVERING = frozenset({CameraState.LIVE, CameraState.FROZEN})
"""A frozen camera sends pictures: its tags are there, of quality bad. Any other is dead."""

NOTICED_S = 2.0
"""What the client's loop takes to see that a ping is due, or late."""

FRUIT_TAGS: tuple[tuple[str, DataType, str], ...] = (
    ("Fruit/angle_deg", DataType.DOUBLE, "deg"),
    ("Fruit/read", DataType.BOOLEAN, ""),
    ("Fruit/reason", DataType.STRING, ""),
    ("Fruit/confidence", DataType.DOUBLE, ""),
    ("Fruit/seq", DataType.INT64, ""),
    ("Fruit/fruit_id", DataType.STRING, ""),
)


@dataclass(frozen=True, slots=True)
class MetricTag:
    """A number that ``metric`` will report of every lane (``of_agent``: of the agent)."""

    name: str
    unit: str
    of_agent: bool = False


@dataclass(frozen=True, slots=True)
class SparkplugSettings:
    """``mqtt.broker`` is an ``mqtt(s)://`` URL here; ``lanes`` by name."""

    mqtt: Mqtt
    site: Site
    identity: Identity
    lanes: tuple[str, ...]
    metrics: tuple[MetricTag, ...] = ()
    echo_s: float = 10.0  # until our own birth must have come back
    utc_ms: Callable[[], int] = wall_clock_ms

    @property
    def client_id(self) -> str:
        return f"{self.identity.agent_id}-spb"

    @property
    def topics(self) -> NodeTopics:
        return NodeTopics.of(self.site, self.identity.agent_id)


class SparkplugPublisher:
    """The agent as a Sparkplug edge node. No call waits for the network.

    ``bdseq`` is asked once for each CONNECT packet and returns 0 to 255, rising by one at each
    call, over restarts too; ``on_link`` hears every change of the connection. Raises
    ``ValueError`` and ``TlsError`` as ``Publisher`` does.
    """

    starts_after_capture: ClassVar[bool] = True
    stop_limit_s: ClassVar[float] = 0.5

    def __init__(
        self,
        settings: SparkplugSettings,
        bdseq: Callable[[], int],
        telemetry: Telemetry,
        clock: Clock,
        on_link: Callable[[LinkStatus], None],
    ) -> None:
        mqtt = settings.mqtt
        address = parse_broker(mqtt.broker or "")
        if address.kind != "network":
            raise ValueError(f"mqtt.broker is {mqtt.broker!r}, which names no host")
        self._utc_ms = settings.utc_ms
        host = PrimaryHost(mqtt.sparkplug.primary_host)
        node = EdgeNode(_node_settings(settings), host, telemetry, settings.utc_ms, clock())
        self._client = SparkplugClient(
            ClientSettings(
                mqtt=mqtt,
                address=address,
                client_id=settings.client_id,
                topics=settings.topics,
                host_topics=host.topics,
                utc_ms=settings.utc_ms,
                on_link=on_link,
                tls=tls_context(mqtt.tls) if address.tls else None,
            ),
            node,
            bdseq,
            telemetry,
            clock,
        )

    def start(self) -> None:
        self._client.start()

    def link(self) -> LinkStatus:
        """Return the state of the connection."""
        return self._client.status()

    def stop(self, timeout_s: float) -> bool:
        """Say NDEATH and disconnect, within ``timeout_s``; true when it was acknowledged."""
        return self._client.stop(timeout_s)

    def camera(self, status: CameraStatus) -> None:
        """Say in which state a source is: the devices of its lanes are born, or dead."""
        for name in status.lanes:
            self._client.inbox.device(name, status.state in DELIVERING)
            tag, value = f"Cameras/{name}/state", status.state.value
            self._put(Sample(NODE, tag, value, Quality.GOOD, self._utc_ms()))

    def status(self, state: str, reason: str, last_frame_ms: int) -> None:
        """Births and deaths say that the node is there."""

    def metric(
        self, lane: str, name: str, value: float, quality: Quality, timestamp_ms: int
    ) -> None:
        """Report one number of a lane, or of ``agent``."""
        device = NODE if lane == AGENT else lane
        self._put(Sample(device, name, float(value), quality, timestamp_ms))

    def fruit(self, reading: FruitReading, lane: str) -> None:
        """Report one fruit."""
        seen, result = reading.segmentation, reading.segmentation.reading
        quality = Quality.GOOD
        if not result.read:
            low = result.reason is NoReadReason.LOW_CONFIDENCE
            quality = Quality.UNCERTAIN if low else Quality.BAD
        if reading.camera_frozen:
            quality = Quality.BAD
        known = Quality.BAD if reading.camera_frozen else Quality.GOOD
        values: tuple[tuple[Scalar, Quality], ...] = (
            (result.angle_deg if result.read else ANGLE_NO_READ, quality),
            (result.read, known),
            (str(result.reason), known),
            (float(result.confidence), known),
            (seen.seq, known),
            (seen.machine.fruit_id or "", known),
        )
        for (name, _, _), (value, of_value) in zip(FRUIT_TAGS, values, strict=True):
            self._put(Sample(lane, name, value, of_value, seen.captured_utc_ms))

    def explanation(self, record: Explanation) -> None:
        """The numbers of an explanation are metrics; a picture has no tag."""

    def alarms(
        self, records: Sequence[tuple[Alarm, Overlay | None]], save: Callable[[], None]
    ) -> None:
        """Report transitions once they are saved; a picture has no tag."""
        save()
        for record, _ in records:
            self.alarm(record)

    def answer(self, command: Command, outcome: CommandOutcome, detail: str) -> None:
        """Operators' commands and their answers are for the JSON topics."""

    def alarm(self, record: Alarm) -> None:
        """Report the state of one alarm. The node's tag: a dead camera must not hide its alarms."""
        values: dict[str, Scalar] = {
            "active": record.active,
            "state": record.state.value,
            "severity": record.severity,
            "message": record.message,
            "event_id": record.event_id,
        }
        for name, value in values.items():
            tag = f"Alarms/{record.alarm_id}/{name}"
            self._put(Sample(NODE, tag, value, record.quality, record.timestamp_ms))

    def _put(self, sample: Sample) -> None:
        self._client.inbox.put(sample)


def _node_settings(settings: SparkplugSettings) -> NodeSettings:
    keys = settings.mqtt.sparkplug
    facts = _facts(settings)
    return NodeSettings(
        topics=settings.topics,
        devices=settings.lanes,
        tags=(
            *(Tag(NODE, fact.name, DataType.STRING) for fact in facts),
            *(Tag(NODE, f"Cameras/{name}/state", DataType.STRING) for name in settings.lanes),
            *_metric_tags(NODE, (m for m in settings.metrics if m.of_agent)),
            *(tag for lane in settings.lanes for tag in _lane_tags(lane, settings)),
        ),
        facts=facts,
        deadband=settings.mqtt.metric_deadband,
        batch_s=keys.batch_s,
        debounce_s=keys.rebirth_debounce_s,
        history_max=keys.history_max,
        echo_s=settings.echo_s,
        typed_data=keys.datatype_in_data,
        # A PINGREQ after one keep-alive without a packet, given up after another without PINGRESP.
        recent_s=2 * settings.mqtt.keepalive_s + keys.batch_s + NOTICED_S,
    )


def _facts(settings: SparkplugSettings) -> tuple[Sample, ...]:
    """The node's properties: what it is, and what runs on it."""
    identity, now_ms = settings.identity, settings.utc_ms()
    facts = {
        "Properties/OS": platform.system(),
        "Properties/OS_Version": platform.release(),
        "Properties/Software": "pitwatch",
        "Properties/Software_Version": identity.version,
        "Properties/Session": identity.session,
        "Properties/Config_Hash": identity.config_hash,
        "Properties/Model": identity.model_name,
        "Properties/Model_SHA256": identity.model_sha256,
    }
    return tuple(Sample(NODE, name, text, Quality.GOOD, now_ms) for name, text in facts.items())


def _metric_tags(device: str, metrics: Iterable[MetricTag]) -> Iterable[Tag]:
    return (Tag(device, metric.name, DataType.DOUBLE, metric.unit) for metric in metrics)


def _lane_tags(lane: str, settings: SparkplugSettings) -> Iterable[Tag]:
    yield from _metric_tags(lane, (m for m in settings.metrics if not m.of_agent))
    for name, datatype, unit in FRUIT_TAGS:
        yield Tag(lane, name, datatype, unit, every=True)

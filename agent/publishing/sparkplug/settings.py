"""What the edge node is configured with, and the tags that follow from it. Pure."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agent.config import Mqtt, Site
from agent.publishing.sparkplug.codec import DataType
from agent.publishing.sparkplug.node import NodeSettings
from agent.publishing.sparkplug.tags import NODE, Sample, Tag
from agent.publishing.sparkplug.topics import NodeTopics
from agent.publishing.sparkplug.writes import ANSWER
from agent.publishing.wire.settings import Identity
from agent.records import Quality
from agent.telemetry import wall_clock_ms

NOTICED_S = 2.0
"""What the session's loop takes to see that a ping is due, or late."""

FRUIT_TAGS: tuple[tuple[str, DataType, str], ...] = (
    ("Fruit/angle_deg", DataType.DOUBLE, "deg"),
    ("Fruit/read", DataType.BOOLEAN, ""),
    ("Fruit/reason", DataType.STRING, ""),
    ("Fruit/confidence", DataType.DOUBLE, ""),
    ("Fruit/confidence_raw", DataType.DOUBLE, ""),
    ("Fruit/plausibility", DataType.DOUBLE, ""),
    ("Fruit/seq", DataType.INT64, ""),
    ("Fruit/fruit_id", DataType.STRING, ""),
    ("Fruit/machine_timestamp_ms", DataType.INT64, "ms"),
    ("Fruit/encoder", DataType.INT64, ""),
    ("Fruit/stem_found", DataType.BOOLEAN, ""),
    ("Fruit/stem_x_px", DataType.DOUBLE, "px"),
    ("Fruit/stem_y_px", DataType.DOUBLE, "px"),
    ("Fruit/stem_x_mm", DataType.DOUBLE, "mm"),
    ("Fruit/stem_y_mm", DataType.DOUBLE, "mm"),
    ("Fruit/latency_s", DataType.DOUBLE, "s"),
    ("Fruit/variety", DataType.STRING, ""),
    ("Fruit/lot", DataType.STRING, ""),
)
"""Of every fruit, under the names that the JSON payload of a fruit has for the same."""
CONFIG_HASH = "Properties/Config_Hash"
BY_EXCEPTION = frozenset({"Fruit/variety", "Fruit/lot"})
"""The same for thousands of fruit, and sent when they change."""

MODEL, MODEL_SHA256 = "Properties/Model", "Properties/Model_SHA256"


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
    writable: tuple[str, ...] = ()  # of an alarm, by hosts: commands that operators may give
    echo_s: float = 10.0  # until our own birth must have come back
    utc_ms: Callable[[], int] = wall_clock_ms

    @property
    def client_id(self) -> str:
        return f"{self.identity.agent_id}-spb"

    @property
    def topics(self) -> NodeTopics:
        return NodeTopics.of(self.site, self.identity.agent_id)


def node_settings(settings: SparkplugSettings) -> NodeSettings:
    """Return those of the node: every tag that is known from the start, and its pace."""
    keys = settings.mqtt.sparkplug
    facts = _facts(settings)
    return NodeSettings(
        topics=settings.topics,
        devices=settings.lanes,
        tags=(
            *(Tag(NODE, fact.name, DataType.STRING) for fact in facts),
            *(Tag(NODE, f"Cameras/{name}/state", DataType.STRING) for name in settings.lanes),
            *((Tag(NODE, ANSWER, DataType.STRING, every=True),) if settings.writable else ()),
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
        writable=settings.writable,
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
        CONFIG_HASH: identity.config_hash,
        MODEL: identity.model_name,
        MODEL_SHA256: identity.model_sha256,
    }
    return tuple(Sample(NODE, name, text, Quality.GOOD, now_ms) for name, text in facts.items())


def _metric_tags(device: str, metrics: Iterable[MetricTag]) -> Iterable[Tag]:
    return (Tag(device, metric.name, DataType.DOUBLE, metric.unit) for metric in metrics)


def _lane_tags(lane: str, settings: SparkplugSettings) -> Iterable[Tag]:
    yield from _metric_tags(lane, (m for m in settings.metrics if not m.of_agent))
    for name, datatype, unit in FRUIT_TAGS:
        yield Tag(lane, name, datatype, unit, every=name not in BY_EXCEPTION)
